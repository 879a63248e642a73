#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who a cgroup belongs to where names are hard to get, or are nobody's."""

import contextlib
import json
import os
import shutil
import unittest
import uuid

import harness
import lab
from harness import Cgroup, Container, Monitor, Pod, containers, rows, total, value


def setUpModule():
    global info
    info = harness.join_lab()


# What stands where a container's state should be. Only `whole` is good.

def whole(path, **other):
    with open(path, 'w', encoding='utf-8') as f:
        json.dump({'ID': os.path.basename(os.path.dirname(path)), 'Name': '/forged',
                   'Config': {'Image': 'forged'}, **other}, f)


def nothing(path):
    pass


def empty(path):
    with open(path, 'wb'):
        pass


def truncated(path):
    whole(path)
    os.truncate(path, 40)


def huge(path):
    whole(path, Padding='x' * (5 << 20))


def deep(path):
    with open(path, 'w', encoding='ascii') as f:
        f.write('{"Name":"/forged","Config":' + '[' * 100000)


def no_utf8(path):
    whole(path, Padding='MARK')
    with open(path, 'rb') as f:
        text = f.read().replace(b'MARK', b'\xff\xfe')
    with open(path, 'wb') as f:
        f.write(text)


def a_fifo(path):
    os.mkfifo(path)


def a_directory(path):
    os.mkdir(path)


def a_symlink(path):
    whole(path + '.target')
    os.symlink(path + '.target', path)


def of_a_stranger(path):
    whole(path)
    os.chown(path, 12345, 12345)


SPOILS = (whole, nothing, empty, truncated, huge, deep, no_utf8, a_fifo, a_directory, a_symlink,
          of_a_stranger)


class Kinds(unittest.TestCase):
    def record_of(self, path):
        comm = harness.unique_comm()
        with Cgroup(path) as cgroup, Monitor('-c', comm) as monitor:
            harness.run_load('name=' + comm, 'getppid=10', cgroup=cgroup)
        row, = rows(monitor.records, 'getppid')
        self.assertEqual(row['count'], 10)
        return row['record']

    def test_host(self):
        record = self.record_of('/')
        self.assertEqual(record['kind'], 'host')
        self.assertNotIn('container', record)
        self.assertEqual(record['cgroup']['path'], '/')

    def test_unit(self):
        unit = harness.unique('e2e') + '.service'
        record = self.record_of('/system.slice/' + unit)
        self.assertEqual(record['kind'], 'unit')
        self.assertEqual(record['systemd'], {'unit': unit})
        self.assertNotIn('container', record)
        self.assertNotIn('k8s', {k: v for k, v in record.items() if k != 'k8s'})

    def test_pod_without_container(self):
        uid = str(uuid.uuid4())
        record = self.record_of(f'/kubepods/burstable/pod{uid}')
        self.assertEqual(record['kind'], 'pod')
        self.assertEqual(record['k8s']['pod']['uid'], uid)
        self.assertNotIn('container', record)

    def test_unknown_container(self):
        """A container of which no runtime knows: its full id, and nothing made up."""
        number = os.urandom(32).hex()
        record = self.record_of(f'/docker/{number}')
        self.assertEqual(record['kind'], 'container')
        self.assertEqual(record['container']['id'], number)
        self.assertNotIn('name', record['container'])
        self.assertIs(record['resolved'], False)
        self.assertNotIn('name_source', record)

    def test_unknown(self):
        record = self.record_of(None)
        self.assertNotIn('container', record)
        self.assertNotIn('systemd', record)

    def test_leaves_itself_out(self):
        """From its first call on, though it writes all the time."""
        with Monitor(interval=0.1) as monitor:
            monitor.wait_intervals(10)
        self.assertEqual([row for row in rows(monitor.records) if row['pid'] == monitor.pid], [])


class Hard(unittest.TestCase):
    def test_child_cgroup_is_the_container(self):
        """What a container nests below itself, by whatever name, is billed to it."""
        comm = harness.unique_comm()
        with Container(info, 'tick=50') as victim, Container(info, 'tick=50') as outer:
            with open(f'/proc/{outer.pid}/cgroup', encoding='utf-8') as f:
                paths = {line.rstrip('\n').split(':', 2)[2] for line in f}
            top = next(p for p in paths if outer.id in p)
            for inner in 'child', f'docker-{victim.id}.scope', f'docker/{victim.id}':
                with self.subTest(inner=inner), Monitor() as monitor, \
                        Cgroup(f'{top}/{inner}') as cgroup:
                    harness.run_load('name=' + comm, 'getppid=100', cgroup=cgroup)
                    monitor.wait_intervals(1)
                    self.assertEqual(total(outer.of(monitor.records), 'getppid', comm=comm), 100)
                    self.assertEqual(total(victim.of(monitor.records), 'getppid', comm=comm), 0)
                # Docker cannot remove a cgroup that has children.
                for mount in lab.cgroup_mounts():
                    if inner.startswith('docker/'):
                        lab.remove_cgroup(f'{mount}{top}/docker')

    def root_without_state(self, directory):
        """A host root with the host's /proc and /sys, and no runtime's state in it."""
        for name in 'proc', 'sys', 'run', 'etc', 'var':
            os.mkdir(f'{directory}/{name}')
        script = ('mount --rbind /proc "$0/proc" && mount --rbind /sys "$0/sys" && exec "$@"')
        return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, directory]

    def test_missing_state(self):
        comm = harness.unique_comm()
        with harness.scratch_directory() as directory, Container(info, 'tick=50') as container, \
                Pod(info, 'tick=50') as pod:
            wrapper = self.root_without_state(directory)
            with Monitor('--host-root', directory, wrapper=wrapper, may_warn=True) as monitor:
                container.exec_load('name=' + comm, 'getppid=1000')
                pod.exec_load('name=' + comm, 'getppid=100')
                monitor.wait_intervals(2)
            records = monitor.records
        for one, count in (container, 1000), (pod, 100):
            mine = one.of(records)
            self.assertTrue(mine)
            for record in mine:
                self.assertIs(record['resolved'], False)
                self.assertNotIn('name', record['container'])
                self.assertNotIn('name_source', record)
            self.assertEqual(total(mine, 'getppid', comm=comm), count)
        self.assertEqual({value(r, 'k8s', 'pod', 'uid') for r in pod.of(records)}, {pod.uid})

    def test_hostile_state(self):
        """State that is no state: the id is shown, nothing else, and the monitor goes on."""
        state = lab.docker(info, 'info', '-f', '{{.DockerRootDir}}').strip() + '/containers'
        comm = harness.unique_comm()
        made = {}
        try:
            with contextlib.ExitStack() as stack:
                cgroups = {}
                for spoil in SPOILS:
                    number = os.urandom(32).hex()
                    cgroups[number] = stack.enter_context(Cgroup('/docker/' + number))
                    made[number] = spoil
                    os.mkdir(f'{state}/{number}')
                    spoil(f'{state}/{number}/config.v2.json')
                with Monitor('-c', comm, may_warn=True) as monitor:
                    for cgroup in cgroups.values():
                        harness.run_load('name=' + comm, 'getppid=10', cgroup=cgroup)
                    monitor.wait_intervals(2)
        finally:
            for number in made:
                shutil.rmtree(f'{state}/{number}')
        for number, spoil in made.items():
            mine = containers(monitor.records, container_id=number)
            with self.subTest(spoil=spoil.__name__):
                self.assertEqual(total(mine, 'getppid', comm=comm), 10)
                for record in mine:
                    self.assertIs(record['resolved'], spoil == whole)
                    self.assertEqual('name' in record['container'], spoil == whole)
                    self.assertEqual('image' in record['container'], spoil == whole)

    def test_through_the_first_process_root(self):
        """Where the runtimes' state is not in sight, the root of process 1 has it.

        A machine may refuse to show that root: then the ids remain.
        """
        if harness.OTHER_MOUNTS:
            self.skipTest('the lab is not in the root of process 1')
        hide = ('for d in /var/lib /var/log /run; do mount -t tmpfs none $d || exit; done; '
                'exec "$0" "$@"')
        wrapper = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', hide]
        with Container(info, 'tick=50') as container, Pod(info, 'tick=50') as pod, \
                Monitor(wrapper=wrapper, may_warn=True) as monitor:
            monitor.wait_intervals(3)
        names = [container.name, pod.container] if harness.FIRST_MOUNTS else [None, None]
        for one, name in zip((container, pod), names):
            mine = one.of(monitor.records)
            self.assertTrue(mine)
            self.assertEqual(value(mine[-1], 'container', 'name'), name)
            self.assertIs(mine[-1]['resolved'], name is not None)


class InContainer(unittest.TestCase):
    """docker run --privileged --pid=host, as in the README."""

    PRIVILEGED = ['--privileged']
    # For where Docker itself has not every capability to give.
    NEARLY = ['--cap-add', 'ALL', '--cap-drop', 'SYS_RESOURCE', '--security-opt',
              'seccomp=unconfined', '--security-opt', 'apparmor=unconfined', '-v', '/sys:/sys']

    def options(self):
        try:
            lab.docker(info, 'run', '--rm', '--network', 'none', '--label', lab.LABEL,
                       *self.PRIVILEGED, harness.IMAGE, 'true')
            return self.PRIVILEGED
        except lab.LabError:
            return self.NEARLY

    def test_sees_what_the_host_sees(self):
        if harness.OTHER_MOUNTS:
            self.skipTest('the lab is not in the root of process 1')
        directory = os.path.dirname(harness.CGSCOPE)
        volumes = [f'-v={path}:{path}:ro' for path in ('/usr', '/lib', '/lib64', directory)
                   if os.path.exists(path)]
        # Where process 1 does not show its root, the README's other way.
        host_volume, host_root = ([], []) if harness.FIRST_MOUNTS else (
            ['-v=/:/host:ro'], ['--host-root', '/host'])
        with Container(info, 'tick=50') as container, Pod(info, 'tick=50') as pod:
            out = lab.docker(info, 'run', '--rm', '--network', 'none', '--label', lab.LABEL,
                             '--pid=host', *self.options(), *volumes, *host_volume, harness.IMAGE,
                             harness.CGSCOPE, '-i', '0.5', '-n', '3', '-o', 'json', *host_root)
            inside = [harness.parse(line + b'\n') for line in out.encode().splitlines()]
            outside = harness.monitor_once('-n', '3', interval=0.5)
        for one in container, pod:
            seen = [{(r['cgroup']['id'], r['cgroup']['path'], r['container']['name'],
                      value(r, 'k8s', 'pod', 'name')) for r in one.of(records)}
                    for records in (inside, outside)]
            self.assertEqual(len(seen[0]), 1)
            self.assertEqual(seen[0], seen[1])
        self.assertTrue(containers(inside, container_id=pod.sandbox_id))


if __name__ == '__main__':
    harness.main()
