#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A real Prometheus scrapes cgscope while containers come and go."""

import time
import unittest

import harness
import metrics_tools as tools

INFO = None


def setUpModule():
    global INFO
    harness.need_root()
    tools.need_tool('prometheus', 'prometheus')
    INFO = harness.join_lab()
    status, _, error = harness.cgscope('-n', '1', '-i', '0.01', '--listen', '127.0.0.1:0')
    if status and 'has no listener' in error:
        raise unittest.SkipTest('needs a build with libmicrohttpd (package libmicrohttpd-dev)')


class Scraped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = tools.free_port()
        # Without the calls that runc makes in the container before it becomes the workload.
        cls.monitor = harness.Monitor('-c', 'load', '--by', 'container', '--containers-only',
                                      '--in-flight', '500',
                                      '--listen', f'127.0.0.1:{cls.port}', interval=0.5)
        cls.addClassCleanup(cls.monitor.kill)
        cls.monitor.wait_ready()
        cls.prometheus = tools.Prometheus(cls.port)
        cls.prometheus.__enter__()
        cls.addClassCleanup(cls.prometheus.__exit__)

    def wait_ended(self, selector):
        """Until Prometheus has noticed that the series are gone."""
        self.prometheus.wait(lambda: not self.prometheus.query(f'cgscope_syscalls_total{selector}'),
                             f'{selector}: gone')

    def test_counts_of_what_came_and_went(self):
        """All containers end in between; what is left in Prometheus is the truth, then nothing."""
        truth = {}
        for number in range(1, 6):
            name = harness.unique('short')
            truth[name] = 1000 * number
            harness.run_container(INFO, f'getppid={1000 * number}', 'badclose=50',
                                  name=name)
        for name, count in truth.items():
            selector = f'{{container="{name}"}}'
            self.prometheus.wait_value(
                f'last_over_time(cgscope_syscalls_total{{container="{name}",syscall="getppid"}}[10m])',
                count)
            self.wait_ended(selector)
            # Whatever Prometheus saw at last was the end.
            self.assertEqual(self.prometheus.value(
                f'last_over_time(cgscope_syscalls_total{{container="{name}",syscall="getppid"}}[10m])'),
                count)
            self.assertEqual(self.prometheus.value(
                f'last_over_time(cgscope_syscall_errors_total{{container="{name}",syscall="close"}}'
                '[10m])'), 50)
        self.assertEqual(self.prometheus.value(
            'sum(last_over_time(cgscope_syscalls_total{syscall="getppid",container=~"short.*"}[10m]))'),
            sum(truth.values()))
        self.assertEqual(self.prometheus.value('sum(cgscope_lost_calls_total)'), 0)

    def test_long_lived(self):
        """Calls in several steps: each sum in turn, no step back, and gone in the end."""
        with harness.Container(INFO, 'tick=50') as container:
            selector = f'{{container="{container.name}",syscall="getppid"}}'
            for step in range(1, 4):
                container.exec_load('getppid=2500')
                self.prometheus.wait_value(f'cgscope_syscalls_total{selector}', 2500 * step)
            self.assertEqual(self.prometheus.value(f'resets(cgscope_syscalls_total{selector}[10m])'), 0)
            info = self.prometheus.query(f'cgscope_container_info{{container="{container.name}"}}')
            self.assertEqual([labels['container_id'] for labels, _ in info], [container.id])
            joined = self.prometheus.query(
                f'cgscope_syscalls_total{selector} * on (namespace, pod, container) '
                'group_left (runtime, container_id) cgscope_container_info')
            self.assertEqual([(labels['container_id'], labels['runtime'], number)
                              for labels, number in joined], [(container.id, 'docker', 7500.0)])
        self.wait_ended(f'{{container="{container.name}"}}')
        self.assertEqual(self.prometheus.value(f'last_over_time(cgscope_syscalls_total{selector}[10m])'),
                         7500)

    def test_rate_and_quantile(self):
        with harness.Container(INFO, 'tick=10') as container:
            selector = f'{{container="{container.name}",syscall="clock_nanosleep"}}'
            self.prometheus.wait(lambda: self.prometheus.value(
                f'cgscope_syscalls_total{selector}'), 'the first scrape')
            time.sleep(12)
            # 10 ms and what a wake-up takes, on a machine that others use too.
            rate = self.prometheus.value(f'rate(cgscope_syscalls_total{selector}[10s])')
            self.assertGreater(rate, 50)
            self.assertLess(rate, 101)
            mean = self.prometheus.value(
                f'rate(cgscope_syscall_duration_seconds_sum{selector}[10s])'
                f' / rate(cgscope_syscall_duration_seconds_count{selector}[10s])')
            self.assertGreater(mean, 0.0100)
            self.assertLess(mean, 0.0168)
            median = self.prometheus.value(
                'histogram_quantile(0.5, rate(cgscope_syscall_duration_seconds_bucket'
                f'{selector}[10s]))')
            # The bucket that 10 ms are in.
            self.assertGreater(median, 0.004194304)
            self.assertLessEqual(median, 0.016777216)

    def test_restarted_in_its_pod(self):
        """A new container under the same name goes on counting in the same series."""
        with harness.Pod(INFO, 'getppid=3000', 'sleep=1000') as pod:
            selector = (f'{{namespace="{pod.namespace}",pod="{pod.name}",container="app",'
                        'syscall="getppid"}')
            self.prometheus.wait_value(f'cgscope_syscalls_total{selector}', 3000)
            pod.cri.call('StopContainer', container_id=pod.id, timeout=5)
            pod.cri.call('RemoveContainer', container_id=pod.id)
            second = pod.add_container('app', ['getppid=4000', 'tick=50'])
            self.prometheus.wait_value(f'cgscope_syscalls_total{selector}', 7000)
            self.assertEqual(self.prometheus.value(f'resets(cgscope_syscalls_total{selector}[10m])'), 0)
            info = self.prometheus.query(
                f'cgscope_container_info{{pod="{pod.name}",container="app"}}')
            self.assertEqual([labels['container_id'] for labels, _ in info], [second])
        self.wait_ended(f'{{pod="{pod.name}"}}')

    def test_in_flight(self):
        with harness.Container(INFO, 'sleep=60000') as container:
            selector = f'{{container="{container.name}",syscall="clock_nanosleep"}}'
            self.prometheus.wait_value(f'cgscope_syscalls_in_flight{selector}', 1)
            self.prometheus.wait(lambda: (self.prometheus.value(
                f'cgscope_syscall_in_flight_oldest_seconds{selector}') or 0) > 2, 'an age above 2 s')
        self.wait_ended(f'{{container="{container.name}"}}')
        self.assertEqual(self.prometheus.query(f'cgscope_syscalls_in_flight{selector}'), [])


if __name__ == '__main__':
    harness.main()
