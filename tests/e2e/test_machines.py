#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Systems that go by a name: LXC and systemd-nspawn, both real."""

import contextlib
import os
import signal
import subprocess
import unittest

import private

if __name__ == '__main__':
    private.enter()

import harness
import lab
from harness import Cgroup, Monitor, containers, rows, total, value

BUSYBOX = {'/bin/busybox': 'busybox-static'}
LXC = {'lxc-start': 'lxc', **BUSYBOX}
NSPAWN = {'systemd-nspawn': 'systemd-container', **BUSYBOX}
MACHINES = '/run/systemd/machines'


def setUpModule():
    harness.need_root()
    if not lab.cgroup_mounts():
        raise unittest.SkipTest(f'needs a cgroup file system below {lab.CGROUP_ROOT}')
    private.hide('/run', '/var/lib')


def make_root(path):
    os.makedirs(path)
    with harness.scratch_directory() as directory:
        lab.write_image(directory + '/image.tar', harness.LOAD)
        subprocess.run(['tar', '-C', path, '-xf', directory + '/image.tar'], check=True)


def need(needed):
    lacks = private.lacking(needed)
    if lacks:
        raise unittest.SkipTest('needs ' + lacks)


@contextlib.contextmanager
def running(*argv, stop):
    """A program in the foreground; @stop is called to end it."""
    with harness.scratch_directory() as directory, open(directory + '/log', 'wb') as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=dict(os.environ, PATH=private.PATH))
        try:
            yield process, lambda: lab.tail(directory + '/log')
        finally:
            stop(process)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Machine(unittest.TestCase):
    def assert_is(self, record, name, runtime, source):
        self.assertEqual(record['kind'], 'container')
        self.assertEqual(record['container'],
                         {'id': name, 'name': name, 'runtime': {'name': runtime}})
        self.assertIs(record['resolved'], True)
        self.assertEqual(record['name_source'], source)
        self.assertNotIn('systemd', record)


class Lxc(Machine):
    @classmethod
    def setUpClass(cls):
        need(LXC)
        os.mkdir('/var/lib/lxc')
        cls.before = {path for mount in lab.cgroup_mounts() for path in lab.entries(mount)}
        cls.addClassCleanup(cls.remove_cgroups)

    @classmethod
    def remove_cgroups(cls):
        """liblxc leaves an empty one per hierarchy behind."""
        for mount in lab.cgroup_mounts():
            if 'lxc.pivot' not in cls.before:
                lab.remove_cgroup(mount + '/lxc.pivot')

    def make(self, name):
        make_root(f'/var/lib/lxc/{name}/rootfs')
        private.write(f'/var/lib/lxc/{name}/config', f'''lxc.uts.name = {name}
lxc.rootfs.path = dir:/var/lib/lxc/{name}/rootfs
lxc.net.0.type = none
lxc.mount.auto = proc:rw
lxc.apparmor.profile = unconfined
lxc.init.cmd = /bin/load name={name} tick=50
''')

    @contextlib.contextmanager
    def started(self, name):
        def stop(process):
            subprocess.run(['lxc-stop', '-k', '-n', name], check=False, timeout=20,
                           stderr=subprocess.DEVNULL)

        with running('lxc-start', '-F', '-n', name, stop=stop) as (process, log):
            if not lab.wait_until(lambda: self.pid(name) or process.poll() is not None, 10) or (
                    process.poll() is not None):
                raise AssertionError('LXC does not start: ' + log())
            yield

    @staticmethod
    def pid(name):
        result = subprocess.run(['lxc-info', '-n', name, '-p', '-H'], check=False, timeout=20,
                                capture_output=True)
        return int(result.stdout or 0)

    def test_container(self):
        name = harness.unique('lx')
        self.make(name)
        with Monitor() as monitor, self.started(name):
            pid = self.pid(name)
            monitor.wait_record(lambda r: value(r, 'container', 'id') == name)
            monitor.wait_intervals(2)
        mine = containers(monitor.records, container_id=name)
        for record in mine:
            self.assert_is(record, name, 'lxc', 'lxc')
        self.assertEqual({row['pid'] for row in rows(mine, 'clock_nanosleep', name)}, {pid})
        # LXC's own process on the host is nobody's container.
        monitors = [r for r in containers(monitor.records)
                    if r['cgroup']['path'].startswith('/lxc.monitor')]
        self.assertEqual([r for r in monitors if 'container' in r], [])

    def test_clash(self):
        """Where the cgroup is there already, LXC counts on; the container's name stays."""
        name = harness.unique('lx')
        self.make(name)
        with Cgroup(f'/lxc.payload.{name}'), Monitor() as monitor, self.started(name):
            record = monitor.wait_record(lambda r: value(r, 'container', 'name') == name)
        self.assertEqual(record['cgroup']['path'], f'/lxc.payload.{name}-1')
        self.assertIs(record['resolved'], True)

    def test_guest_pretends(self):
        """What a guest builds below itself is the guest's, whatever it is called."""
        name, comm = harness.unique('lx'), harness.unique_comm()
        self.make(name)
        with self.started(name):
            for inner in f'system.slice/docker-{"a" * 64}.scope', f'docker/{"b" * 64}', 'init.scope':
                with self.subTest(inner=inner), Monitor('-c', comm) as monitor, \
                        Cgroup(f'/lxc.payload.{name}/{inner}') as cgroup:
                    harness.run_load('name=' + comm, 'getppid=100', cgroup=cgroup)
                mine = containers(monitor.records, container_id=name)
                self.assertEqual(total(mine, 'getppid', comm=comm), 100)
                self.assertEqual(containers(monitor.records), mine)


class Nspawn(Machine):
    """systemd makes the scope, and machined the file, on a real system: here the test does."""

    @classmethod
    def setUpClass(cls):
        need(NSPAWN)
        os.makedirs(MACHINES)

    @contextlib.contextmanager
    def started(self, name):
        root = f'/var/lib/machines/{name}'
        make_root(root)
        os.makedirs(root + '/usr/lib')
        private.write(root + '/usr/lib/os-release', 'ID=test\n')
        scope = f'machine-{name}.scope'.replace('-', r'\x2d').replace(r'\x2d', '-', 1)
        mounts = [m for m in lab.cgroup_mounts() if os.path.basename(m) in
                  ('unified', 'systemd', 'memory', 'pids', 'cgroup')]
        # As machined does, which calls every unit a scope and doubles the backslashes in its name.
        escaped = scope.replace('\\', '\\\\')
        private.write(f'{MACHINES}/{name}', '# This is private data. Do not parse.\n'
                      f'NAME={name}\nSCOPE={escaped}\nSERVICE=systemd-nspawn\nROOT={root}\nCLASS=container\n')
        tops = [f'{m}/machine.slice' for m in mounts]
        made = [top for top in tops if not os.path.isdir(top)]
        join = 'for d in "$@"; do mkdir -p "$d"; echo $$ >"$d/cgroup.procs"; done; '
        script = (join + f'exec systemd-nspawn --register=no --keep-unit -q -D {root} -M {name} '
                  f'/bin/load name={name} tick=50')
        try:
            with running('sh', '-c', script, 'sh', *[f'{top}/{scope}' for top in tops],
                         stop=self.stop) as (process, log):
                if not lab.wait_until(lambda: self.guest(process.pid)
                                      or process.poll() is not None, 10):
                    raise AssertionError('nspawn does not start: ' + log())
                if process.poll() is not None:
                    self.skipTest('systemd-nspawn cannot run here: ' + log())
                yield process
        finally:
            for top in tops:
                lab.wait_until(lambda t=top: not os.path.isdir(f'{t}/{scope}') or (
                    lab.remove_cgroup(f'{t}/{scope}'), not os.path.isdir(f'{t}/{scope}'))[1], 5)
                if top in made:
                    lab.remove_cgroup(top)

    @staticmethod
    def stop(process):
        guest = Nspawn.guest(process.pid)
        if guest:
            os.kill(guest, signal.SIGKILL)
        elif process.poll() is None:
            process.terminate()

    @staticmethod
    def guest(pid):
        """The guest's first process: load, once it has given itself its name."""
        with contextlib.suppress(OSError):
            with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
                for child in f.read().split():
                    with open(f'/proc/{child}/cmdline', 'rb') as f2:
                        if f2.read().startswith(b'/bin/load\0'):
                            return int(child)
        return None

    def test_container(self):
        for name in harness.unique('nspawn'), f'plain{os.getpid()}':
            with self.subTest(name=name), self.started(name) as process, Monitor() as monitor:
                guest = self.guest(process.pid)
                monitor.wait_record(lambda r: value(r, 'container', 'id') == name)
                monitor.wait_intervals(2)
            mine = containers(monitor.records, container_id=name)
            for record in mine:
                self.assert_is(record, name, 'systemd-nspawn', 'machined')
            self.assertIn(guest, {row['pid'] for row in rows(mine, 'clock_nanosleep', name[:15])})


if __name__ == '__main__':
    harness.main()
