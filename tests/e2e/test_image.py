#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The image, really built from the Dockerfile, and run by Docker and by containerd's CRI.

Where no registry has the Dockerfile's base image, one is made with debootstrap and imported under that name.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import unittest

import harness
import lab
import metrics_tools as tools
import test_cluster
from harness import Container, value

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..'))
sys.path.insert(0, os.path.join(ROOT, 'tests/vm'))
import debian  # noqa: E402

BUILD_TIMEOUT = 900
SIZE_MAX = 100_000_000
READY_S = 3
REVISION, SOURCE = '0123456789abcdef', 'https://example.test/cgscope'
# For those that cannot have CAP_BPF and CAP_PERFMON by name: Docker knows them from 23.0 on.
BPF_CAPABILITIES = ('SYS_ADMIN', 'DAC_READ_SEARCH', 'SYS_PTRACE')
BITS = dict(test_cluster.CAPABILITY_BITS, SYS_ADMIN=21)
INFO = IMAGE = None


def setUpModule():
    global INFO, IMAGE
    harness.need_root()
    INFO = test_cluster.INFO = harness.join_lab()
    if not lab.find('debootstrap'):
        raise unittest.SkipTest('needs debootstrap (package debootstrap)')
    stack = contextlib.ExitStack()
    unittest.addModuleCleanup(stack.close)
    IMAGE = stack.enter_context(built_image())


@contextlib.contextmanager
def builder():
    """A Docker to build with: the machine's own, or one that has its layers on disk, where the lab's are in memory."""
    if not INFO['docker_own']:
        yield INFO
        return
    with harness.scratch_directory() as directory:
        info = dict(INFO, docker_host=f'unix://{directory}/docker.sock')
        with open(f'{directory}/daemon.json', 'w', encoding='ascii') as f:
            f.write('{}\n')
        with open(f'{directory}/log', 'wb') as log:
            daemon = subprocess.Popen(
                lab.dockerd(info, directory, f'{directory}/data',
                            '--containerd-namespace', 'cgscope-e2e-build',
                            '--containerd-plugins-namespace', 'cgscope-e2e-build-plugins'),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=lab.docker_environment(INFO))
        try:
            if not lab.wait_until(lambda: lab.docker_answers(info) or daemon.poll() is not None, 60) or daemon.poll():
                raise AssertionError('dockerd: ' + lab.tail(f'{directory}/log'))
            yield info
        finally:
            daemon.terminate()
            daemon.wait(60)
            lab.unmount_below(directory)


def bases():
    with open(os.path.join(ROOT, 'Dockerfile'), encoding='utf-8') as f:
        return {name for name in re.findall(r'^FROM (\S+)', f.read(), re.M) if name != 'scratch'}


def has_image(info, name):
    return bool(lab.docker(info, 'images', '-q', name).strip())


def provide_base(info, name):
    if has_image(info, name):
        return
    with contextlib.suppress(lab.LabError, subprocess.TimeoutExpired):
        lab.docker(info, 'pull', name, timeout=300)
        return
    release = re.fullmatch(r'debian:(\w+)-slim', name)[1]
    print(f'no registry gives {name}: made with debootstrap', flush=True)
    with harness.scratch_directory() as directory:
        lab.run('debootstrap', '--variant=minbase', release, directory + '/root', debian.mirror()[0], timeout=600)
        lab.run('tar', '-C', directory + '/root', '-cf', directory + '/tar', '.', timeout=120)
        lab.docker(info, 'import', directory + '/tar', name, timeout=300)


def copy_checkout(directory):
    """What a clean checkout would have, as it is now: no build directory goes in by mistake."""
    listed = subprocess.run(['git', '-C', ROOT, '-c', f'safe.directory={ROOT}', 'ls-files', '-z', '--cached', '--others',
                             '--exclude-standard'], capture_output=True, check=False)
    if listed.returncode != 0:
        shutil.copytree(ROOT, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns('build*', '.git'))
        return
    for name in filter(None, listed.stdout.decode().split('\0')):
        if os.path.lexists(f'{ROOT}/{name}'):
            os.makedirs(os.path.dirname(f'{directory}/{name}'), exist_ok=True)
            shutil.copy2(f'{ROOT}/{name}', f'{directory}/{name}', follow_symlinks=False)


@contextlib.contextmanager
def built_image():
    """The image, in the lab's Docker and in its containerd."""
    name = harness.unique('cgscope-e2e-image') + ':1'
    with builder() as info, harness.scratch_directory() as directory:
        for base in bases():
            provide_base(info, base)
        copy_checkout(directory + '/checkout')
        start = time.monotonic()
        build = subprocess.run(['docker', 'build', '--network', 'host', '--build-arg', 'REVISION=' + REVISION,
                                '--build-arg', 'SOURCE=' + SOURCE, '-t', name, directory + '/checkout'],
                               env=dict(lab.docker_environment(info), DOCKER_BUILDKIT='0'), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=BUILD_TIMEOUT, check=False)
        if build.returncode != 0:
            raise AssertionError('docker build:\n' + build.stdout.decode('utf-8', 'replace')[-4000:])
        print(f'built in {time.monotonic() - start:.0f} s', flush=True)
        saved = directory + '/image.tar'
        lab.docker(info, 'save', '-o', saved, name)
        if info is not INFO:
            lab.docker(INFO, 'load', '-i', saved)
        lab.ctr(INFO, 'images', 'import', '--snapshotter', 'native', saved)
    try:
        yield name
    finally:
        lab.docker(INFO, 'rmi', '-f', name, check=False)
        lab.ctr(INFO, 'images', 'rm', 'docker.io/library/' + name)


def unconfined():
    import cri
    return cri.SECCOMP_UNCONFINED


def can_be_privileged():
    """Docker gives all capabilities or fails, so it must have them itself."""
    try:
        lab.docker(INFO, 'run', '--rm', '--privileged', '--network', 'none', harness.IMAGE, 'true')
    except lab.LabError:
        return False
    return True


def privileges():
    if can_be_privileged():
        return ['--privileged']
    print('no --privileged where not all capabilities are there: tested with', *BPF_CAPABILITIES, flush=True)
    return ['--cap-drop', 'ALL', *(f'--cap-add={one}' for one in BPF_CAPABILITIES),
            '--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined']


class ImageAgent(test_cluster.Agent):
    """The pod of the manifest, with the image it is meant for."""

    def container_mounts(self):
        mounts = super().container_mounts()
        return mounts[:len(self.spec['volumeMounts'])]

    def container_config(self, name, words):
        config = super().container_config(name, words)
        del config['command']
        config['image'] = {'image': 'docker.io/library/' + IMAGE}
        return config


class Image(unittest.TestCase):
    def inspect(self, template):
        return json.loads(lab.docker(INFO, 'image', 'inspect', '-f', '{{json ' + template + '}}', IMAGE))

    def test_contents(self):
        size = self.inspect('.Size')
        print(f'{size / 1e6:.1f} MB')
        self.assertLess(size, SIZE_MAX)
        self.assertEqual(self.inspect('.Config.Entrypoint'), ['/usr/bin/cgscope'])
        labels = self.inspect('.Config.Labels')
        for key in 'title', 'description', 'version', 'licenses':
            self.assertTrue(labels['org.opencontainers.image.' + key])
        self.assertEqual(labels['org.opencontainers.image.revision'], REVISION)
        self.assertEqual(labels['org.opencontainers.image.source'], SOURCE)
        # The program and its libraries only.
        container = lab.docker(INFO, 'create', IMAGE).strip()
        try:
            with harness.scratch_directory() as directory:
                lab.docker(INFO, 'export', '-o', directory + '/tar', container)
                names = lab.run('tar', '-tf', directory + '/tar').split()
        finally:
            lab.docker(INFO, 'rm', container)
        files = [name for name in names if not name.endswith('/')
                 and not name.startswith(('dev/', 'etc/', '.dockerenv'))]
        self.assertIn('usr/bin/cgscope', files)
        self.assertEqual([name for name in files if name != 'usr/bin/cgscope' and '.so' not in name], [])

    def run_agent(self, *options, arguments=()):
        return lab.docker(INFO, 'run', '--rm', '--label', lab.LABEL, *options, *privileges(), '--pid', 'host',
                          '-v', '/:/host:ro', IMAGE, '--host-root', '/host', *arguments)

    def test_read_only_without_network(self):
        """As in the README, and neither writes nor talks to anybody."""
        with Container(INFO, 'tick=20', name=harness.unique('web1')) as container:
            out = self.run_agent('--read-only', '--network', 'none',
                                 arguments=['-i', '1', '-n', '3', '-o', 'json'])
        records = [json.loads(line) for line in out.splitlines()]
        own = container.of(records)
        self.assertEqual(len(harness.intervals(records)), 3)
        self.assertEqual(len(own), 3)
        for record in own:
            self.assertEqual(record['container']['name'], container.name)
            self.assertEqual(record['container']['image']['name'], harness.IMAGE)
            self.assertIs(record['resolved'], True)

    def start_until_ready(self):
        """Seconds from docker start until the first interval, of one second, is out."""
        port = tools.free_port()
        container = lab.docker(INFO, 'create', '--label', lab.LABEL, '--network', 'host', '--read-only', *privileges(),
                               '--pid', 'host', '-v', '/:/host:ro', IMAGE, '--host-root', '/host', '-i', '1',
                               '--listen', f'127.0.0.1:{port}').strip()
        try:
            start = time.monotonic()
            lab.docker(INFO, 'start', container)
            tools.wait_status(port, '/readyz', 200, 20)
            took = time.monotonic() - start
            print(f'ready {took:.2f} s after docker start, with -i 1')
            self.assertEqual(tools.get(port, '/healthz')[0], 200)
        finally:
            lab.docker(INFO, 'rm', '-f', container)
        return took

    def test_ready(self):
        """Within three seconds; another try or two, since others may use the machine."""
        for attempt in range(3):
            if self.start_until_ready() < READY_S:
                return
            time.sleep(2 * attempt)
        self.fail(f'not ready within {READY_S} s in three attempts')

    def test_unprivileged_in_docker(self):
        """As in docs/examples/compose.yaml, but without a network: these capabilities, read-only, no new privileges."""
        harness.need_capabilities(**test_cluster.CAPABILITY_BITS)
        import yaml
        with open(f'{ROOT}/docs/examples/compose.yaml', encoding='utf-8') as f:
            service = yaml.safe_load(f)['services']['cgscope']
        options = ['--pid', service['pid'], '--uts', service['uts'], '--read-only', '--network', 'none', '--cap-drop', 'ALL',
                   '--security-opt', 'no-new-privileges',
                   '-v', '/:/host:ro' + (',rslave' if test_cluster.is_shared('/') else '')]
        arguments = [one for one in service['command'] if not one.startswith(('--interval', '--listen'))] + ['--interval=1']
        capabilities = service['cap_add']
        if not self.knows(capabilities):
            capabilities = ['SYS_ADMIN', *(one for one in capabilities if one not in ('BPF', 'PERFMON'))]
            print('this Docker does not know CAP_BPF by name: tested with', *capabilities)
        for extra in [], ['--security-opt', 'seccomp=unconfined']:
            container = lab.docker(INFO, 'run', '-d', '--label', lab.LABEL, *options, *extra,
                                   *(f'--cap-add={one}' for one in capabilities), IMAGE, *arguments).strip()
            try:
                if self.check_unprivileged(container, capabilities):
                    return
            finally:
                lab.docker(INFO, 'rm', '-f', container)
            print("it does not start under this Docker's own seccomp profile: tried without")
        self.fail('it does not start')

    def knows(self, capabilities):
        try:
            container = lab.docker(INFO, 'create', *(f'--cap-add={one}' for one in capabilities), IMAGE).strip()
        except lab.LabError as e:
            if 'unknown capability' in str(e):
                return False
            raise
        lab.docker(INFO, 'rm', container)
        return True

    def check_unprivileged(self, agent, capabilities):
        """False where it did not start."""
        def records():
            text = subprocess.run(['docker', 'logs', agent], env=lab.docker_environment(INFO), capture_output=True,
                                  check=True, timeout=30).stdout.decode()
            return [json.loads(line) for line in text.splitlines()]
        if not lab.wait_until(records, 15):
            return False
        with Container(INFO, 'tick=20', name=harness.unique('web3')) as container:
            self.assertTrue(lab.wait_until(lambda: container.of(records()), 10))
            own = container.of(records())[0]
        self.assertEqual(own['container']['name'], container.name)
        self.assertEqual(own['host']['name'], os.uname().nodename)
        pid = lab.docker(INFO, 'inspect', '-f', '{{.State.Pid}}', agent).strip()
        with open(f'/proc/{pid}/status', encoding='utf-8') as f:
            status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
        self.assertEqual(int(status['CapBnd'], 16), sum(1 << BITS[one] for one in capabilities))
        self.assertEqual(status['NoNewPrivs'], '1')
        return True

    def test_stated_capabilities_only(self):
        """Unprivileged, as the manifest has it: these capabilities, read-only, by the image's own entrypoint."""
        harness.need_capabilities(**test_cluster.CAPABILITY_BITS)
        seccomp = None if test_cluster.runtime_default_allows_bpf() else unconfined()
        with Container(INFO, 'tick=20', name=harness.unique('web2')) as container, \
                ImageAgent(INFO, seccomp=seccomp) as agent:
            agent.wait_ready()
            self.assertTrue(lab.wait_until(lambda: container.of(agent.records()), 10), agent.errors())
            self.assertEqual(container.of(agent.records())[0]['container']['name'], container.name)
            self.assertEqual(agent.errors(), [])
            pids = agent.pids()
            self.assertEqual(len(pids), 1)
            with open(f'/proc/{pids[0]}/cmdline', 'rb') as f:
                self.assertEqual(f.read().split(b'\0')[0], b'/usr/bin/cgscope')
            with open(f'/proc/{pids[0]}/status', encoding='utf-8') as f:
                bounding = next(line.split()[1] for line in f if line.startswith('CapBnd:'))
            granted = sum(1 << test_cluster.CAPABILITY_BITS[name]
                          for name in agent.spec['securityContext']['capabilities']['add'])
            self.assertEqual(int(bounding, 16), granted)
            self.assertEqual(value(agent.records()[0], 'host', 'name'), 'worker-1')


if __name__ == '__main__':
    harness.main()
