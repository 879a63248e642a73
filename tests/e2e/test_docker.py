#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real Docker containers: names, exact counts, rename, restart, short lives."""

import time
import unittest

import harness
import lab
from harness import Cgroup, Container, Monitor, containers, rows, total, value

RENAME_SECONDS = 10


def setUpModule():
    global info
    info = harness.join_lab()


class Docker(unittest.TestCase):
    def assert_is(self, record, container):
        """The whole identity, as the contract nests it."""
        self.assertEqual(record['kind'], 'container')
        self.assertEqual(record['container']['id'], container.id)
        self.assertEqual(record['container']['name'], container.name)
        self.assertEqual(record['container']['runtime']['name'], 'docker')
        self.assertEqual(record['container']['image']['name'], harness.IMAGE)
        self.assertIs(record['resolved'], True)
        self.assertEqual(record['name_source'], 'docker-config')
        self.assertNotIn('pod', record.get('k8s', {}))
        self.assertTrue(record['cgroup']['path'].removesuffix('.scope').endswith(container.id))

    def test_name_image_processes_calls(self):
        """As in the README: cgscope -i 1 -n 3 -o json, with a container running."""
        with Container(info, 'name=ticker', 'tick=20', name=harness.unique('web1')) as container:
            pid = container.pid
            records = harness.monitor_once('-n', '3', interval=1)
        self.assertEqual(len(harness.intervals(records)), 3)
        mine = container.of(records)
        self.assertEqual(len(mine), 3)
        for record in mine:
            self.assert_is(record, container)
        sleeps = list(rows(mine, 'clock_nanosleep'))
        self.assertEqual(len(sleeps), 3)
        for row in sleeps:
            self.assertEqual((row['pid'], row['vpid'], row['comm']), (pid, 1, 'ticker'))
            self.assertGreater(row['count'], 20)
            self.assertGreaterEqual(row['avg_ms'], 20)
            self.assertLess(row['p50_ms'], 1000)
            self.assertGreaterEqual(row['max_ms'], row['avg_ms'])

    def test_exact_counts(self):
        comm = harness.unique_comm()
        with Container(info, 'tick=200') as container, Monitor(interval=0.1) as monitor:
            container.exec_load('name=' + comm, 'getppid=50000', 'badclose=7', 'write=300',
                                'thread=2', 'getppid=1000', 'end', 'fork=20', 'getpgrp=3', 'end')
        records = monitor.records
        mine = container.of(records)
        self.assertEqual(total(mine, 'getppid', comm=comm), 52000)
        self.assertEqual(total(mine, 'getpgrp', comm=comm), 60)
        self.assertEqual(total(mine, 'close', 'errors', comm=comm), 7)
        self.assertEqual([row['errnos'] for row in rows(mine, 'close', comm)], [{'EBADF': 7}])
        self.assertEqual(total(mine, 'write', 'bytes', comm=comm), 300)
        self.assertEqual(total(mine, 'exit_group', comm=comm), 21)
        self.assertEqual(harness.lost(records), 0)
        # Nobody else is billed for it.
        self.assertEqual(total(records, 'getppid', comm=comm), 52000)

    def test_cgroup_parent(self):
        """Elsewhere than Docker's own place, as runners of CI have it."""
        parent = 'e2ejob.slice' if info['docker_cgroup_driver'] == 'systemd' else '/e2e_job'
        try:
            with Container(info, 'tick=50', options=['--cgroup-parent', parent]) as container, \
                    Monitor() as monitor:
                monitor.wait_intervals(2)
        finally:
            for mount in lab.cgroup_mounts():
                lab.remove_cgroup(f'{mount}/{parent.lstrip("/")}')
        self.assertTrue(container.of(monitor.records))
        for record in container.of(monitor.records):
            self.assert_is(record, container)
            self.assertIn(parent, record['cgroup']['path'])

    def test_started_later(self):
        with Monitor() as monitor, Container(info, 'tick=50') as container:
            record = monitor.wait_record(lambda r: value(r, 'container', 'id') == container.id)
            self.assert_is(record, container)

    def test_short_lives(self):
        """Containers of 50 ms: every record that they leave has their name."""
        comm = harness.unique_comm()
        with Monitor() as monitor:
            names = [harness.run_container(info, 'name=' + comm, 'getpgrp=3', 'sleep=50')
                     for _ in range(6)]
            monitor.wait_intervals(2)
        found = [row['record'] for row in rows(monitor.records, 'getpgrp', comm)]
        self.assertEqual(sorted(value(r, 'container', 'name') or r for r in found), sorted(names))
        self.assertEqual(len({r['container']['id'] for r in found}), 6)

    def test_rename(self):
        new = harness.unique('renamed')
        with Container(info, 'tick=100') as container, Monitor(interval=0.5) as monitor:
            monitor.wait_record(lambda r: value(r, 'container', 'name') == container.name)
            lab.docker(info, 'rename', container.id, new)
            began = time.monotonic()
            record = monitor.wait_record(lambda r: value(r, 'container', 'name') == new,
                                         seconds=RENAME_SECONDS + 2)
            self.assertLess(time.monotonic() - began, RENAME_SECONDS + 0.6)
            self.assertEqual(record['container']['id'], container.id)

    def test_restart(self):
        """The same id, a new cgroup id, and one container."""
        with Container(info, 'name=first', 'tick=50') as container, Monitor() as monitor:
            first = monitor.wait_record(lambda r: value(r, 'container', 'id') == container.id)
            lab.docker(info, 'restart', '-t', '1', container.id)
            pid = container.pid
            monitor.wait_record(lambda r: value(r, 'container', 'id') == container.id
                                and any(p['pid'] == pid for p in r.get('processes', [])))
            monitor.wait_intervals(3)
        mine = container.of(monitor.records)
        self.assertNotEqual(first['cgroup']['id'], mine[-1]['cgroup']['id'])
        self.assertEqual({row['pid'] for row in rows(mine[-1:])}, {pid})
        for record in mine:
            self.assert_is(record, container)
        stamps = [(r['timestamp'], r['part']) for r in mine]
        self.assertEqual(len(stamps), len(set(stamps)), 'two records of one container at once')

    def test_cgroup_subtree(self):
        """--cgroup /docker: Docker's containers only, and those that start later."""
        pattern = '/system.slice/docker-*' if info['docker_cgroup_driver'] == 'systemd' else '/docker'
        comm = harness.unique_comm()
        with Container(info, 'tick=50') as early, Cgroup() as other, \
                harness.running_load('tick=50', cgroup=other), \
                Monitor('--cgroup', pattern) as monitor, Container(info, 'tick=50') as late:
            late.exec_load('name=' + comm, 'getppid=4000')
            harness.run_load('name=' + comm, 'getppid=500', cgroup=other)
            monitor.wait_intervals(3)
        records = monitor.records
        self.assertTrue(early.of(records))
        self.assertTrue(late.of(records))
        self.assertEqual({value(r, 'container', 'runtime', 'name') for r in containers(records)},
                         {'docker'})
        self.assertEqual({r['kind'] for r in containers(records)}, {'container'})
        self.assertEqual(total(late.of(records), 'getppid', comm=comm), 4000)
        self.assertEqual(total(records, 'getppid', comm=comm), 4000)

    def test_filter_by_name(self):
        """--container takes a glob over names, or the start of an id; one started later counts."""
        comm = harness.unique_comm()
        name = harness.unique('chosen')
        with Container(info, 'tick=50') as other, Container(info, 'tick=50') as by_id, \
                Monitor('--container', name[:-1] + '?', '--container', by_id.id[:12]) as monitor, \
                Container(info, 'tick=50', name=name) as chosen:
            for one in other, by_id, chosen:
                one.exec_load('name=' + comm, 'getppid=1000')
            monitor.wait_intervals(3)
        records = monitor.records
        self.assertEqual({r['container']['id'] for r in containers(records)},
                         {chosen.id, by_id.id})
        self.assertEqual(total(chosen.of(records), 'getppid', comm=comm), 1000)
        self.assertEqual(total(by_id.of(records), 'getppid', comm=comm), 1000)

    def test_containers_only(self):
        with Container(info, 'tick=50') as container, Cgroup() as other, \
                harness.running_load('tick=50', cgroup=other), \
                Monitor('--containers-only') as monitor:
            monitor.wait_intervals(3)
        self.assertTrue(container.of(monitor.records))
        kinds = {r['kind'] for r in containers(monitor.records)}
        self.assertLessEqual(kinds, {'container', 'sandbox', 'pod'})

    def test_text(self):
        with Container(info, 'name=ticker', 'tick=50') as container, \
                Monitor(output='text') as monitor:
            monitor.wait_intervals(3)
            pid = container.pid
        lines = [line for line in monitor.text if f' container={container.name} pod=- ' in line]
        ticks = [line for line in lines if line.startswith(f'PID={pid} comm=ticker '
                                                           'call=clock_nanosleep count=')]
        self.assertTrue(ticks, monitor.text[-20:])


if __name__ == '__main__':
    harness.main()
