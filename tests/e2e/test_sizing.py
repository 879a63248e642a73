#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A node of 200 busy pods with the chart's defaults: how much is logged and scraped, what it costs.

The figures in docs/sizing.md are what this prints.
"""

import contextlib
import gzip
import json
import os
import re
import shutil
import subprocess
import time
import unittest
import urllib.request
import uuid

import harness
import lab
import metrics_tools as tools

BUSY = os.environ.get('E2E_BUSY', '')
N_PODS = 200
INTERVAL = 5  # the chart's is longer; what a record holds hardly depends on it
MANIFEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../docs/examples/kubernetes.yaml')
CONTAINERS_LOG = '/var/log/containers'


def setUpModule():
    harness.need_root()
    if not BUSY:
        raise unittest.SkipTest('needs E2E_BUSY')


def chart_arguments():
    """What the chart gives cgscope by default, but for the place, the interval and the port."""
    with open(MANIFEST, encoding='utf-8') as f:
        text = f.read()
    block = re.search(r'\n( *)args:\n((?:\1 *- .*\n)+)', text)[2]
    args = [line.strip()[2:].strip('"') for line in block.splitlines()]
    return [arg for arg in args if not arg.startswith(('--host-root', '--interval', '--listen', '--output'))]


class Pods:
    """Cgroups and log directories as the kubelet has them, of names as long as real ones are."""

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.words = []
        os.makedirs(lab.PODS_LOG, exist_ok=True)
        self.made_containers_log = not os.path.isdir(CONTAINERS_LOG)
        os.makedirs(CONTAINERS_LOG, exist_ok=True)
        try:
            for number in range(N_PODS):
                self.add(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def add(self, number):
        uid, container_id = str(uuid.uuid4()), os.urandom(32).hex()
        namespace = 'sizing-shop'
        pod = f'checkout-service-7d9f8b6c5-{number:05d}'
        directory = f'{lab.PODS_LOG}/{namespace}_{pod}_{uid}'
        os.makedirs(directory)
        self.stack.callback(shutil.rmtree, directory)
        link = f'{CONTAINERS_LOG}/{pod}_{namespace}_checkout-{container_id}.log'
        os.symlink(f'{directory}/checkout/0.log', link)
        self.stack.callback(os.unlink, link)
        cgroup = self.stack.enter_context(
            harness.Cgroup(f'/kubepods/burstable/pod{uid}/{container_id}'))
        self.words.append(b':'.join(cgroup.directories))

    def __exit__(self, *_):
        self.stack.close()
        if self.made_containers_log:
            with contextlib.suppress(OSError):
                os.rmdir(CONTAINERS_LOG)


@contextlib.contextmanager
def running_busy(words):
    process = subprocess.Popen([BUSY, *words], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(30)


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat', encoding='utf-8') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def memory(pid, key):
    with open(f'/proc/{pid}/status', encoding='utf-8') as f:
        return int(re.search(rf'^{key}:\s+(\d+) kB', f.read(), re.MULTILINE)[1]) << 10


class Sizing(unittest.TestCase):
    def test_two_hundred_pods(self):
        port = tools.free_port()
        with Pods() as pods, running_busy(pods.words), \
                harness.Monitor(*chart_arguments(), '--listen', f'127.0.0.1:{port}',
                                interval=INTERVAL, env=harness.weighed_environ()) as monitor:
            monitor.wait_intervals(1, 60)
            cpu, start, first = cpu_seconds(monitor.pid), time.monotonic(), len(monitor.lines)
            scrapes = []
            for _ in range(3):
                monitor.wait_intervals(1, 60)
                before = time.monotonic()
                page = tools.get(port, '/metrics', 20)[1]
                scrapes.append(time.monotonic() - before)
            cpu = (cpu_seconds(monitor.pid) - cpu) / (time.monotonic() - start)
            zipped_bytes, zipped_seconds = self.scrape_zipped(port)
            resident, peak = memory(monitor.pid, 'VmRSS'), memory(monitor.pid, 'VmHWM')
            lines = monitor.lines[first:]
        print(f'with gzip a scrape is {zipped_bytes} bytes and took {zipped_seconds:.3f} s')
        self.report(lines, page, max(scrapes), cpu, resident, peak)

    def scrape_zipped(self, port):
        request = urllib.request.Request(f'http://127.0.0.1:{port}/metrics',
                                         headers={'Accept-Encoding': 'gzip'})
        start = time.monotonic()
        with urllib.request.urlopen(request, timeout=20) as answer:
            body = answer.read()
        took = time.monotonic() - start
        self.assertLess(len(gzip.decompress(body)), 10_000_000)
        return len(body), took

    def report(self, lines, page, slowest, cpu, resident, peak):
        records = [json.loads(line) for line in lines]
        n_intervals = len(harness.intervals(records))
        names = {record['k8s']['pod']['name'] for record in harness.containers(records)
                 if (harness.value(record, 'k8s', 'pod', 'name') or '').startswith('checkout-')}
        log_bytes = sum(map(len, lines)) / n_intervals
        rows = [len(json.dumps(row, separators=(',', ':'))) + 1 for record in harness.containers(records)
                for row in record.get('syscalls', [])]
        found = tools.samples(page)
        ours = [labels for name, labels, _ in found if labels.get('pod', '').startswith('checkout-')]
        calls = {(labels['pod'], labels['syscall']) for labels in ours if 'syscall' in labels}
        per_container = len(ours) / N_PODS
        figures = {
            'containers': len(names), 'log bytes an interval': round(log_bytes),
            'log bytes a container and interval': round(log_bytes / N_PODS),
            'log bytes a row': round(sum(rows) / len(rows)),
            'scrape bytes': len(page.encode()), 'samples': len(found),
            'series a container': round(per_container, 1),
            'calls a container, with "other"': round(len(calls) / N_PODS, 1),
            'slowest scrape s': round(slowest, 3), 'CPU of one': round(cpu, 4),
            'resident bytes': resident, 'peak resident bytes': peak,
            'lost calls': harness.lost(records),
        }
        print(json.dumps(figures, indent=1))
        self.assertEqual(len(names), N_PODS)
        self.assertLess(log_bytes, 1_000_000)
        self.assertLess(len(page.encode()), 10_000_000)
        self.assertLess(slowest, 2)
        self.assertLess(peak, 256 << 20)
        self.assertEqual(harness.lost(records), 0)
        # All calls that there may be: 15 of their own, and the rest.
        self.assertEqual(len(calls), 16 * N_PODS)


if __name__ == '__main__':
    harness.main()
