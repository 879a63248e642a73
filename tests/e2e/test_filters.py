#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What -c, -p, -s and --cgroup let through, and what they refuse."""

import os
import shutil
import unittest

import harness
from harness import Cgroup, Monitor, containers, rows, total


def setUpModule():
    harness.need_root()


class Comm(unittest.TestCase):
    def run_two_names(self, *options):
        """A process of 1000 calls whose second thread, of another name, makes 100 more."""
        process, thread = harness.unique_comm(), harness.unique_comm()
        options = [{'PROCESS': process, 'THREAD': thread}.get(o, o) for o in options]
        with Monitor(*options) as monitor:
            harness.run_load('name=' + process, 'getppid=1000',
                             'thread=1', 'name=' + thread, 'getppid=100', 'end')
            harness.run_load('name=' + harness.unique_comm(), 'getppid=7')
        self.assertNotIn(thread, {row['comm'] for row in rows(monitor.records)})
        return process, thread, monitor.records

    def test_process_name(self):
        process, _, records = self.run_two_names('-c', 'PROCESS')
        self.assertEqual(total(records, 'getppid'), 1100)
        self.assertEqual({row['comm'] for row in rows(records)}, {process})

    def test_thread_name(self):
        process, _, records = self.run_two_names('-c', 'THREAD')
        self.assertEqual(total(records, 'getppid'), 100)
        self.assertEqual({row['comm'] for row in rows(records)}, {process})

    def test_either(self):
        _, _, records = self.run_two_names('-c', 'nobody', '-c', 'THREAD', '-c', 'PROCESS')
        self.assertEqual(total(records, 'getppid'), 1100)

    def test_by_thread(self):
        process, thread, records = self.run_two_names('-c', 'PROCESS', '--by', 'thread')
        found = {row['thread_comm']: row for row in rows(records, 'getppid')}
        self.assertEqual({name: row['count'] for name, row in found.items()},
                         {process: 1000, thread: 100})
        self.assertEqual(found[process]['tid'], found[process]['pid'])
        self.assertNotEqual(found[thread]['tid'], found[thread]['pid'])

    def test_by_thread_while_it_lives(self):
        """A thread has its name from the first record on, and a new one once it is renamed."""
        process, first, second = (harness.unique_comm() for _ in range(3))
        with Cgroup() as cgroup, harness.running_load(
                'name=' + process, 'thread=1', 'name=' + first, *['sleep=50'] * 20, 'name=' + second,
                'tick=50', 'end', cgroup=cgroup), \
                Monitor('--cgroup', cgroup.name, '--by', 'thread') as monitor:
            monitor.wait_record(lambda r: any(row['thread_comm'] == second for row in rows([r])))
        names = [row['thread_comm'] for row in rows(monitor.records, 'clock_nanosleep')]
        self.assertEqual(set(names) - {first, second}, set())
        self.assertEqual(names, sorted(names, key=lambda name: name == second))

    def test_long_name(self):
        """The kernel keeps 15 bytes; the option takes them all."""
        name = ('n' + harness.unique_comm()).ljust(20, 'x')
        with Monitor('--comm', name) as monitor:
            harness.run_load('name=' + name, 'getppid=10')
        self.assertEqual(total(monitor.records, 'getppid'), 10)
        self.assertEqual({row['comm'] for row in rows(monitor.records)}, {name[:15]})

    def test_a_name_from_exec(self):
        """From the exec on, a program has its file's name."""
        with harness.scratch_directory() as directory:
            program = os.path.join(directory, harness.unique_comm())
            shutil.copy(harness.LOAD, program)
            with Monitor('-c', os.path.basename(program)) as monitor:
                os.spawnv(os.P_WAIT, program, [program, 'getppid=10'])
        self.assertEqual(total(monitor.records, 'getppid'), 10)
        self.assertEqual(total(monitor.records, 'execve'), 0)


class PidAndSyscall(unittest.TestCase):
    def test_pid(self):
        with harness.running_load('stdin', 'getppid=20', 'tick=1000') as one, \
                harness.running_load('stdin', 'getppid=3', 'tick=1000') as other, \
                Monitor('-p', str(one.pid)) as monitor:
            for process in one, other:
                process.stdin.write(b'\n')
                process.stdin.flush()
            monitor.wait_record(lambda r: total([r], 'getppid'))
        self.assertEqual(total(monitor.records, 'getppid'), 20)
        self.assertEqual({row['pid'] for row in rows(monitor.records)}, {one.pid})

    def test_syscalls(self):
        comm = harness.unique_comm()
        with Monitor('-c', comm, '-s', 'getppid,close', '-s', 'clock_nanosleep') as monitor:
            harness.run_load('name=' + comm, 'getppid=5', 'getpgrp=6', 'badclose=7', 'sleep=10',
                             'write=3')
        self.assertEqual({row['name'] for row in rows(monitor.records)},
                         {'getppid', 'close', 'clock_nanosleep'})
        self.assertEqual(total(monitor.records, 'getppid'), 5)
        self.assertEqual(total(monitor.records, 'close'), 7)


class CgroupPattern(unittest.TestCase):
    def test_subtree(self):
        """Parent and child count, also a child made later and one made again; a sibling does not."""
        with Cgroup() as parent, Cgroup(parent.name + '/early') as early, Cgroup() as sibling:
            with Monitor('--cgroup', parent.name) as monitor:
                for cgroup in parent, early, sibling:
                    harness.run_load('getppid=100', cgroup=cgroup)
                for n in 20, 3:
                    with Cgroup(parent.name + '/late') as late:
                        harness.run_load(f'getppid={n}', cgroup=late)
                        monitor.wait_intervals(2)
            records = monitor.records
        self.assertEqual(total(records, 'getppid'), 223)
        self.assertEqual(total(parent.of(records), 'getppid'), 100)
        self.assertEqual(total(early.of(records), 'getppid'), 100)
        self.assertEqual(total(late.of(records), 'getppid'), 23)

    def test_a_removed_group_comes_back(self):
        with Cgroup() as cgroup:
            name = cgroup.name
            monitor = Monitor('--cgroup', name).__enter__()
            harness.run_load('getppid=100', cgroup=cgroup)
        with Cgroup(name) as cgroup:
            harness.run_load('getppid=20', cgroup=cgroup)
            monitor.end()
        records = monitor.records
        self.assertEqual(total(records, 'getppid'), 120)

    def directory_in_use(self, cgroup):
        """Where @cgroup is in the hierarchy that cgscope has chosen."""
        with Monitor() as monitor:
            harness.run_load('getppid=1', cgroup=cgroup)
        used, = {r['cgroup']['id'] for r in cgroup.of(monitor.records)}
        directory, = [d for d in cgroup.directories if str(os.stat(d).st_ino) == used]
        return os.fsdecode(directory)

    def test_mount_point_or_id(self):
        with Cgroup() as cgroup, Cgroup() as other:
            directory = self.directory_in_use(cgroup)
            number = str(os.stat(directory).st_ino)
            for pattern in directory, number:
                with self.subTest(pattern=pattern):
                    with Monitor('--cgroup', pattern) as monitor:
                        harness.run_load('getppid=100', cgroup=cgroup)
                        harness.run_load('getppid=10', cgroup=other)
                    self.assertEqual(total(monitor.records, 'getppid'), 100)
                    self.assertEqual({r['cgroup']['id'] for r in containers(monitor.records)},
                                     {number})

    def test_glob_waits(self):
        """A glob without a match yet is waited for, with a word about it."""
        stem = '/' + harness.unique('e2e-glob')
        with Monitor('--cgroup', stem + '-*', may_warn=True) as monitor, \
                Cgroup(stem + '-one') as one, Cgroup(stem + 'other') as other:
            harness.run_load('getppid=100', cgroup=one)
            harness.run_load('getppid=10', cgroup=other)
        self.assertEqual(total(monitor.records, 'getppid'), 100)
        self.assertIn(stem.encode(), monitor.errors)

    def test_refused(self):
        """A path or id that does not exist, or is no cgroup, is an error that names it."""
        for pattern in '/no/such', '/etc', '987654321012345':
            with self.subTest(pattern=pattern):
                code, out, err = harness.cgscope('--cgroup', pattern, '-i', '0.1', '-n', '1',
                                                 *harness.ROOT_OPTIONS)
                self.assertEqual((code, out), (1, ''))
                self.assertIn(pattern, err)
                self.assertEqual(err.count('\n'), 1, err)

    def test_and(self):
        """Different options narrow."""
        comm = harness.unique_comm()
        with Cgroup() as one, Cgroup() as other, \
                Monitor('--cgroup', one.name, '-c', comm) as monitor:
            harness.run_load('name=' + comm, 'getppid=100', cgroup=one)
            harness.run_load('name=' + harness.unique_comm(), 'getppid=10', cgroup=one)
            harness.run_load('name=' + comm, 'getppid=1', cgroup=other)
        self.assertEqual(total(monitor.records, 'getppid'), 100)


if __name__ == '__main__':
    harness.main()
