#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The pod of docs/examples/kubernetes.yaml, made as a kubelet makes it: with these privileges and mounts, no more.

Instead of an image of its own it runs the program under test, and its libraries, out of the host's root.
"""

import contextlib
import json
import os
import subprocess
import time
import unittest

import harness
import lab
import metrics_tools as tools

MANIFEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../docs/examples/kubernetes.yaml')
PROGRAM = '/program'
INFO = None

# Bits of /proc/PID/status.
CAPABILITY_BITS = {'DAC_READ_SEARCH': 2, 'SYS_PTRACE': 19, 'PERFMON': 38, 'BPF': 39}


def setUpModule():
    global INFO
    harness.need_root()
    try:
        import yaml  # noqa: F401
    except ImportError as e:
        raise unittest.SkipTest('needs PyYAML (package python3-yaml)') from e
    if b'has no listener' in subprocess.run([harness.CGSCOPE, '-n', '1', '--listen', 'unix:/nonexistent/x'],
                                            capture_output=True, check=False).stderr:
        raise unittest.SkipTest('needs a build with libmicrohttpd (package libmicrohttpd-dev)')
    INFO = harness.join_lab()


def manifest_pod():
    import yaml
    with open(MANIFEST, encoding='utf-8') as f:
        for one in yaml.safe_load_all(f):
            if one['kind'] == 'DaemonSet':
                return one['spec']['template']['spec']
    raise AssertionError('no DaemonSet')


def is_shared(path):
    """Whether what is mounted there shows what is mounted on it: systemd sees to that, not every test machine."""
    result = subprocess.run(['findmnt', '-n', '-o', 'PROPAGATION', '-T', path], capture_output=True, text=True,
                            check=False)
    return 'shared' in result.stdout or 'slave' in result.stdout


def libraries():
    """The loader and the directories of what it loads."""
    text = subprocess.run(['ldd', harness.CGSCOPE], capture_output=True, text=True, check=True).stdout
    paths = [word for line in text.splitlines() for word in line.split() if word.startswith('/')]
    loader = next(path for path in paths if '/ld-linux' in path)
    return loader, sorted({os.path.dirname(os.path.realpath(path)) for path in paths})


class Agent(harness.Pod):
    """A pod with the manifest's security context, arguments and mounts."""

    def __init__(self, info, capabilities=None, mounts=None, privileged=False, seccomp=None, interval='1'):
        super().__init__(info, name=harness.unique('cgscope'), container='cgscope')
        self.pod = manifest_pod()
        self.spec = self.pod['containers'][0]
        self.port = tools.free_port()
        self.capabilities = capabilities
        self.mounts = mounts
        self.privileged = privileged
        self.seccomp = seccomp
        self.interval = interval

    def security(self):
        context = self.spec['securityContext']
        options = {'network': self.cri_module.NAMESPACE_NODE}
        if self.pod['hostPID']:
            options['pid'] = self.cri_module.NAMESPACE_NODE
        if self.privileged:
            return {'privileged': True, 'namespace_options': options}
        seccomp = self.seccomp
        if seccomp is None:
            seccomp = {'RuntimeDefault': self.cri_module.SECCOMP_DEFAULT,
                       'Unconfined': self.cri_module.SECCOMP_UNCONFINED}[context['seccompProfile']['type']]
        add = self.capabilities if self.capabilities is not None else context['capabilities']['add']
        return {
            'capabilities': {'add_capabilities': add, 'drop_capabilities': context['capabilities']['drop']},
            'namespace_options': options, 'readonly_rootfs': context['readOnlyRootFilesystem'],
            'no_new_privs': not context['allowPrivilegeEscalation'], 'seccomp': {'profile_type': seccomp},
        }

    @property
    def cri_module(self):
        import cri
        return cri

    def sandbox_config(self):
        config = super().sandbox_config()
        context = {'namespace_options': self.security()['namespace_options']}
        if self.privileged:
            context['privileged'] = True
        config['linux'] = {'cgroup_parent': self.parent, 'security_context': context}
        return config

    def container_mounts(self):
        volumes = {volume['name']: volume['hostPath']['path'] for volume in self.pod['volumes']}
        pairs = self.mounts or [(m['mountPath'], volumes[m['name']]) for m in self.spec['volumeMounts']]
        mounts = [{'container_path': inside, 'host_path': outside, 'readonly': True,
                   'propagation': self.cri_module.PROPAGATION_HOST_TO_CONTAINER if is_shared(outside) else 0}
                  for inside, outside in pairs]
        self.loader, directories = libraries()
        self.library_path = []
        for number, directory in enumerate(directories):
            mounts.append({'container_path': f'/lib-{number}', 'host_path': directory, 'readonly': True})
            self.library_path.append(f'/lib-{number}')
        mounts.append({'container_path': PROGRAM, 'host_path': os.path.realpath(harness.CGSCOPE),
                       'readonly': True})
        return mounts

    def container_config(self, name, words):
        config = super().container_config(name, words)
        mounts = self.container_mounts()
        args = [arg for arg in self.spec['args'] if not arg.startswith(('--interval', '--listen'))]
        loader = f'/lib-{libraries()[1].index(os.path.dirname(os.path.realpath(self.loader)))}/'
        config['command'] = [loader + os.path.basename(os.path.realpath(self.loader)), '--library-path',
                             ':'.join(self.library_path), PROGRAM]
        config['args'] = [*args, f'--interval={self.interval}', f'--listen=127.0.0.1:{self.port}']
        config['envs'] = [{'key': 'NODE_NAME', 'value': 'worker-1'}]
        config['mounts'] = mounts
        config['linux'] = {'security_context': self.security()}
        return config

    def log_lines(self):
        """[(stream, line)], the parts of long lines put together."""
        lines, parts = [], {}
        with contextlib.suppress(FileNotFoundError), \
                open(f'{self.log}/{self.container}/0.log', encoding='utf-8') as f:
            for line in f:
                _, stream, tag, text = line.rstrip('\n').split(' ', 3)
                parts[stream] = parts.get(stream, '') + text
                if tag == 'F':
                    lines.append((stream, parts.pop(stream)))
        return lines

    def records(self):
        return [json.loads(line) for stream, line in self.log_lines() if stream == 'stdout']

    def errors(self):
        return [line for stream, line in self.log_lines() if stream == 'stderr']

    def wait_ready(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if tools.get(self.port, '/readyz')[0] == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f'not ready; stderr: {self.errors()}')

    def pids(self):
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError), open(f'/proc/{pid}/cgroup', encoding='utf-8') as f:
                if self.id in f.read():
                    found.append(int(pid))
        return found


def runtime_default_allows_bpf():
    """containerd's own profile lets bpf(2) through to CAP_BPF from 1.7 on, and some 1.6."""
    with Agent(INFO) as agent:
        try:
            agent.wait_ready()
            return True
        except AssertionError:
            return False


class Cluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        harness.need_capabilities(**CAPABILITY_BITS)
        import cri
        cls.cri = cri
        cls.seccomp = None
        if not runtime_default_allows_bpf():
            print('this containerd refuses bpf(2) to CAP_BPF by its default profile: '
                  'tested with seccompProfile Unconfined')
            cls.seccomp = cri.SECCOMP_UNCONFINED

    def check_names(self, agent):
        with harness.Pod(INFO, 'getppid=4321', 'tick=100') as pod:
            agent.wait_ready()
            wanted = {'namespace': pod.namespace, 'pod': pod.name, 'container': 'app', 'syscall': 'clock_nanosleep'}
            deadline = time.monotonic() + 20
            while tools.total(tools.get(agent.port, '/metrics')[1], 'cgscope_syscalls_total', **wanted) < 1:
                self.assertLess(time.monotonic(), deadline, agent.errors())
                time.sleep(0.2)
            time.sleep(1)
            own = [r for r in agent.records() if harness.value(r, 'container', 'id') == pod.id]
        self.assertTrue(own)
        self.assertEqual(own[-1]['k8s']['pod']['name'], pod.name)
        self.assertEqual(own[-1]['k8s']['container']['name'], 'app')
        self.assertEqual(own[-1]['host']['name'], 'worker-1')
        self.assertEqual(own[-1]['k8s']['node']['name'], 'worker-1')

    def test_as_in_the_manifest(self):
        with Agent(INFO, seccomp=self.seccomp) as agent:
            self.check_names(agent)
            self.assertEqual(agent.errors(), [])
            # Bounded by what was granted; in use is what the program kept.
            pids = agent.pids()
            self.assertEqual(len(pids), 1)
            with open(f'/proc/{pids[0]}/status', encoding='utf-8') as f:
                status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
            granted = sum(1 << CAPABILITY_BITS[name]
                          for name in agent.spec['securityContext']['capabilities']['add'])
            self.assertEqual(int(status['CapBnd'], 16), granted)
            self.assertEqual(int(status['CapEff'], 16) & ~(1 << 2 | 1 << 39), 0)
            self.assertEqual(status['NoNewPrivs'], '1')
            # It leaves itself out, under the host's PIDs.
            self.assertNotIn(agent.id, {harness.value(r, 'container', 'id') for r in agent.records()})

    def test_last_interval(self):
        """Stopped as the kubelet stops it, long before the interval is over: what was measured is out."""
        with Agent(INFO, seccomp=self.seccomp, interval='3') as agent:
            agent.wait_ready()
            before = len(harness.intervals(agent.records()))
            start = time.monotonic()
            agent.cri.call('StopContainer', container_id=agent.id, timeout=30)
            self.assertLess(time.monotonic() - start, 5)
            self.assertTrue(lab.wait_until(
                lambda: len(harness.intervals(agent.records())) > before, 5), agent.log_lines()[-3:])
            # Cut short by the stop.
            self.assertLess(harness.intervals(agent.records())[-1]['interval_s'], 2.5)

    def test_paths_only(self):
        """hostRoot.mount: paths, with the chart's list."""
        import yaml
        with open(os.path.join(os.path.dirname(MANIFEST), '../../helm/cgscope/values.yaml'), encoding='utf-8') as f:
            paths = yaml.safe_load(f)['hostRoot']['paths']
        for path in paths:
            os.makedirs(path, exist_ok=True)
        with Agent(INFO, seccomp=self.seccomp, mounts=[('/host' + path, path) for path in paths]) as agent:
            self.check_names(agent)

    def test_privileged(self):
        with Agent(INFO, privileged=True) as agent:
            try:
                agent.wait_ready()
            except AssertionError:
                # runc may not give what it does not have itself.
                raise unittest.SkipTest('no privileged containers where not all capabilities are there') from None
            self.check_names(agent)

    def test_missing_capabilities(self):
        """Each is needed, and named; and none beyond them is."""
        granted = manifest_pod()['containers'][0]['securityContext']['capabilities']['add']
        for missing in granted:
            with self.subTest(missing), \
                    Agent(INFO, capabilities=[one for one in granted if one != missing],
                          seccomp=self.seccomp) as agent:
                self.assertTrue(lab.wait_until(agent.errors, 10))
                self.assertIn(f'missing capability CAP_{missing}', agent.errors()[0])
                self.assertTrue(lab.wait_until(lambda a=agent: not a.pids(), 10))


if __name__ == '__main__':
    harness.main()
