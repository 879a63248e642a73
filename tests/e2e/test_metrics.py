#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""--listen: what is answered, to whom, and what clients cannot do to the measurement."""

import contextlib
import gzip
import os
import socket
import subprocess
import time
import unittest
import urllib.request

import harness
import metrics_tools as tools

CLOSE_FD = os.environ.get('E2E_CLOSE_FD', '')
N_CLIENTS = 500
SILENCE_S = 5  # after which the listener gives a client up


def setUpModule():
    harness.need_root()
    result = subprocess.run([harness.CGSCOPE, '-n', '1', '-i', '0.01', '--listen', '127.0.0.1:0'],
                            capture_output=True, check=False, timeout=60)
    if b'has no listener' in result.stderr:
        raise unittest.SkipTest('needs a build with libmicrohttpd (package libmicrohttpd-dev)')


@contextlib.contextmanager
def listening(*args, **kwargs):
    port = tools.free_port()
    with harness.Monitor('--listen', f'127.0.0.1:{port}', *args, **kwargs) as monitor:
        yield monitor, port


def status_of(pid, thread='self'):
    path = f'/proc/{pid}/status' if thread == 'self' else f'/proc/{pid}/task/{thread}/status'
    with open(path, encoding='utf-8') as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


class Answers(unittest.TestCase):
    def test_metrics(self):
        with harness.Cgroup() as cgroup, listening('--metrics-syscalls', '1024') as (monitor, port):
            harness.run_load('getppid=12345', 'badclose=77', cgroup=cgroup)
            monitor.wait_intervals(3)
            status, page = tools.get(port, '/metrics')
            self.assertEqual(status, 200)
            # In no container: all such processes are one, without names.
            self.assertGreaterEqual(tools.total(page, 'cgscope_syscalls_total', syscall='getppid',
                                                namespace='', pod='', container=''), 12345)
            self.assertGreaterEqual(tools.total(page, 'cgscope_syscall_errors_total',
                                                syscall='close'), 77)
            self.assertEqual(tools.total(page, 'cgscope_attached'), 1)
            self.assertGreaterEqual(tools.total(page, 'cgscope_intervals_total'), 3)
            self.assertGreater(tools.total(page, 'process_resident_memory_bytes'), 1 << 20)

    def test_top_does_not_cut_metrics(self):
        """--top, --by and the rows' unit are about the output alone."""
        sums = []
        for options in [], ['--top', '1'], ['--by', 'thread'], ['--by', 'container', '--top', '2']:
            comm = harness.unique_comm()
            with harness.Cgroup() as cgroup, listening('-c', comm, *options) as (monitor, port):
                harness.run_load(f'name={comm}', 'thread=3', 'getppid=1000', 'getpgrp=500', 'write=7',
                                 'end', cgroup=cgroup)
                monitor.wait_intervals(2)
                page = tools.get(port, '/metrics')[1]
                # The name is the main thread's and the others have it too; so all is theirs.
                sums.append([tools.total(page, 'cgscope_syscalls_total', syscall=call)
                             for call in ('getppid', 'getpgrp', 'write')])
        self.assertEqual(sums, [[3000, 1500, 21]] * 4)

    def test_metrics_syscalls(self):
        with listening('--metrics-syscalls', '2') as (monitor, port):
            monitor.wait_intervals(3)
            page = tools.get(port, '/metrics')[1]
            groups = {}
            for name, labels, _ in tools.samples(page):
                if name == 'cgscope_syscalls_total':
                    key = labels['namespace'], labels['pod'], labels['container']
                    groups.setdefault(key, set()).add(labels['syscall'])
            self.assertTrue(groups)
            for calls in groups.values():
                self.assertLessEqual(len(calls - {'other'}), 2)
            self.assertTrue(any('other' in calls for calls in groups.values()))

    def test_promtool(self):
        tools.need_tool('promtool', 'prometheus')
        with listening('--in-flight', '100') as (monitor, port):
            monitor.wait_intervals(2)
            page = tools.get(port, '/metrics')[1]
            result = subprocess.run(['promtool', 'check', 'metrics'], input=page.encode(),
                                    capture_output=True, check=False)
            self.assertEqual((result.returncode, result.stdout + result.stderr), (0, b''), page[:2000])

    def test_gzip(self):
        """What Prometheus asks for; whoever does not ask gets plain text."""
        with listening() as (monitor, port):
            monitor.wait_intervals(2)
            for accepted, is_zipped in ('gzip', True), ('deflate, gzip;q=0.5', True), \
                    ('gzip;q=0', False), ('identity', False):
                request = urllib.request.Request(f'http://127.0.0.1:{port}/metrics',
                                                 headers={'Accept-Encoding': accepted})
                with urllib.request.urlopen(request, timeout=5) as answer:
                    body = answer.read()
                    self.assertEqual(answer.headers.get('Content-Encoding'),
                                     'gzip' if is_zipped else None, accepted)
                if is_zipped:
                    packed, body = len(body), gzip.decompress(body)
                    self.assertLess(packed, len(body) / 5)
                self.assertGreaterEqual(tools.total(body.decode(), 'cgscope_intervals_total'), 2)

    def test_ready(self):
        port = tools.free_port()
        start = time.monotonic()
        monitor = harness.Monitor('--listen', f'127.0.0.1:{port}', interval=1)
        try:
            reason, _ = tools.wait_status(port, '/readyz', 503)
            self.assertIn('first interval', reason)
            self.assertEqual(tools.get(port, '/healthz')[0], 200)
            self.assertEqual(tools.total(tools.get(port, '/metrics')[1],
                                         'cgscope_intervals_total'), 0)
            tools.wait_status(port, '/readyz', 200)
            took = time.monotonic() - start
            # Loading takes longer with sanitizers, or when others load too.
            self.assertLess(took, 10)
            print(f'ready after {took:.2f} s with -i 1')
        finally:
            monitor.end()

    def test_addresses(self):
        port = tools.free_port()
        with harness.scratch_directory() as directory, \
                harness.Monitor('--listen', f'unix:{directory}/s'), \
                harness.Monitor('--listen', f':{port}'):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(f'{directory}/s')
                s.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
                self.assertIn(b'200 OK', s.recv(4096))
            self.assertEqual(tools.get(port, '/readyz')[0], 200)

    def test_any_port(self):
        """The kernel chooses; nobody else could tell which."""
        _, _, err = harness.cgscope('-n', '1', '-i', '0.05', '--listen', '127.0.0.1:0', *harness.ROOT_OPTIONS)
        self.assertRegex(err, r'^cgscope: listening on 127\.0\.0\.1:[1-9]\d*\n$')

    def test_address_in_use(self):
        with listening() as (_, port):
            status, out, err = harness.cgscope('--listen', f'127.0.0.1:{port}', '-n', '1', *harness.ROOT_OPTIONS)
            self.assertEqual((status, out), (1, ''))
            self.assertIn('Address already in use', err)
            self.assertEqual(len(err.splitlines()), 1)

    def test_no_address(self):
        """What is no address is wrong usage, whether or not anything could be bound."""
        for value in '0:0', '127.1:0', 'host.invalid:1', 'unix:relative':
            status, out, err = harness.cgscope('--listen', value, '-n', '1')
            self.assertEqual((status, out), (2, ''), value)
            self.assertIn(f'"{value}"', err)
            self.assertEqual(len(err.splitlines()), 1)

    def test_privileges(self):
        """Neither thread keeps more than the program says; a port of root's is no obstacle."""
        with listening() as (monitor, _):
            threads = os.listdir(f'/proc/{monitor.pid}/task')
            self.assertEqual(len(threads), 2)
            for thread in threads:
                status = status_of(monitor.pid, thread)
                # CAP_DAC_READ_SEARCH is bit 2, CAP_BPF, for kernels before 5.19, bit 39.
                self.assertEqual(int(status['CapEff'], 16) & ~(1 << 2 | 1 << 39), 0)
                self.assertEqual(int(status['CapPrm'], 16) & ~(1 << 2 | 1 << 39), 0)
                self.assertEqual(status['NoNewPrivs'], '1')

    def test_own_calls_are_left_out(self):
        """The thread's too: its process is not measured."""
        with listening('--by', 'process') as (monitor, port):
            for _ in range(50):
                tools.get(port, '/metrics')
            monitor.wait_intervals(2)
            self.assertEqual(list(harness.rows(monitor.records, pid=monitor.pid)), [])


class Health(unittest.TestCase):
    def link_fds(self, pid):
        """{what it is attached to: its file descriptor}"""
        found = {}
        for fd in os.listdir(f'/proc/{pid}/fdinfo'):
            with contextlib.suppress(FileNotFoundError), \
                    open(f'/proc/{pid}/fdinfo/{fd}', encoding='utf-8') as f:
                info = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
                if 'link_type' in info:
                    found[info.get('tp_name', info['link_type'])] = fd
        return found

    def test_link_closed_by_hand(self):
        if not CLOSE_FD:
            raise unittest.SkipTest('needs E2E_CLOSE_FD')
        for name in 'sys_enter', 'sys_exit', 'sched_process_exit':
            with self.subTest(name), listening(may_warn=True) as (monitor, port):
                self.assertEqual(tools.get(port, '/healthz')[0], 200)
                fds = self.link_fds(monitor.pid)
                self.assertIn(name, fds)
                subprocess.run([CLOSE_FD, str(monitor.pid), fds[name]], check=True, timeout=30)
                reason, took = tools.wait_status(port, '/healthz', 503, 5)
                self.assertIn('not attached', reason)
                self.assertLess(took, 2)
                self.assertEqual(tools.get(port, '/readyz')[0], 503)
                # An interval's page comes behind its records.
                self.assertTrue(harness.lab.wait_until(
                    lambda: tools.total(tools.get(port, '/metrics')[1], 'cgscope_attached') == 0, 5))

    def test_forced_detach(self):
        """The kernel has no forced detaching for raw tracepoints: refused, and still healthy."""
        tools.need_tool('bpftool', 'bpftool')
        with listening() as (monitor, port):
            refused = []
            for fd in os.listdir(f'/proc/{monitor.pid}/fdinfo'):
                with contextlib.suppress(FileNotFoundError), \
                        open(f'/proc/{monitor.pid}/fdinfo/{fd}', encoding='utf-8') as f:
                    info = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
                if info.get('tp_name') == 'sys_exit':
                    refused.append(subprocess.run(
                        ['bpftool', 'link', 'detach', 'id', info['link_id']],
                        capture_output=True, check=False).returncode != 0)
            self.assertEqual(len(refused), 1)
            if refused[0]:
                monitor.wait_intervals(3)
                self.assertEqual(tools.get(port, '/healthz')[0], 200)
            else:  # a kernel that can: then it has to show
                tools.wait_status(port, '/healthz', 503, 5)

    def test_stuck_output(self):
        """Nobody reads the records: the intervals stop, and the scrapes do not."""
        port = tools.free_port()
        process = subprocess.Popen(
            [harness.CGSCOPE, '-i', '0.05', '--listen', f'127.0.0.1:{port}',
             *harness.ROOT_OPTIONS], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            tools.wait_status(port, '/readyz', 200)
            reason, _ = tools.wait_status(port, '/healthz', 503, 60)
            self.assertIn('no interval', reason)
            self.assertEqual(tools.get(port, '/metrics')[0], 200)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


class SlowClients(unittest.TestCase):
    """Each of 500 from an address of its own, or all from one."""

    PARTS = {
        'silent': b'',
        'half': b'GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ',
        'unread': b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n',
    }

    def connect(self, port, number, many_addresses):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if many_addresses:
            s.bind((f'127.1.{number // 250}.{number % 250 + 1}', 0))
        s.connect(('127.0.0.1', port))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(list(self.PARTS.values())[number % len(self.PARTS)])
        return s

    def resident(self, pid):
        return int(status_of(pid)['VmRSS'].split()[0]) << 10

    def trickle(self, clients, seconds):
        """A byte a second from each, so that no silence ends them."""
        for _ in range(seconds):
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(b'x')
            time.sleep(1)

    def watch(self, monitor, seconds, disturb):
        """The intervals out of what happened while @disturb was called once a second."""
        first = len(monitor.lines)
        for _ in range(seconds):
            disturb()
        monitor.wait_intervals(1)
        return harness.intervals([harness.parse(line) for line in monitor.lines[first:]])

    def probe(self, port):
        start = time.monotonic()
        self.assertEqual(tools.get(port, '/healthz', 2 * SILENCE_S)[0], 200)
        self.assertEqual(tools.get(port, '/metrics', 2 * SILENCE_S)[0], 200)
        return time.monotonic() - start

    def check(self, many_addresses):
        def bother():
            probes.append(self.probe(port))
            self.trickle(clients, 1)

        probes = []
        with listening(interval=0.2, env=harness.weighed_environ()) as (monitor, port):
            monitor.wait_intervals(3)
            before = self.resident(monitor.pid)
            quiet = self.watch(monitor, 3, lambda: time.sleep(1))
            clients = [self.connect(port, i, many_addresses) for i in range(N_CLIENTS)]
            try:
                slow = self.watch(monitor, 20, bother)
                after = self.resident(monitor.pid)
                open_fds = len(os.listdir(f'/proc/{monitor.pid}/fd'))
            finally:
                for client in clients:
                    client.close()
            monitor.wait_intervals(1)
            quiet += self.watch(monitor, 3, lambda: time.sleep(1))
        longest, longest_quiet = (max(record['interval_s'] for record in records)
                                  for records in (slow, quiet))
        rate, rate_quiet = (len(records) / sum(record['interval_s'] for record in records)
                            for records in (slow, quiet))
        n_long = sum(record['interval_s'] > 2 * longest_quiet for record in slow)
        print(f'{N_CLIENTS} slow clients: the longest of {len(slow)} intervals took {longest} s, '
              f'{n_long} more than twice the longest of {len(quiet)} without them, {longest_quiet} s; '
              f'{rate:.2f} a second, without them {rate_quiet:.2f}; the slowest probe {max(probes):.3f} s, resident memory grew by '
              f'{(after - before) >> 10} KiB, {open_fds} descriptors at the end')
        # Whoever waits for a client does so for SILENCE_S at least, 25 intervals.
        self.assertLess(longest, 10 * longest_quiet)
        self.assertGreaterEqual(rate, 0.8 * rate_quiet)
        self.assertLessEqual(n_long, len(slow) // 50)
        self.assertLess(max(probes), SILENCE_S)
        self.assertLess(after - before, 64 << 20)
        self.assertLess(open_fds, 200)

    def test_from_many_addresses(self):
        self.check(True)

    def test_from_one_address(self):
        self.check(False)


if __name__ == '__main__':
    harness.main()
