#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Containers that want to pass for another one, from the inside: each is billed itself."""

import contextlib
import json
import os
import shutil
import unittest
import uuid

import harness
import lab
from harness import Cgroup, Container, Monitor, Pod, containers, rows, total, value

SYSTEM_POD = {'io.kubernetes.pod.name': 'kube-apiserver', 'io.kubernetes.pod.namespace': 'kube-system',
              'io.kubernetes.container.name': 'kube-apiserver', 'io.kubernetes.pod.uid': str(uuid.uuid4())}


def setUpModule():
    global info
    info = harness.join_lab()


class FromTheInside(unittest.TestCase):
    # The machine's cgroups, for writing: what a privileged container has.
    WRITABLE = ['-v', f'{lab.CGROUP_ROOT}:{lab.CGROUP_ROOT}']

    def directories(self, container):
        """Its cgroups in the hierarchies that cgscope may have chosen."""
        with open(f'/proc/{container.pid}/cgroup', encoding='utf-8') as f:
            paths = {line.rstrip('\n').split(':', 2)[2] for line in f}
        path = next(p for p in paths if container.id in p)
        return [os.fsdecode(directory) for directory in Cgroup(path).directories]

    def test_a_scope_called_as_the_victim(self):
        comm = harness.unique_comm()
        with Container(info, 'tick=50') as victim, \
                Container(info, 'tick=50', options=self.WRITABLE) as outer:
            inners = (f'docker-{victim.id}.scope', f'system.slice/docker-{victim.id}.scope',
                      f'docker/{victim.id}', f'kubepods/besteffort/pod{uuid.uuid4()}/{victim.id}')
            with Monitor() as monitor:
                for inner in inners:
                    made = [f'{directory}/{inner}' for directory in self.directories(outer)]
                    lab.docker(info, 'exec', outer.id, 'mkdir', '-p', *made)
                    outer.exec_load(*['join=' + directory for directory in made],
                                    'name=' + comm, 'getppid=100')
                monitor.wait_intervals(2)
            for directory in self.directories(outer):
                for inner in inners:
                    lab.remove_cgroup(f'{directory}/{inner.split("/")[0]}')
        records = monitor.records
        self.assertEqual(total(outer.of(records), 'getppid', comm=comm), 100 * len(inners))
        self.assertEqual(total(records, 'getppid', comm=comm), 100 * len(inners))
        self.assertEqual({p['comm'] for r in victim.of(records) for p in r['processes']}, {'load'})
        for record in outer.of(records):
            self.assertEqual(record['container']['name'], outer.name)
            self.assertNotIn('pod', record.get('k8s', {}))

    def test_labels_of_the_system(self):
        """Labels, of an image or of a container, and a name as cri-dockerd gives them."""
        labels = [word for key, text in SYSTEM_POD.items() for word in ('--label', f'{key}={text}')]
        name = f'k8s_kube-apiserver_kube-apiserver-{os.getpid()}_kube-system_{uuid.uuid4()}_0'
        image = f'cgscope-e2e-forged-{os.getpid()}:1'
        with harness.scratch_directory() as directory:
            lab.write_image(directory + '/image.tar', harness.LOAD)
            changes = [word for key, text in SYSTEM_POD.items()
                       for word in ('--change', f'LABEL {key}={text}')]
            lab.docker(info, 'import', *changes, directory + '/image.tar', image)
        try:
            with Container(info, 'tick=50', name=name, options=labels, image=image) as forged, \
                    Monitor() as monitor:
                self.assertEqual(forged.inspect('{{index .Config.Labels "io.kubernetes.pod.name"}}'),
                                 'kube-apiserver')
                monitor.wait_intervals(3)
        finally:
            lab.docker(info, 'rmi', '-f', image, check=False)
        self.assertTrue(forged.of(monitor.records))
        for record in forged.of(monitor.records):
            self.assertEqual(record['kind'], 'container')
            self.assertEqual(record['container']['name'], name)
            self.assertEqual(record['container']['image']['name'], image)
            self.assertEqual(set(record.get('k8s', {})) - {'node'}, set())


class FromAService(unittest.TestCase):
    """A service that was given its part of the hierarchy makes what a runtime makes at the top."""

    def test_paths_of_others(self):
        comm, unit = harness.unique_comm(), harness.unique('alice') + '.service'
        with Container(info, 'tick=50') as victim, Pod(info, 'tick=50') as pod:
            inners = (f'/docker-{victim.id}.scope', f'/system.slice/docker-{victim.id}.scope',
                      f'/docker/{victim.id}', f'{pod.parent}/{pod.id}')
            with contextlib.ExitStack() as stack:
                made = [stack.enter_context(Cgroup(f'/system.slice/{unit}{inner}')) for inner in inners]
                monitor = stack.enter_context(Monitor('-c', comm))
                for cgroup in made:
                    harness.run_load('name=' + comm, 'getppid=100', cgroup=cgroup)
                monitor.wait_intervals(2)
        for record in containers(monitor.records):
            self.assertEqual((record['kind'], value(record, 'systemd', 'unit')), ('unit', unit), record)
        self.assertEqual(total(monitor.records, 'getppid', comm=comm), 100 * len(inners))


def has_process(cgroup):
    with open(cgroup.directories[0] + b'/cgroup.procs', encoding='ascii') as f:
        return f.read() != ''


class Check(unittest.TestCase):
    def test_says_what_has_no_name(self):
        path = '/docker/' + os.urandom(32).hex()
        with Container(info, 'tick=50'):
            before = harness.cgscope('check', *harness.ROOT_OPTIONS)[1]
            with Cgroup(path) as cgroup:
                _, left, _ = harness.cgscope('check', *harness.ROOT_OPTIONS)
                with harness.running_load('tick=50', cgroup=cgroup):
                    self.assertTrue(lab.wait_until(lambda: has_process(cgroup), 10))
                    _, after, _ = harness.cgscope('check', *harness.ROOT_OPTIONS)
        for text in before, left:  # a directory without a process is no container
            self.assertNotIn(path, text)
        self.assertRegex(after, r'names +note +of \d+ containers \d+ are known by id only')

    def test_says_what_may_not_be_read(self):
        nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']
        with Container(info, 'tick=50'):
            _, out, err = harness.cgscope('check', *harness.ROOT_OPTIONS, wrapper=nobody)
        self.assertRegex(out, r'names +note +of .* docker .*: cannot be read: Permission denied', err)


class State(unittest.TestCase):
    """What a container might get to plant where its state is."""

    def check(self, plant, named=False):
        state = lab.docker(info, 'info', '-f', '{{.DockerRootDir}}').strip() + '/containers'
        comm, number = harness.unique_comm(), os.urandom(32).hex()
        try:
            plant(f'{state}/{number}', number)
            with Cgroup('/docker/' + number) as cgroup, Monitor('-c', comm, may_warn=True) as monitor:
                harness.run_load('name=' + comm, 'getppid=10', cgroup=cgroup)
                monitor.wait_intervals(2)
        finally:
            with contextlib.suppress(OSError):  # a link, or a directory
                os.unlink(f'{state}/{number}')
            shutil.rmtree(f'{state}/{number}', ignore_errors=True)
        mine = containers(monitor.records, container_id=number)
        self.assertEqual(total(mine, 'getppid', comm=comm), 10)
        for record in mine:
            self.assertEqual('name' in record['container'], named)
        return mine

    @staticmethod
    def write(directory, text):
        os.mkdir(directory)
        with open(directory + '/config.v2.json', 'wb') as f:
            f.write(text)

    def test_nul_in_the_name(self):
        self.check(lambda path, number: self.write(path, json.dumps(
            {'ID': number, 'Name': '/good\0evil'}).encode()))

    def test_nul_in_a_key(self):
        self.check(lambda path, number: self.write(path, json.dumps(
            {'ID': number, 'Name': '/good', 'a\0b': 1}).encode()))

    def test_nul_elsewhere(self):
        """It is no reason to lose the name."""
        self.check(lambda path, number: self.write(path, json.dumps(
            {'ID': number, 'Name': '/good', 'Args': ['a\0b']}).encode()), named=True)

    def test_name_of_control_characters(self):
        self.check(lambda path, number: self.write(path, json.dumps(
            {'ID': number, 'Name': '/\x1b[31mroot\n'}).encode()))

    def test_id_of_another(self):
        self.check(lambda path, number: self.write(path, json.dumps(
            {'ID': 'f' * 64, 'Name': '/good'}).encode()))

    def test_directory_is_a_link(self):
        with harness.scratch_directory() as directory:
            def plant(path, number):
                self.write(directory + '/real', json.dumps({'ID': number, 'Name': '/good'}).encode())
                os.symlink(directory + '/real', path)
            self.check(plant)

    def test_link_to_the_shadow(self):
        def plant(path, number):
            os.mkdir(path)
            os.symlink('/etc/shadow', path + '/config.v2.json')
        self.check(plant)

    def test_a_device(self):
        """/dev/zero, whose end nobody has seen."""
        def plant(path, number):
            os.mkdir(path)
            os.mknod(path + '/config.v2.json', 0o600 | 0o020000, os.makedev(1, 5))
        self.check(plant)

    def test_wide(self):
        """Not deep but wide, and within the size: a hundred thousand keys."""
        self.check(lambda path, number: self.write(path, json.dumps(
            {'ID': number, 'Name': '/good', **{f'k{i}': i for i in range(100000)}}).encode()),
            named=True)


if __name__ == '__main__':
    harness.main()
