#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""--container, --pod, --namespace and --cgroup on real containers, and what the kernel leaves out."""

import contextlib
import datetime
import json
import os
import shutil
import subprocess
import time
import unittest

import harness
import lab
import private
from harness import Cgroup, Container, Monitor, Pod, containers, rows, total, value

RENAME_SECONDS = 10


def setUpModule():
    global info
    info = harness.join_lab()


def excluded_by(monitor):
    """The cgroup ids that @monitor has the kernel leave out."""
    tool = shutil.which('bpftool', path=private.PATH)
    if not tool:
        raise unittest.SkipTest('needs bpftool')
    for fd in os.listdir(f'/proc/{monitor.pid}/fdinfo'):
        with contextlib.suppress(OSError):
            with open(f'/proc/{monitor.pid}/fdinfo/{fd}', encoding='ascii') as f:
                facts = dict(line.split(':', 1) for line in f if ':' in line)
            if 'map_id' not in facts:
                continue
            number = facts['map_id'].strip()
            shown = json.loads(subprocess.run([tool, '-j', 'map', 'show', 'id', number],
                                              check=True, capture_output=True).stdout)
            if shown['name'] != 'excluded_cgroups'[:15]:
                continue
            dump = json.loads(subprocess.run([tool, '-j', 'map', 'dump', 'id', number],
                                             check=True, capture_output=True).stdout)
            return {int.from_bytes(bytes(int(b, 16) for b in one['key']), 'little')
                    for one in dump}
    raise AssertionError('the monitor has no such map')


def cgroup_ids(path):
    """The ids of @path in every hierarchy that cgscope may have chosen."""
    return {os.stat(directory).st_ino for directory in Cgroup(path).directories
            if os.path.isdir(directory)}


def path_of(pid):
    with open(f'/proc/{pid}/cgroup', encoding='utf-8') as f:
        return next(line.rstrip('\n').split(':', 2)[2] for line in f
                    if line.startswith('0::') or ':memory:' in line)


def time_of(record):
    return datetime.datetime.fromisoformat(record['timestamp'].replace('Z', '+00:00'))


class Kernel(unittest.TestCase):
    def test_excluded_until_renamed(self):
        """What no filter wants is left out by the kernel, until a new name makes it wanted."""
        stem = harness.unique('wanted')
        with Container(info, 'tick=20', name=stem + '-1') as wanted, \
                Container(info, 'tick=20') as other, \
                Monitor('--container', stem + '*', interval=0.5) as monitor:
            ids = {one: cgroup_ids(path_of(one.pid)) for one in (wanted, other)}
            self.assertTrue(lab.wait_until(lambda: excluded_by(monitor) & ids[other], 10))
            self.assertFalse(excluded_by(monitor) & ids[wanted])
            before = other.of(monitor.records)
            lab.docker(info, 'rename', other.id, stem + '-2')
            began = time.monotonic()
            monitor.wait_record(lambda r: value(r, 'container', 'name') == stem + '-2',
                                seconds=RENAME_SECONDS + 2)
            self.assertLess(time.monotonic() - began, RENAME_SECONDS + 0.6)
            self.assertFalse(excluded_by(monitor) & ids[other])
            # And out again.
            lab.docker(info, 'rename', other.id, harness.unique('other'))
            self.assertTrue(lab.wait_until(lambda: excluded_by(monitor) & ids[other],
                                           RENAME_SECONDS + 2))
        self.assertEqual(before, [])
        self.assertEqual({r['container']['id'] for r in containers(monitor.records)},
                         {wanted.id, other.id})

    def test_calls_of_the_excluded(self):
        """Once left out, its calls cost no row: they do not even reach the table of rows."""
        with Container(info, 'tick=20') as other, \
                Monitor('--container', harness.unique('nobody'), interval=0.2) as monitor:
            ids = cgroup_ids(path_of(other.pid))
            self.assertTrue(lab.wait_until(lambda: excluded_by(monitor) & ids, 10))
            other.exec_load('getppid=1000')
            monitor.wait_intervals(3)
            self.assertTrue(excluded_by(monitor) & ids)
        self.assertEqual(containers(monitor.records), [])

    def test_forgotten_with_its_cgroup(self):
        """A node's life long containers come and go: what has gone makes room."""
        with Monitor('--container', harness.unique('nobody')) as monitor:
            with Container(info, 'tick=20') as other:
                ids = cgroup_ids(path_of(other.pid))
                self.assertTrue(lab.wait_until(lambda: excluded_by(monitor) & ids, 10))
            self.assertTrue(lab.wait_until(lambda: not excluded_by(monitor) & ids, 10))


class Rename(unittest.TestCase):
    def test_at_the_default_interval(self):
        """The next records have the new name, however shortly before them it was given."""
        new = harness.unique('renamed')
        with Container(info, 'tick=100') as container, Monitor(interval=None) as monitor:
            time.sleep(8.5)
            lab.docker(info, 'rename', container.id, new)
            renamed = datetime.datetime.now(datetime.timezone.utc)
            monitor.wait_record(lambda r: r['record'] == 'interval' and time_of(r) > renamed,
                                seconds=30)
        mine = container.of(monitor.records)
        self.assertEqual(mine[0]['container']['name'], container.name)
        self.assertEqual({r['container']['name'] for r in mine if time_of(r) > renamed}, {new})


class Names(unittest.TestCase):
    def caught(self, *options):
        """A container and two pods start after the monitor: the ids of those that it shows."""
        comm = harness.unique_comm()
        with Monitor(*options, may_warn=True) as monitor, Container(info, 'tick=50') as container, \
                Pod(info, 'tick=50', container='app') as one, \
                Pod(info, 'tick=50', container='side') as two:
            things = {'container': container, 'one': one, 'two': two}
            names = {'POD': one.name, 'SANDBOX': one.sandbox_id}
            for thing in things.values():
                thing.exec_load('name=' + comm, 'getppid=100')
            monitor.wait_intervals(2)
        shown = {key for key, thing in things.items() if total(thing.of(monitor.records), 'getppid',
                                                               comm=comm) == 100}
        others = {value(r, 'container', 'id') for r in containers(monitor.records)} - {
            thing.id for thing in things.values()} - {one.sandbox_id, two.sandbox_id}
        self.assertEqual(total(monitor.records, 'getppid', comm=comm), 100 * len(shown))
        return shown, others, names

    def test_namespace(self):
        shown, others, _ = self.caught('--namespace', lab.NAMESPACE_PREFIX + 'sh?p')
        self.assertEqual((shown, others), ({'one', 'two'}, set()))

    def test_container_of_a_pod(self):
        shown, others, _ = self.caught('--namespace', lab.NAMESPACE_PREFIX + 'shop', '--container',
                                       'si*')
        self.assertEqual((shown, others), ({'two'}, set()))

    def test_pod(self):
        shown, others, _ = self.caught('--pod', f'web-{os.getpid()}-*')
        self.assertEqual((shown, others), ({'one', 'two'}, set()))

    def test_cgroup_glob(self):
        shown, others, _ = self.caught('--cgroup', '/kubepods/*/pod*')
        self.assertEqual((shown, others), ({'one', 'two'}, set()))


if __name__ == '__main__':
    harness.main()
