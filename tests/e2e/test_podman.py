#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real Podman as root: containers, a pod, rename, restart, a store that was moved."""

import contextlib
import glob
import os
import shutil
import subprocess
import sys
import time
import unittest

import private

if __name__ == '__main__':
    private.enter()

import harness
import lab
from harness import Monitor, containers, rows, total, value

NEEDED = {'podman': 'podman', 'conmon': 'conmon', 'runc': 'runc', '/bin/busybox': 'busybox-static',
          '/etc/containers': 'golang-github-containers-common'}
IMAGE = 'localhost/' + harness.IMAGE
RENAME_SECONDS = 10
DEFAULT = '/run/containers/storage', '/var/lib/containers/storage', 'overlay'
MOVED = '/run/elsewhere', '/var/lib/elsewhere', 'vfs'


def setUpModule():
    harness.need_root()
    lacks = private.lacking(NEEDED)
    if lacks:
        raise unittest.SkipTest('needs ' + lacks)
    if not lab.cgroup_mounts():
        raise unittest.SkipTest(f'needs a cgroup file system below {lab.CGROUP_ROOT}')
    # It knows which containers run by its files alone: this one's see none of the machine's.
    private.hide('/run', '/var/lib', '/etc/containers')
    unittest.addModuleCleanup(remove_cgroups)
    private.write('/etc/containers/policy.json',
                  '{"default": [{"type": "insecureAcceptAnything"}]}')
    limits = '' if lab.has_capability(lab.CAP_SYS_RESOURCE) else (
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n')
    # crun refuses hybrid cgroups.
    private.write('/etc/containers/containers.conf', limits + '''[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
''')


def remove_cgroups():
    """What Podman leaves behind: its parent, and the monitors' cgroup in there."""
    for mount in lab.cgroup_mounts():
        if not glob.glob(mount + '/libpod_parent/**/libpod-*', recursive=True):
            lab.remove_cgroup(mount + '/libpod_parent')


def podman(*args, check=True):
    result = subprocess.run(['podman', *args], stdin=subprocess.DEVNULL, capture_output=True,
                            timeout=60, check=False, env=dict(os.environ, PATH=private.PATH))
    if check and result.returncode != 0:
        raise AssertionError(f'podman {args}: {result.stderr.decode()}')
    return result.stdout.decode().strip()


class Container:
    """A container that runs `load` with @words."""

    def __init__(self, *words, options=()):
        self.name = harness.unique('pm')
        self.words = words
        self.options = options

    def __enter__(self):
        network = [] if '--pod' in self.options else ['--network', 'host']
        self.id = podman('run', '-d', '--name', self.name, *network, *self.options,
                         harness.IMAGE, 'load', *self.words)
        return self

    def __exit__(self, *_):
        podman('rm', '-f', '-t', '0', self.id)

    def exec_load(self, *words):
        podman('exec', self.id, 'load', *words)

    @property
    def pid(self):
        return int(podman('inspect', '-f', '{{.State.Pid}}', self.id))

    def of(self, records):
        return containers(records, container_id=self.id)


class WithStore(unittest.TestCase):
    STORE = DEFAULT

    @classmethod
    def setUpClass(cls):
        runroot, graphroot, driver = cls.STORE
        private.write('/etc/containers/storage.conf', f'[storage]\ndriver = "{driver}"\n'
                      f'runroot = "{runroot}"\ngraphroot = "{graphroot}"\n')
        with harness.scratch_directory() as directory:
            lab.write_image(directory + '/image.tar', harness.LOAD)
            podman('import', directory + '/image.tar', harness.IMAGE)
        cls.addClassCleanup(cls.forget)

    @staticmethod
    def forget():
        podman('rm', '-f', '-a', '-t', '0', check=False)
        podman('pod', 'rm', '-f', '-a', check=False)
        podman('rmi', '-f', '-a', check=False)
        shutil.rmtree('/run/libpod', ignore_errors=True)  # remembers where the store is

    def assert_is(self, record, container, name=None, kind='container'):
        self.assertEqual(record['kind'], kind)
        self.assertEqual(record['container'], {
            'id': container.id, 'name': name or container.name, 'runtime': {'name': 'podman'},
            'image': {'name': IMAGE}})
        self.assertIs(record['resolved'], True)
        self.assertEqual(record['name_source'], 'podman-storage')
        self.assertNotIn('pod', record.get('k8s', {}))
        self.assertIn(f'/libpod-{container.id}', record['cgroup']['path'])


class Podman(WithStore):
    def test_container(self):
        comm = harness.unique_comm()
        with Container('tick=50') as container, Monitor() as monitor:
            container.exec_load('name=' + comm, 'getppid=5000')
            pid = container.pid
            monitor.wait_intervals(2)
        mine = container.of(monitor.records)
        self.assertTrue(mine)
        for record in mine:
            self.assert_is(record, container)
        self.assertEqual(total(mine, 'getppid', comm=comm), 5000)
        self.assertEqual(total(monitor.records, 'getppid', comm=comm), 5000)
        self.assertEqual({row['pid'] for row in rows(mine, 'clock_nanosleep')}, {pid})

    def test_pod(self):
        """A pod's containers have their names, and what only holds it together is a sandbox."""
        pod = harness.unique('pmpod')
        podman('pod', 'create', '--name', pod, '--network', 'host', '--infra-image',
               harness.IMAGE, '--infra-command', '/bin/load tick=50')
        try:
            with Container('tick=50', options=['--pod', pod]) as container, Monitor() as monitor:
                pod_id = podman('pod', 'inspect', '-f', '{{.Id}}', pod)
                infra = podman('pod', 'inspect', '-f', '{{.InfraContainerID}}', pod)
                monitor.wait_intervals(3)
        finally:
            podman('pod', 'rm', '-f', '-t', '0', pod)
        for record in container.of(monitor.records):
            self.assert_is(record, container)
            self.assertIn(f'/{pod_id}/', record['cgroup']['path'])
        self.assertTrue(container.of(monitor.records))
        sandboxes = containers(monitor.records, container_id=infra)
        self.assertTrue(sandboxes)
        for record in sandboxes:
            self.assertEqual(record['kind'], 'sandbox')
            self.assertEqual(record['container']['name'], pod_id[:12] + '-infra')
        # The pod's own id is no container's, nor are the monitors.
        self.assertEqual(containers(monitor.records, container_id=pod_id), [])
        self.assertFalse([r for r in containers(monitor.records) if 'container' in r
                          and 'conmon' in r['cgroup']['path']])

    def test_rename(self):
        new = harness.unique('renamed')
        with Container('tick=100') as container, Monitor(interval=0.5) as monitor:
            monitor.wait_record(lambda r: value(r, 'container', 'name') == container.name)
            podman('rename', container.name, new)
            began = time.monotonic()
            record = monitor.wait_record(lambda r: value(r, 'container', 'name') == new,
                                         seconds=RENAME_SECONDS + 2)
            self.assertLess(time.monotonic() - began, RENAME_SECONDS + 0.6)
            self.assert_is(record, container, name=new)

    def test_restart(self):
        with Container('tick=50') as container, Monitor() as monitor:
            first = monitor.wait_record(lambda r: value(r, 'container', 'id') == container.id)
            podman('restart', '-t', '0', container.id)
            pid = container.pid
            monitor.wait_record(lambda r: value(r, 'container', 'id') == container.id
                                and any(p['pid'] == pid for p in r.get('processes', [])))
            monitor.wait_intervals(2)
        mine = container.of(monitor.records)
        self.assertNotEqual(first['cgroup']['id'], mine[-1]['cgroup']['id'])
        for record in mine:
            self.assert_is(record, container)

    def test_started_later(self):
        """Every record of one that comes and goes has its name, also with --rm."""
        comm = harness.unique_comm()
        names = [harness.unique('quick') for _ in range(5)]
        with Monitor() as monitor:
            for name in names:
                podman('run', '--rm', '--name', name, '--network', 'host', harness.IMAGE, 'load',
                       'name=' + comm, 'getpgrp=3')
            monitor.wait_intervals(2)
        found = [row['record'] for row in rows(monitor.records, 'getpgrp', comm)]
        self.assertEqual(sorted(value(r, 'container', 'name') or r for r in found), names)

    def test_pretender(self):
        """A container that is called as another one's cgroup: billed itself."""
        comm = harness.unique_comm()
        with Container('tick=50') as victim, Container('tick=50') as outer:
            with open(f'/proc/{outer.pid}/cgroup', encoding='utf-8') as f:
                top, = {line.rstrip('\n').split(':', 2)[2] for line in f}
            with Monitor() as monitor, harness.Cgroup(f'{top}/libpod-{victim.id}') as cgroup:
                harness.run_load('name=' + comm, 'getppid=100', cgroup=cgroup)
                monitor.wait_intervals(1)
        self.assertEqual(total(outer.of(monitor.records), 'getppid', comm=comm), 100)
        self.assertEqual(total(victim.of(monitor.records), 'getppid', comm=comm), 0)


class MovedStore(WithStore):
    """storage.conf says another place and another driver."""

    STORE = MOVED

    def test_container(self):
        with Container('tick=50') as container, Monitor() as monitor:
            monitor.wait_intervals(2)
        self.assertTrue(container.of(monitor.records))
        for record in container.of(monitor.records):
            self.assert_is(record, container)


if __name__ == '__main__':
    harness.main()
