#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The sum over all intervals is the truth, however short they are and however many tasks."""

import contextlib
import os
import re
import time
import unittest

import harness
import metrics_tools as tools
from harness import Cgroup, Monitor, rows, total

RUNS = 10
CALLS = 1000000
PROCESSES = 20000
NEIGHBOURS = 6


def setUpModule():
    harness.need_root()


class Exact(unittest.TestCase):
    def test_two_threads(self):
        """Two threads, a million calls each, at 10-ms intervals: ten of ten runs."""
        for turn in range(RUNS):
            comm = harness.unique_comm()
            with Cgroup() as cgroup:
                # Every other run watches the whole machine besides.
                chosen = ['--cgroup', cgroup.name] if turn % 2 else []
                with Monitor(*chosen, interval=0.01) as monitor:
                    harness.run_load('name=' + comm, 'thread=2', f'getppid={CALLS}', 'end',
                                     cgroup=cgroup)
            records = monitor.records
            self.assertEqual((total(records, 'getppid', comm=comm), harness.lost(records)),
                             (2 * CALLS, 0), f'run {turn}')
            self.assertEqual(total(cgroup.of(records), 'getppid', comm=comm), 2 * CALLS)
            seen = {r['record']['timestamp'] for r in rows(records, 'getppid', comm)}
            self.assertGreater(len(seen), 3, 'the calls are all in a few intervals')

    def test_one_cpu(self):
        """The same where monitor and workload share a CPU, and the others have none of the calls."""
        allowed = os.sched_getaffinity(0)
        for cpu in sorted(allowed)[:2]:
            comm = harness.unique_comm()
            os.sched_setaffinity(0, {cpu})  # what is started from here on has it from us
            try:
                with self.subTest(cpu=cpu), Cgroup() as cgroup:
                    with Monitor('--cgroup', cgroup.name, interval=0.01) as monitor:
                        self.assertEqual(os.sched_getaffinity(monitor.pid), {cpu})
                        harness.run_load('name=' + comm, 'thread=2', f'getppid={CALLS // 2}', 'end',
                                         'fork=200', 'getppid=1', 'end', cgroup=cgroup)
                    self.assertEqual((total(monitor.records, 'getppid', comm=comm),
                                      harness.lost(monitor.records)), (CALLS + 200, 0))
            finally:
                os.sched_setaffinity(0, allowed)

    def test_small_stack(self):
        """A quarter of a MiB is enough, in every output and for the listener's thread."""
        small = ['/bin/sh', '-c', 'ulimit -s 256 && exec "$0" "$@"']
        for output in 'text', 'json':
            with self.subTest(output), Cgroup() as cgroup:
                comm = harness.unique_comm()
                port = tools.free_port()
                with Monitor('--listen', f'127.0.0.1:{port}', '--by', 'thread', output=output,
                             interval=0.1, wrapper=small) as monitor:
                    with open(f'/proc/{monitor.pid}/limits', encoding='ascii') as f:
                        limit = next(line.split()[3] for line in f if 'Max stack size' in line)
                    self.assertEqual(limit, str(256 << 10))
                    harness.run_load('name=' + comm, 'thread=2', 'getppid=1000', 'end',
                                     cgroup=cgroup)
                    monitor.wait_intervals(2)
                    self.assertEqual(tools.get(port, '/metrics')[0], 200)
                if output == 'json':
                    self.assertEqual(total(monitor.records, 'getppid', comm=comm), 2000)
                else:
                    counts = re.findall(rf' comm={comm} call=getppid count=(\d+)', b''.join(monitor.lines).decode())
                    self.assertEqual(sum(map(int, counts)), 2000)
        for command in ['check'], ['resolve', '/', f'pid:{os.getpid()}'], ['--help']:
            code, out, err = harness.cgscope(*command, wrapper=small)
            self.assertEqual(code, harness.cgscope(*command)[0], err)
            self.assertTrue(out)

    def test_one_cgroup_of_many(self):
        """A selected cgroup loses nothing to those that are left out, however often they change."""
        comm = harness.unique_comm()
        with contextlib.ExitStack() as stack:
            cgroups = [stack.enter_context(Cgroup()) for _ in range(2 * NEIGHBOURS + 1)]
            wanted = cgroups.pop(NEIGHBOURS)
            monitor = stack.enter_context(Monitor('--cgroup', wanted.name, interval=0.01))
            for cgroup in cgroups:
                stack.enter_context(harness.running_load('tick=1', cgroup=cgroup))
            load = stack.enter_context(harness.running_load(
                'name=' + comm, 'thread=2', f'getppid={CALLS}', 'end', cgroup=wanted))
            while load.poll() is None:
                with Cgroup() as passing:
                    harness.run_load('getppid=1', cgroup=passing)
            self.assertEqual(load.returncode, 0)
            monitor.end()
        self.assertEqual((total(monitor.records, 'getppid', comm=comm),
                          harness.lost(monitor.records)), (2 * CALLS, 0))
        self.assertEqual({harness.value(r, 'cgroup', 'path')
                          for r in harness.containers(monitor.records)}, {wanted.name})

    def test_short_lived_processes(self):
        """20,000 processes of one call each; then a known workload is still exact."""
        comm, after = harness.unique_comm(), harness.unique_comm()
        with Cgroup() as cgroup, Monitor('--cgroup', cgroup.name, interval=0.5) as monitor:
            harness.run_load('name=' + comm, f'fork={PROCESSES}', 'getppid=1', 'end', cgroup=cgroup)
            harness.run_load('name=' + after, 'getppid=1000', 'fork=1000', 'getpgrp=1', 'end',
                             cgroup=cgroup)
        records = monitor.records
        self.assertEqual((total(records, 'getppid', comm=comm), harness.lost(records)), (PROCESSES, 0))
        self.assertEqual(total(records, 'exit_group', comm=comm), PROCESSES + 1)
        self.assertEqual(sum(total(records, call, comm=comm) for call in ('clone', 'clone3', 'fork')),
                         PROCESSES)
        self.assertEqual(total(records, 'wait4', comm=comm), PROCESSES)
        self.assertEqual(total(records, 'getppid', comm=after), 1000)
        self.assertEqual(total(records, 'getpgrp', comm=after), 1000)

    def test_filtered_processes_leave_no_trace(self):
        """The same for -c: what is left out costs nothing of what is kept."""
        left_out, kept = harness.unique_comm(), harness.unique_comm()
        with Cgroup() as cgroup, Monitor('-c', kept, interval=0.5) as monitor:
            harness.run_load('name=' + left_out, 'fork=5000', 'getppid=1', 'end', cgroup=cgroup)
            harness.run_load('name=' + kept, 'fork=1000', 'getppid=1', 'end', cgroup=cgroup)
        records = monitor.records
        self.assertEqual(total(records, 'getppid', comm=kept), 1000)
        self.assertEqual(total(records, 'getppid', comm=left_out), 0)
        self.assertEqual(harness.lost(records), 0)

    def test_totals_are_the_rows(self):
        """A record's totals, and an interval's calls, are the sums of what is in it."""
        comm = harness.unique_comm()
        with Cgroup() as cgroup, Monitor('--cgroup', cgroup.name, interval=0.1) as monitor:
            harness.run_load('name=' + comm, 'fork=30', 'getppid=100', 'badclose=3', 'write=5',
                             'sleep=10', 'end', cgroup=cgroup)
        sums = {}
        for record in harness.containers(monitor.records):
            one = sums.setdefault((record['timestamp'], record['cgroup']['id']),
                                  {'totals': record['totals'], 'count': 0, 'errors': 0, 'bytes': 0})
            self.assertEqual(record['totals'], one['totals'], 'parts repeat the totals')
            for row in rows([record]):
                for key in 'count', 'errors', 'bytes':
                    one[key] += row[key]
        for one in sums.values():
            for key in 'count', 'errors', 'bytes':
                self.assertEqual(one[key], one['totals'][key])
        self.assertEqual(sum(r['calls'] for r in harness.intervals(monitor.records)),
                         sum(one['count'] for one in sums.values()))
        self.assertEqual(total(monitor.records, 'close', 'errors', comm=comm), 90)
        self.assertEqual(total(monitor.records, 'write', 'bytes', comm=comm), 150)

    def test_latency(self):
        comm = harness.unique_comm()
        with Cgroup() as cgroup, Monitor('--cgroup', cgroup.name, interval=0.3) as monitor:
            harness.run_load('name=' + comm, *['sleep=20'] * 20, 'sleep=500', cgroup=cgroup)
            monitor.wait_intervals(1)
        sleeps = list(rows(monitor.records, 'clock_nanosleep', comm))
        self.assertEqual(sum(row['count'] for row in sleeps), 21)
        longest = max(sleeps, key=lambda row: row['max_ms'])
        self.assertAlmostEqual(longest['max_ms'], 500, delta=100)
        for row in sleeps:
            self.assertLessEqual(20, row['avg_ms'])
            self.assertLessEqual(row['avg_ms'], row['max_ms'])
            self.assertLessEqual(row['p50_ms'], row['p95_ms'])
            self.assertLessEqual(row['p95_ms'], row['p99_ms'])
            self.assertLessEqual(row['p99_ms'], row['max_ms'])
            self.assertGreaterEqual(row['p50_ms'], 10, 'more than a bucket off')
        ends = [row for row in rows(monitor.records, 'exit_group', comm)]
        self.assertEqual([row['count'] for row in ends], [1])
        self.assertNotIn('max_ms', ends[0], 'exit_group never returns')

    def test_in_flight(self):
        """A call that lasts is seen while it lasts, and counted when it returns."""
        comm = harness.unique_comm()
        with Cgroup() as cgroup, Monitor('--cgroup', cgroup.name, '--in-flight', '800',
                                         interval=0.5) as monitor:
            with harness.running_load('name=' + comm, 'sleep=2600', cgroup=cgroup) as process:
                process.wait(20)
            monitor.wait_intervals(1)
        flights = [flight for record in cgroup.of(monitor.records)
                   for flight in record.get('in_flight', [])]
        self.assertGreaterEqual(len(flights), 2)
        for flight in flights:
            self.assertEqual((flight['pid'], flight['tid'], flight['comm'], flight['syscall']),
                             (process.pid, process.pid, comm, 'clock_nanosleep'))
            self.assertTrue(800 <= flight['age_ms'] <= 2700, flight)
        self.assertEqual([f['age_ms'] for f in flights], sorted(f['age_ms'] for f in flights))
        row, = rows(monitor.records, 'clock_nanosleep', comm)
        self.assertEqual(row['count'], 1)
        self.assertAlmostEqual(row['max_ms'], 2600, delta=150)

    def test_in_flight_off(self):
        with Cgroup() as cgroup, harness.running_load('sleep=60000', cgroup=cgroup), \
                Monitor('--in-flight', '0', interval=0.3) as monitor:
            time.sleep(1.5)
        self.assertFalse([r for r in monitor.records if r.get('in_flight')])


if __name__ == '__main__':
    harness.main()
