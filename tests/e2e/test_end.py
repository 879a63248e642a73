#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""How it ends, and what it says then: signals, pipes, full disks, privileges, wrong usage."""

import datetime
import os
import shutil
import signal
import statistics
import subprocess
import time
import unittest

import harness
import lab
from harness import Cgroup, Monitor, intervals, total

NUMBERS = {'BPF': 39, 'PERFMON': 38, 'DAC_READ_SEARCH': 2}
NEEDED_CAPABILITIES = {'CAP_' + name: number for name, number in NUMBERS.items()}


def setUpModule():
    harness.need_root()


def status_of(pid):
    with open(f'/proc/{pid}/status', encoding='utf-8', errors='replace') as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


class Ends(unittest.TestCase):
    def test_signals_flush(self):
        """SIGTERM and SIGINT in mid-interval: a last, shorter interval, and the sum is exact."""
        for number in signal.SIGTERM, signal.SIGINT:
            comm = harness.unique_comm()
            with self.subTest(signal=number), Cgroup() as cgroup:
                monitor = Monitor('--cgroup', cgroup.name, interval=3).__enter__()
                harness.run_load('name=' + comm, 'getppid=12345', cgroup=cgroup)
                time.sleep(0.5)
                monitor.end(how=number)
                records = monitor.records
                self.assertEqual(total(records, 'getppid', comm=comm), 12345)
                last = intervals(records)[-1]
                self.assertTrue(0.3 < last['interval_s'] < 2.9, last)
                self.assertAlmostEqual(intervals(records)[0]['interval_s'], 3, delta=0.1)

    def test_signal_before_the_first_interval(self):
        comm = harness.unique_comm()
        monitor = Monitor('-c', comm, interval=60)
        # What it drops after attaching tells that it has attached.
        self.assertTrue(lab.wait_until(lambda: status_of(monitor.pid)['NoNewPrivs'] == '1', 30))
        harness.run_load('name=' + comm, 'getppid=100')
        monitor.end()
        records = monitor.records
        self.assertEqual(total(records, 'getppid', comm=comm), 100)
        self.assertEqual(len(intervals(records)), 1)

    def test_number_of_intervals(self):
        records = harness.monitor_once('-n', '4', interval=0.2)
        self.assertEqual(len(intervals(records)), 4)
        self.assertEqual(records[-1]['record'], 'interval')
        for record in intervals(records):
            self.assertAlmostEqual(record['interval_s'], 0.2, delta=0.1)

    def ends(self, records):
        return [datetime.datetime.fromisoformat(record['timestamp'].replace('Z', '+00:00'))
                .timestamp() for record in records]

    def off_grid(self, records, step):
        """How far each interval's end is from a multiple of @step since counting began."""
        ends = self.ends(records)
        start = ends[0] - records[0]['interval_s']
        return [abs(end - start - round((end - start) / step) * step) for end in ends]

    def test_no_drift(self):
        """Deadlines, not sleeps: a late interval makes none of those after it late."""
        step = 0.05
        with Cgroup() as cgroup:
            records = intervals(harness.monitor_once('-n', '100', '--cgroup', cgroup.name,
                                                     interval=step))
        self.assertEqual(len(records), 100)
        # A busy machine delays some of them. By 0.1 ms more each all would be 5 ms late by then.
        off = statistics.quantiles(self.off_grid(records, step)[-50:], n=4)
        self.assertLess(off[0], 0.004, records)

    def test_first_interval(self):
        """It runs from when counting begins, however long it takes to get ready from there."""
        if not shutil.which('strace'):
            self.skipTest('needs strace, to delay a call')
        # The first capset(2) drops privileges: the programs are attached.
        slow = ['strace', '-qq', '-o', '/dev/null', '-e', 'trace=capset', '-e',
                'inject=capset:delay_enter=600000:when=1']
        records = intervals(harness.monitor_once('-n', '4', interval=1, wrapper=slow,
                                                 env=harness.traced_environ()))
        self.assertEqual(len(records), 4)
        # From when it was ready they would all end 0.4 s off. A busy machine delays some of them.
        self.assertLess(min(self.off_grid(records, 1)), 0.1, records)

    def test_timestamps_are_contiguous(self):
        """Each interval begins where the one before it ended."""
        records = intervals(harness.monitor_once('-n', '10', interval=0.2))
        ends = self.ends(records)
        for before, end, record in zip(ends, ends[1:], records[1:]):
            self.assertAlmostEqual(end - record['interval_s'], before, delta=0.003)

    def test_stopped_monitor(self):
        """SIGSTOP for 3.5 s: one long interval, no burst, nothing lost."""
        comm = harness.unique_comm()
        with Cgroup() as cgroup, Monitor('--cgroup', cgroup.name, interval=0.5) as monitor:
            harness.run_load('name=' + comm, 'getppid=1000', cgroup=cgroup)
            os.kill(monitor.pid, signal.SIGSTOP)
            harness.run_load('name=' + comm, 'getppid=200000', 'fork=100', 'getppid=1', 'end',
                             cgroup=cgroup)
            time.sleep(3.5)
            os.kill(monitor.pid, signal.SIGCONT)
            monitor.wait_intervals(2)
        records = monitor.records
        self.assertEqual(total(records, 'getppid', comm=comm), 201100)
        self.assertEqual(harness.lost(records), 0)
        spans = [r['interval_s'] for r in intervals(records)]
        self.assertEqual(sum(span >= 3.4 for span in spans), 1, spans)
        after = spans[next(i for i, span in enumerate(spans) if span >= 3.4) + 1:-1]
        self.assertLessEqual(sum(span < 0.2 for span in after), 1, spans)

    def test_closed_pipe(self):
        """As `cgscope … | head -3`: quiet, and exit 0."""
        for ignored in False, True:
            with self.subTest(sigpipe_ignored=ignored):
                process = subprocess.Popen(
                    [harness.CGSCOPE, '-i', '0.05', *harness.ROOT_OPTIONS],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, restore_signals=not ignored)
                for _ in range(3):
                    self.assertTrue(process.stdout.readline())
                process.stdout.close()
                self.assertEqual(process.wait(10), 0)
                self.assertEqual(process.stderr.read(), b'')
                process.stderr.close()

    def test_closed_pipe_of_the_others(self):
        """The same for what prints but once."""
        for command in ['resolve', *harness.ROOT_OPTIONS, '/', '/init.scope'], ['check'], ['--help'], ['--version']:
            with self.subTest(command):
                reader, writer = os.pipe()
                os.close(reader)
                result = subprocess.run([harness.CGSCOPE, *command], stdout=writer, timeout=30,
                                        check=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
                os.close(writer)
                self.assertEqual((result.returncode, result.stderr), (0, b''))

    def test_closed_output(self):
        """Nothing that cgscope opens for itself becomes its output, or its input."""
        for command in '-n 1 -i 0.1', 'check', 'resolve /', '--help':
            with self.subTest(command):
                result = subprocess.run(['/bin/sh', '-c', f'exec "$0" {command} >&-', harness.CGSCOPE], timeout=30,
                                        check=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
                self.assertEqual(result.returncode, 1)
                self.assertIn(b'standard output is closed', result.stderr)
                self.assertEqual(result.stderr.count(b'\n'), 1, result.stderr)
        for closed in '<&-', '2>&-':
            with self.subTest(closed):
                result = subprocess.run(['/bin/sh', '-c', f'exec "$0" -n 1 -i 0.1 {closed}', harness.CGSCOPE],
                                        timeout=30, check=False, stdout=subprocess.PIPE)
                self.assertEqual(result.returncode, 0)
                self.assertTrue(result.stdout.startswith(b'# '))

    def test_full_disk(self):
        for output in 'text', 'json':
            with self.subTest(output=output), open('/dev/full', 'wb') as full:
                result = subprocess.run(
                    [harness.CGSCOPE, '-i', '0.1', '-n', '3', '-o', output, *harness.ROOT_OPTIONS],
                    stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
                self.assertEqual(result.returncode, 1)
                self.assertIn(b'No space left on device', result.stderr)
                self.assertEqual(result.stderr.count(b'\n'), 1, result.stderr)
        for command in ['resolve', *harness.ROOT_OPTIONS, '/'], ['check'], ['--help'], ['--version']:
            with self.subTest(command), open('/dev/full', 'wb') as full:
                result = subprocess.run([harness.CGSCOPE, *command], stdout=full, timeout=30,
                                        check=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
                self.assertEqual(result.returncode, 1)
                self.assertIn(b'No space left on device', result.stderr)
                self.assertEqual(result.stderr.count(b'\n'), 1, result.stderr)

    def test_killed_and_started_again(self):
        """Nothing is pinned, and nothing is counted twice."""
        comm = harness.unique_comm()
        with Cgroup() as cgroup, harness.running_load(
                'name=' + comm, 'getppid=70000', 'stdin', 'getppid=11', 'tick=1000',
                cgroup=cgroup) as process:
            first = Monitor('--cgroup', cgroup.name)
            first.wait_ready()
            first.kill()
            with Monitor('--cgroup', cgroup.name) as second:
                process.stdin.write(b'\n')
                process.stdin.flush()
                second.wait_record(lambda r: total([r], 'getppid'))
        self.assertEqual(total(second.records, 'getppid'), 11)


class Usage(unittest.TestCase):
    def test_wrong_usage(self):
        """Exit 2, one line that names what is wrong, nothing on standard output."""
        for argv, word in [(['--no-such-option'], '--no-such-option'), (['-i', '0'], '0'),
                           (['-i', '0.001'], '0.001'), (['-i', 'abc'], 'abc'), (['-n', '-1'], '-1'),
                           (['-o', 'xml'], 'xml'), (['--by', 'user'], 'user'),
                           (['-s', 'nosuchcall'], 'nosuchcall'), (['-p', 'x1'], 'x1'),
                           (['--top', 'many'], 'many'), (['stray'], 'stray'), (['-i'], '-i')]:
            with self.subTest(argv=argv):
                code, out, err = harness.cgscope(*argv)
                self.assertEqual((code, out), (2, ''), err)
                self.assertIn(word.lstrip('-'), err)
                self.assertEqual(err.count('\n'), 1, err)

    def test_help_and_version(self):
        code, out, err = harness.cgscope('--help')
        self.assertEqual((code, err), (0, ''))
        for option in '--interval', '--cgroup', '--containers-only', '--in-flight', '--host-root':
            self.assertIn(option, out)
        code, out, err = harness.cgscope('--version')
        self.assertEqual((code, err), (0, ''))
        self.assertIn('cgscope ', out)
        self.assertIn('libbpf', out)


class Messages(unittest.TestCase):
    """What users wrote is quoted so that it cannot move a terminal's cursor, and is UTF-8."""

    ODD = b'/no\x1b[2J\xff\n'

    def test_odd_bytes(self):
        short = ['-i', '0.1', '-n', '1', *harness.ROOT_OPTIONS]
        for argv in ([*short, '--cgroup', self.ODD], [*short, '--cgroup', self.ODD + b'*'],
                     [*short, '--btf', self.ODD], [*short, '-v', '--btf', self.ODD],
                     ['--host-root', self.ODD], ['-v', '--host-root', self.ODD],
                     [*short, '--listen', b'unix:' + self.ODD + b'/x'],
                     ['check', *harness.ROOT_OPTIONS, '--btf', self.ODD],
                     ['check', '-v', *harness.ROOT_OPTIONS, '--btf', self.ODD],
                     ['check', '--host-root', self.ODD],
                     ['resolve', '--host-root', self.ODD, '/'], ['resolve', self.ODD],
                     ['resolve', b'pid:' + self.ODD], [self.ODD]):
            with self.subTest(argv):
                result = subprocess.run([harness.CGSCOPE, *argv], stdin=subprocess.DEVNULL,
                                        capture_output=True, timeout=30, check=False)
                said = result.stdout + result.stderr
                self.assertNotIn(b'\x1b', said)
                self.assertIn('\\x1b[2J', said.decode().replace('\\u001b', '\\x1b'))

    def test_odd_directory(self):
        """The same of what is there."""
        with harness.scratch_directory() as directory:
            odd = os.fsencode(directory) + self.ODD
            os.mkdir(odd)
            for argv in [], ['check'], ['resolve', '-v', '/'], ['-v']:
                result = subprocess.run([harness.CGSCOPE, *argv, '--host-root', odd],
                                        stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
                                        check=False)
                said = (result.stdout + result.stderr).decode()
                self.assertIn('\\x1b[2J', said)
                self.assertNotIn('\x1b', said)

    def test_what_to_do(self):
        """One line, which does not stop at what is wrong."""
        wrong = '/no/such/place'
        for argv, words in [(['--host-root', wrong], ['--host-root', wrong, 'No such file', 'mounted']),
                            ([*harness.ROOT_OPTIONS, '--btf', wrong],
                             ['--btf', wrong, 'No such file', 'running kernel']),
                            ([*harness.ROOT_OPTIONS, '--cgroup', '18446744073709551614'],
                             ['no cgroup has this id', 'ids are those of that hierarchy'])]:
            with self.subTest(argv=argv):
                code, out, err = harness.cgscope('-i', '0.1', '-n', '1', *argv)
                self.assertEqual((code, out, err.count('\n')), (1, '', 1), err)
                for word in words:
                    self.assertIn(word, err)
                self.assertNotIn('Stale', err)

    def test_types_from_a_file(self):
        """--btf is enough where the kernel's own file is covered."""
        with harness.scratch_directory() as directory:
            copy = os.path.join(directory, 'vmlinux.btf')
            shutil.copyfile('/sys/kernel/btf/vmlinux', copy)
            cover = ['unshare', '--mount', 'sh', '-c',
                     'mount -t tmpfs none /sys/kernel/btf && exec "$@"', 'sh']
            with Cgroup() as cgroup:
                with Monitor('--cgroup', cgroup.name, '--btf', copy, wrapper=cover,
                             may_warn=True) as monitor:  # that the host's root is elsewhere
                    harness.run_load('getppid=1234', cgroup=cgroup)
                    monitor.wait_intervals(1)
                self.assertEqual(total(monitor.records, 'getppid'), 1234)
            result = subprocess.run([*cover, harness.CGSCOPE, '-n', '1', *harness.ROOT_OPTIONS],
                                    stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                    timeout=30, check=False)
            self.assertEqual((result.returncode, result.stdout), (1, ''))
            self.assertIn('--btf FILE', result.stderr)

    def test_cgroups_of_two_hierarchies(self):
        tops = {kind: os.fsencode(mount) for mount, kind in lab.cgroup_mounts().items()
                if kind == 'cgroup2' or os.path.basename(mount) == 'memory'}
        if len(tops) != 2:
            self.skipTest('needs a hybrid of cgroup v2 and a v1 memory hierarchy')
        names = [harness.unique('/e2e'), harness.unique('/e2e')]
        made = [top + os.fsencode(name) for top, name in zip(tops.values(), names)]
        try:
            for directory in made:
                os.mkdir(directory)
            arguments = [word for name in names for word in ('--cgroup', name)]
            for turn in range(2):
                code, out, err = harness.cgscope('-i', '0.1', '-n', '1', *harness.ROOT_OPTIONS,
                                                 *arguments[2 * turn:], *arguments[:2 * turn])
                self.assertEqual((code, out, err.count('\n')), (1, '', 1), err)
                for word in *names, 'all must lie in one hierarchy':
                    self.assertIn(word, err)
        finally:
            for directory in made:
                os.rmdir(directory)


class MissingPids(unittest.TestCase):
    """--pid of what is not there: said once for each, and no error."""

    def say(self, *arguments, wrapper=()):
        code, _, err = harness.cgscope('-i', '0.1', '-n', '1', *harness.ROOT_OPTIONS, *arguments,
                                       wrapper=wrapper)
        self.assertEqual(code, 0, err)
        return err.splitlines()

    def test_gone(self):
        with open('/proc/sys/kernel/pid_max', encoding='ascii') as f:
            beyond = str(int(f.read()) + 1)
        self.assertEqual(self.say('--pid', '1'), [])
        said = self.say('--pid', beyond, '--pid', '1')
        self.assertEqual(len(said), 1, said)
        self.assertIn(f'--pid {beyond}', said[0])

    def test_thread(self):
        with harness.running_load('thread=1', 'sleep=60000', 'end') as process:
            tasks = f'/proc/{process.pid}/task'
            self.assertTrue(lab.wait_until(lambda: len(os.listdir(tasks)) == 2, 10))
            thread = next(tid for tid in os.listdir(tasks) if tid != str(process.pid))
            said = self.say('--pid', thread, '--pid', str(process.pid))
        self.assertEqual(len(said), 1, said)
        self.assertIn(f'--pid {thread}: is a thread of process {process.pid}', said[0])

    def test_own_namespace(self):
        """There 1 is another process than the host's 1: nothing can be said of it."""
        own = ['unshare', '--pid', '--fork', '--mount-proc']
        if subprocess.run([*own, 'true'], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest('no PID namespace of its own to be had here')
        said = self.say('--pid', '1', '--pid', '4000000', wrapper=own)
        self.assertEqual(len(said), 1, said)
        for word in '--pid=host', 'hostPID: true', 'PID namespace', 'as the host has them':
            self.assertIn(word, said[0])
        self.assertNotIn('no such process', said[0])


class Privileges(unittest.TestCase):
    def bounded(self, *capabilities):
        """A wrapper that leaves root only @capabilities."""
        kept = ''.join(f',+{c.lower().removeprefix("cap_")}' for c in capabilities)
        return ['setpriv', '--bounding-set', '-all' + kept, '--inh-caps', '-all']

    def test_none(self):
        code, out, err = harness.cgscope('-i', '0.1', '-n', '1', wrapper=self.bounded())
        self.assertEqual((code, out), (1, ''))
        for name in NEEDED_CAPABILITIES:
            self.assertIn(name, err)

    def test_nobody(self):
        with harness.scratch_directory() as directory:
            program = shutil.copy(harness.CGSCOPE, directory)
            result = subprocess.run(
                ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', program, '-n',
                 '1'], capture_output=True, timeout=30, check=False, cwd='/')
        self.assertEqual((result.returncode, result.stdout), (1, b''))
        for name in NEEDED_CAPABILITIES:
            self.assertIn(name.encode(), result.stderr)

    def test_one_missing(self):
        harness.need_capabilities(**NUMBERS)
        for missing in NEEDED_CAPABILITIES:
            with self.subTest(missing=missing):
                rest = [c for c in NEEDED_CAPABILITIES if c != missing]
                code, out, err = harness.cgscope('-i', '0.1', '-n', '1', *harness.ROOT_OPTIONS,
                                                 wrapper=self.bounded(*rest))
                self.assertEqual((code, out), (1, ''), err)
                self.assertIn(missing, err)
                for other in rest:
                    self.assertNotIn(other, err)

    def test_only_the_needed(self):
        """The three capabilities are enough, and the counts are as exact."""
        harness.need_capabilities(**NUMBERS)
        comm = harness.unique_comm()
        with Cgroup() as cgroup:
            with Monitor('--cgroup', cgroup.name, interval=0.05,
                         wrapper=self.bounded(*NEEDED_CAPABILITIES)) as monitor:
                harness.run_load('name=' + comm, 'thread=2', 'getppid=200000', 'end', cgroup=cgroup)
        self.assertEqual(total(monitor.records, 'getppid', comm=comm), 400000)
        self.assertEqual(harness.lost(monitor.records), 0)

    def test_no_tracefs(self):
        """Nor debugfs, nor perf events: what is attached takes bpf(2) and the kernel's BTF only."""
        if not shutil.which('strace'):
            self.skipTest('needs strace')
        with harness.scratch_directory() as directory:
            for argv in ['-i', '0.1', '-n', '2', '-o', 'json', '-s', 'getppid', '-p', '1',
                         '--listen', '127.0.0.1:0'], ['check'], ['resolve', '/']:
                with self.subTest(argv):
                    trace = directory + '/trace'
                    harness.cgscope(
                        *argv, *harness.ROOT_OPTIONS, timeout=60, env=harness.traced_environ(),
                        wrapper=['strace', '-f', '-qq', '-o', trace, '-e',
                                 'trace=%file,bpf,perf_event_open'])
                    with open(trace, encoding='utf-8', errors='replace') as f:
                        calls = f.read()
                    self.assertIn('openat(', calls)
                    if argv[0] != 'resolve':
                        self.assertIn('BPF_RAW_TRACEPOINT_OPEN', calls)
                    for word in '/sys/kernel/tracing', '/sys/kernel/debug', '/debugfs', \
                            'perf_event_open':
                        self.assertEqual([line for line in calls.splitlines() if word in line], [])

    def test_drops_them(self):
        """Once attached, nothing is left that it does not need."""
        with Monitor() as monitor:
            status = status_of(monitor.pid)
            self.assertEqual(status['NoNewPrivs'], '1')
            allowed = 1 << 2 | 1 << 39  # what opens files, and reads programs on some kernels
            self.assertEqual(int(status['CapEff'], 16) & ~allowed, 0, status['CapEff'])
            self.assertEqual(int(status['CapPrm'], 16) & ~allowed, 0, status['CapPrm'])


if __name__ == '__main__':
    harness.main()
