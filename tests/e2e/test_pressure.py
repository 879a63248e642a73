#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""More than can be shown, and nobody who reads it: bounded, and said, and never wrong."""

import contextlib
import fcntl
import json
import os
import resource
import signal
import subprocess
import time
import unittest

import harness
import lab
import metrics_tools as tools
from harness import Cgroup, Monitor, intervals, rows, total

OTHER_PROCESSES = '(others)'
OTHER_NUMBERS = 'sys_others'
PROCESSES_MAX = 32768  # that are told apart in one cgroup
WRITES = [['1', '0x1'], ['64', '0x1']]  # of x86-64 and arm64, as in /proc/PID/syscall
OVERLOAD = 8000  # processes: the ring holds some 4000
OVERLOAD_OF_TWO = 14000  # of which only two calls are measured: it holds some 12000
NUMBERS_MAX = 64  # of calls that do not exist, told apart in one process


def setUpModule():
    harness.need_root()


def children_memory():
    """The most that any process started from here has used, in KiB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


class Pressure(unittest.TestCase):
    def check_sum(self, seen, truth, records):
        """Nothing is counted twice, and what is missing was reported as lost."""
        self.assertLessEqual(seen, truth)
        self.assertGreaterEqual(seen + harness.lost(records), truth)


class Volume(Pressure):
    def test_call_numbers(self):
        """Numbers without end: few rows, and the sum is exact. The next process is shown in full."""
        comm, after = harness.unique_comm(), harness.unique_comm()
        with Cgroup() as cgroup, Monitor('--cgroup', cgroup.name, interval=0.5) as monitor:
            harness.run_load('name=' + comm, 'strange=100000', cgroup=cgroup)
            harness.run_load('name=' + after, 'strange=10', cgroup=cgroup)
        strange = [row for row in rows(monitor.records, comm=comm)
                   if row['name'].startswith('sys_')]
        self.check_sum(sum(row['count'] for row in strange), 100000, monitor.records)
        self.assertIn(OTHER_NUMBERS, {row['name'] for row in strange})
        by_interval = {}
        for row in strange:
            by_interval.setdefault(row['record']['timestamp'], []).append(row['name'])
        for names in by_interval.values():
            self.assertEqual(len(names), len(set(names)))
            self.assertLessEqual(len(names), NUMBERS_MAX + 1)
        self.assertEqual({row['name'] for row in rows(monitor.records, comm=after)
                          if row['name'].startswith('sys_')},
                         {f'sys_{100000 + i}' for i in range(10)})

    def names(self, n):
        """A process that takes @n names in one interval: what there is to say of it."""
        with Cgroup() as cgroup:
            monitor = Monitor('--cgroup', cgroup.name, '-s', 'getppid', interval=60)
            # What it drops after attaching tells that it has attached.
            self.assertTrue(lab.wait_until(lambda: b'NoNewPrivs:\t1' in status_of(monitor.pid), 30))
            harness.run_load(f'names={n}', cgroup=cgroup)
            monitor.end(seconds=60)
        self.check_sum(total(monitor.records, 'getppid'), n, monitor.records)
        return [row['comm'] for row in rows(monitor.records, 'getppid')]

    def test_names(self):
        """Names without end: rows and memory have a bound, the sum is exact."""
        comms = self.names(2 * PROCESSES_MAX)
        self.assertIn(OTHER_PROCESSES, comms)
        self.assertLessEqual(len(comms), PROCESSES_MAX + 1)
        memory = children_memory()
        comms = self.names(6 * PROCESSES_MAX)
        self.assertIn(OTHER_PROCESSES, comms)
        self.assertLessEqual(len(comms), PROCESSES_MAX + 1)
        self.assertLess(children_memory(), 1.5 * memory)


def status_of(pid):
    with open(f'/proc/{pid}/status', 'rb') as f:
        return f.read()


class Stalled:
    """A monitor whose output goes to a small pipe that is not read."""

    def __init__(self, *args):
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        self.process = subprocess.Popen(
            [harness.CGSCOPE, '-i', '0.01', '-o', 'json', *harness.ROOT_OPTIONS, *args],
            stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)

    def __enter__(self):
        if not lab.wait_until(self.is_stalled, 30):
            self.__exit__()
            raise AssertionError('the pipe does not fill up')
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        with contextlib.suppress(OSError):
            os.close(self.reader)

    def is_stalled(self):
        """It is in a write to standard output."""
        with open(f'/proc/{self.process.pid}/syscall', encoding='ascii') as f:
            return f.read().split()[:2] in WRITES

    def read_to_end(self):
        with open(self.reader, 'rb') as stream:
            return [json.loads(line) for line in stream]


class Overload(Pressure):
    """Tasks hand over more than is read: the ring is full."""

    def overload(self, monitor, comm, cgroup, processes=OVERLOAD):
        os.kill(monitor.pid, signal.SIGSTOP)
        try:
            harness.run_load('name=' + comm, f'fork={processes}', 'getppid=7', 'getpgrp=1',
                             'badclose=1', 'end', cgroup=cgroup)
        finally:
            os.kill(monitor.pid, signal.SIGCONT)
        monitor.wait_intervals(2)

    def test_said_once(self):
        """One line for the cause, however often it loses; it stays healthy, and the sum is right."""
        comm, port = harness.unique_comm(), tools.free_port()
        with Cgroup() as cgroup, Monitor('-c', comm, '-s', 'getppid', '-s', 'getpgrp', '--listen',
                                         f'127.0.0.1:{port}', interval=0.5) as monitor:
            for _ in range(2):
                before = harness.lost(monitor.records)
                self.overload(monitor, comm, cgroup, OVERLOAD_OF_TWO)
                self.assertGreater(harness.lost(monitor.records), before)
                self.assertEqual(tools.get(port, '/healthz')[0], 200)
                self.assertEqual(tools.get(port, '/readyz')[0], 200)
        records = monitor.records
        seen = sum(total(records, name, comm=comm) for name in ('getppid', 'getpgrp'))
        truth = 2 * OVERLOAD_OF_TWO * (7 + 1)
        causes = [r['lost']['causes'] for r in intervals(records)]
        if any('recursion' in one for one in causes):  # an upper bound, as there is a filter
            self.check_sum(seen, truth, records)
        else:
            self.assertEqual(seen + harness.lost(records), truth)
        said = [harness.LOSS.match(line) for line in monitor.errors.splitlines()]
        self.assertTrue(all(said), monitor.errors)
        first = {cause: next(one[cause] for one in causes if cause in one)
                 for cause in {cause for one in causes for cause in one}}
        self.assertIn('ring_full', first)
        self.assertEqual({one[3].decode(): int(one[1] or one[2]) for one in said}, first)
        self.assertEqual(len(said), len(first))
        self.assertIn(b'CPU', next(one[4] for one in said if one[3] == b'ring_full'))

    def test_nothing_lost(self):
        for _ in range(10):
            with Cgroup() as cgroup, Monitor('--cgroup', cgroup.name, may_warn=True) as monitor:
                harness.run_load('getppid=100', cgroup=cgroup)
                monitor.wait_intervals(1)
            if not any(record['lost']['causes'] for record in harness.intervals(monitor.records)):
                break
        else:
            self.skipTest('something was lost in each of ten runs: others are at work')
        self.assertNotIn(b'lost', monitor.errors)


class Reader(Pressure):
    def test_comes_back(self):
        """Meanwhile everything is counted: it is in the next interval, or reported as lost."""
        comm = harness.unique_comm()
        with Cgroup() as cgroup, Stalled('--cgroup', cgroup.name) as monitor:
            harness.run_load('name=' + comm, 'getppid=123456', 'fork=500', 'getppid=1', 'end',
                             cgroup=cgroup)
            self.assertTrue(monitor.is_stalled())
            monitor.process.send_signal(signal.SIGTERM)
            records = monitor.read_to_end()
            self.assertEqual(monitor.process.wait(20), 0)
            self.assertEqual(monitor.process.stderr.read(), b'')
        self.check_sum(total(records, 'getppid', comm=comm), 123456 + 500, records)

    def test_never_comes_back(self):
        """It ends when told to all the same, and says what is missing; it is no success."""
        with Stalled() as monitor:
            monitor.process.send_signal(signal.SIGTERM)
            self.assertEqual(monitor.process.wait(60), 1)
            said = monitor.process.stderr.read()
        self.assertIn(b'nobody reads standard output', said)
        self.assertIn(b'lost', said)
        self.assertEqual(said.count(b'\n'), 1, said)

    def test_asked_again(self):
        """Signal after signal does not make it wait for longer: it ends the sooner."""
        with Stalled() as monitor:
            began = time.monotonic()
            while monitor.process.poll() is None and time.monotonic() < began + 20:
                monitor.process.send_signal(signal.SIGINT)
                time.sleep(0.3)
            self.assertLess(time.monotonic() - began, 4)
            self.assertEqual(monitor.process.wait(1), 1)


if __name__ == '__main__':
    harness.main()
