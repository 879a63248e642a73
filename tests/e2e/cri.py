# SPDX-License-Identifier: BSD-2-Clause
"""The few calls of the Kubernetes CRI (runtime.v1) with which the tests make pods.

Messages are tables of field numbers, as in the CRI's api.proto; only the fields used are here.
That keeps generated code, and its quarrels with the protobuf version installed, out of the tests.
"""

import time

import grpc

STRING, BOOL, INT, MAP = 'string', 'bool', 'int', 'map'

NAMESPACE_NODE = 2  # the host's own namespace: no CNI plugin is asked
PROPAGATION_HOST_TO_CONTAINER = 1
SECCOMP_DEFAULT, SECCOMP_UNCONFINED = 0, 1

NAMESPACE_OPTIONS = {'network': (1, INT), 'pid': (2, INT), 'ipc': (3, INT)}
SANDBOX_SECURITY = {'namespace_options': (1, NAMESPACE_OPTIONS), 'privileged': (6, BOOL)}
SANDBOX_LINUX = {'cgroup_parent': (1, STRING), 'security_context': (2, SANDBOX_SECURITY)}
SANDBOX_METADATA = {'name': (1, STRING), 'uid': (2, STRING), 'namespace': (3, STRING),
                    'attempt': (4, INT)}
SANDBOX_CONFIG = {'metadata': (1, SANDBOX_METADATA), 'hostname': (2, STRING),
                  'log_directory': (3, STRING), 'labels': (6, MAP), 'annotations': (7, MAP),
                  'linux': (8, SANDBOX_LINUX)}
CAPABILITIES = {'add_capabilities': (1, STRING), 'drop_capabilities': (2, STRING)}
SECURITY_PROFILE = {'profile_type': (1, INT)}
CONTAINER_SECURITY = {'capabilities': (1, CAPABILITIES), 'privileged': (2, BOOL),
                      'namespace_options': (3, NAMESPACE_OPTIONS), 'readonly_rootfs': (7, BOOL),
                      'no_new_privs': (11, BOOL), 'seccomp': (15, SECURITY_PROFILE)}
CONTAINER_LINUX = {'security_context': (2, CONTAINER_SECURITY)}
CONTAINER_METADATA = {'name': (1, STRING), 'attempt': (2, INT)}
IMAGE_SPEC = {'image': (1, STRING)}
KEY_VALUE = {'key': (1, STRING), 'value': (2, STRING)}
MOUNT = {'container_path': (1, STRING), 'host_path': (2, STRING), 'readonly': (3, BOOL),
         'propagation': (5, INT)}
CONTAINER_CONFIG = {'metadata': (1, CONTAINER_METADATA), 'image': (2, IMAGE_SPEC),
                    'command': (3, STRING), 'args': (4, STRING), 'envs': (6, KEY_VALUE),
                    'mounts': (7, MOUNT), 'labels': (9, MAP),
                    'annotations': (10, MAP), 'log_path': (11, STRING),
                    'linux': (15, CONTAINER_LINUX)}

# method: (fields of the request, fields of the response)
METHODS = {
    'Version': ({'version': (1, STRING)},
                {'runtime_name': (2, STRING), 'runtime_version': (3, STRING)}),
    'RunPodSandbox': ({'config': (1, SANDBOX_CONFIG)}, {'pod_sandbox_id': (1, STRING)}),
    'StopPodSandbox': ({'pod_sandbox_id': (1, STRING)}, {}),
    'RemovePodSandbox': ({'pod_sandbox_id': (1, STRING)}, {}),
    'CreateContainer': ({'pod_sandbox_id': (1, STRING), 'config': (2, CONTAINER_CONFIG),
                         'sandbox_config': (3, SANDBOX_CONFIG)}, {'container_id': (1, STRING)}),
    'StartContainer': ({'container_id': (1, STRING)}, {}),
    'StopContainer': ({'container_id': (1, STRING), 'timeout': (2, INT)}, {}),
    'RemoveContainer': ({'container_id': (1, STRING)}, {}),
    'ExecSync': ({'container_id': (1, STRING), 'cmd': (2, STRING), 'timeout': (3, INT)},
                 {'stdout': (1, STRING), 'stderr': (2, STRING), 'exit_code': (3, INT)}),
}


def varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def encode(fields, message):
    out = b''
    for name, value in message.items():
        number, kind = fields[name]
        if kind == MAP:
            for key, item in value.items():
                out += delimited(number, delimited(1, key.encode()) + delimited(2, item.encode()))
            continue
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(kind, dict):
                out += delimited(number, encode(kind, item))
            elif kind == STRING:
                out += delimited(number, item.encode())
            else:
                out += varint(number << 3) + varint(int(item))
    return out


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def decode(fields, data):
    names = {number: name for name, (number, _) in fields.items()}
    out = {}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            value, at = read_varint(data, at)
        elif tag & 7 == 2:
            length, at = read_varint(data, at)
            value = data[at:at + length].decode('utf-8', 'replace')
            at += length
        else:
            raise ValueError(f'wire type {tag & 7} is in no message used here')
        if tag >> 3 in names:
            out[names[tag >> 3]] = value
    return out


class Cri:
    def __init__(self, socket_path):
        self.channel = grpc.insecure_channel('unix://' + socket_path)

    def close(self):
        self.channel.close()

    def call(self, method, *, seconds=60, **message):
        request, response = METHODS[method]
        send = self.channel.unary_unary('/runtime.v1.RuntimeService/' + method,
                                        request_serializer=lambda m: encode(request, m),
                                        response_deserializer=lambda b: decode(response, b))
        return send(message, timeout=seconds)

    def remove(self, container_id, timeout=5, seconds=30):
        """Stops a container and removes it: which containerd may refuse until it has heard of the end itself."""
        self.call('StopContainer', container_id=container_id, timeout=timeout)
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.call('RemoveContainer', container_id=container_id)
            except grpc.RpcError as error:
                if 'still running' not in error.details() or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
