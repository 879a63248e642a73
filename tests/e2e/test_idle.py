#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What 1,000 idle containers cost: the time to know them at the start, and file opens after that.

Docker's state is made up, the cgroups are real. Counts are asserted, times are only printed.
"""

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
import unittest

import private

if __name__ == '__main__':
    private.enter()

import harness
import lab
from harness import rows, value

CONTAINERS = 1000
INTERVALS = 14
OPENS_MAX = 50
STATE = '/var/lib/docker/containers'
OPENS = ('open', 'openat', 'openat2', 'open_by_handle_at')


def setUpModule():
    harness.need_root()
    if not lab.cgroup_mounts():
        raise unittest.SkipTest(f'needs a cgroup file system below {lab.CGROUP_ROOT}')
    private.hide('/run', '/var/lib')


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def name_of(line):
    """The call that a line of strace is about."""
    found = re.match(r'\d+ +(\w+)\(', line)
    return found and found[1]


class Idle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ids = [os.urandom(32).hex() for _ in range(CONTAINERS)]
        cls.parent = harness.Cgroup('/docker')
        cls.addClassCleanup(cls.remove)
        cls.parent.__enter__()
        for number in cls.ids:
            for directory in cls.parent.directories:
                os.mkdir(directory + b'/' + number.encode())

    @classmethod
    def remove(cls):
        for number in cls.ids:
            for directory in cls.parent.directories:
                harness.Cgroup.removed(directory + b'/' + number.encode())
        cls.parent.__exit__()

    @classmethod
    def write_state(cls):
        for n, number in enumerate(cls.ids):
            os.makedirs(f'{STATE}/{number}')
            private.write(f'{STATE}/{number}/config.v2.json', json.dumps({
                'ID': number, 'Name': f'/idle{n}', 'Created': '2026-01-01T00:00:00Z',
                'Config': {'Image': 'idle:1', 'Env': ['KEY=' + 'v' * 200] * 20,
                           'Labels': {f'label{i}': 'text' for i in range(10)}}}))

    def first_interval(self):
        """(wall, CPU) seconds until it is out and cgscope has ended, the best of some."""
        times = []
        for _ in range(5):
            began, cpu = time.monotonic(), children_cpu()
            code, _, err = harness.cgscope('-i', '0.01', '-n', '1', '-o', 'json', '--container',
                                           'idle*', *harness.ROOT_OPTIONS)
            times.append((time.monotonic() - began, children_cpu() - cpu))
            self.assertEqual((code, err), (0, ''))
        return [min(column) for column in zip(*times)]

    def test_start(self):
        """All are known from the first interval on, which no budget puts off."""
        shutil.rmtree('/var/lib/docker', ignore_errors=True)
        before = self.first_interval()
        self.write_state()
        after = self.first_interval()
        print(f'{CONTAINERS} containers: {after[0] - before[0]:.3f} s more to the first interval, '
              f'{after[1] - before[1]:.3f} s of CPU; in all {after[0]:.3f} s and {after[1]:.3f} s',
              file=sys.stderr)
        cgroup = harness.Cgroup(f'/docker/{self.ids[777]}')
        comm = harness.unique_comm()
        with harness.Monitor('-c', comm, interval=0.1) as monitor:
            harness.run_load('name=' + comm, 'getppid=10', cgroup=cgroup)
        row, = rows(monitor.records, 'getppid')
        self.assertEqual(value(row['record'], 'container', 'name'), 'idle777')

    def test_opens(self):
        if not shutil.which('strace', path=private.PATH):
            self.skipTest('needs strace (package strace)')
        shutil.rmtree('/var/lib/docker', ignore_errors=True)
        self.write_state()
        with harness.scratch_directory() as directory:
            log = directory + '/strace'
            subprocess.run(['strace', '-f', '-qq', '-o', log, '-s', '128', '-e', 'trace=' + ','.join(
                (*OPENS, 'getdents64', 'newfstatat', 'bpf')), harness.CGSCOPE, '-i', '1',
                '-n', str(INTERVALS + 1), '-o', 'json', *harness.ROOT_OPTIONS],
                check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120,
                env=dict(harness.traced_environ(), PATH=private.PATH))
            with open(log, encoding='utf-8', errors='replace') as f:
                calls = f.read().splitlines()
        starts = [n for n, line in enumerate(calls) if 'BPF_ITER_CREATE' in line]
        self.assertGreaterEqual(len(starts), INTERVALS)
        # The first has the start in it, and the last the end.
        bounds = [0, *starts[-INTERVALS:]]
        parts = [calls[a:b] for a, b in zip(bounds, bounds[1:])]
        opens = [sum(name_of(line) in OPENS for line in part) for part in parts]
        stats = [sum(name_of(line) == 'newfstatat' for line in part) for part in parts]
        print(f'{CONTAINERS} idle containers: {opens[0]} opens at the start, in each interval of '
              f'1 s then {opens[1:]}, and stats {stats[1:]}', file=sys.stderr)
        self.assertGreater(opens[0], CONTAINERS)
        # None is for what is idle. A stranger's container that starts meanwhile costs some.
        mine = [line for part in parts[1:] for line in part if name_of(line) in OPENS
                and set(re.findall('[0-9a-f]{64}', line)) & set(self.ids)]
        self.assertEqual(mine, [])
        self.assertLess(statistics.median(opens[1:]), OPENS_MAX)
        self.assertEqual(statistics.median(sum(name_of(line) == 'getdents64' for line in part)
                                           for part in parts[1:]), 0)


if __name__ == '__main__':
    harness.main()
