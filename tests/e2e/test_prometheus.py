#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A real Prometheus scrapes cgscope while containers come and go."""

import contextlib
import json
import os
import re
import time
import unittest

import harness
import lab
import metrics_tools as tools

DASHBOARD = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                         '../../helm/cgscope/dashboards/cgscope.json')
BPF_STATS = '/proc/sys/kernel/bpf_stats_enabled'
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
        # What has to be gone in the end: waited for once, since it takes a minute and a half.
        cls.ended = []

    def check_ended(self, selector):
        """Once a container is gone: its series stay with their last values, and test_series_end sees them go."""
        self.ended.append(selector)

    def test_series_end(self):
        """The last one by its name, of the containers of all others."""
        self.assertTrue(self.ended)
        for selector in self.ended:
            self.prometheus.wait(lambda s=selector: not self.prometheus.query(f'cgscope_syscalls_total{s}'),
                                 f'{selector}: gone', 150)
            self.assertEqual(self.prometheus.query(f'cgscope_container_info{selector}'), [])

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
            self.check_ended(selector)
            # Whatever Prometheus sees at last is the end.
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
            joined = (f'cgscope_syscalls_total{selector} * on (job, instance, namespace, pod, container) '
                      'group_left (runtime, container_id) cgscope_container_info')
            self.assertEqual([(labels['container_id'], labels['runtime'], number)
                              for labels, number in self.prometheus.query(joined)],
                             [(container.id, 'docker', 7500.0)])
        # Gone, and still there to be joined with the last values.
        time.sleep(5)
        self.assertEqual([(labels['container_id'], number) for labels, number in self.prometheus.query(joined)],
                         [(container.id, 7500.0)])
        self.check_ended(f'{{container="{container.name}"}}')
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
            pod.cri.remove(pod.id)
            second = pod.add_container('app', ['getppid=4000', 'tick=50'])
            self.prometheus.wait_value(f'cgscope_syscalls_total{selector}', 7000)
            self.assertEqual(self.prometheus.value(f'resets(cgscope_syscalls_total{selector}[10m])'), 0)
            info = self.prometheus.query(
                f'cgscope_container_info{{pod="{pod.name}",container="app"}}')
            self.assertEqual([labels['container_id'] for labels, _ in info], [second])
        self.check_ended(f'{{pod="{pod.name}"}}')

    def test_in_flight(self):
        with harness.Container(INFO, 'sleep=60000') as container:
            selector = f'{{container="{container.name}",syscall="clock_nanosleep"}}'
            self.prometheus.wait_value(f'cgscope_syscalls_in_flight{selector}', 1)
            self.prometheus.wait(lambda: (self.prometheus.value(
                f'cgscope_syscall_in_flight_oldest_seconds{selector}') or 0) > 2, 'an age above 2 s')
        self.prometheus.wait(lambda: not self.prometheus.query(f'cgscope_syscalls_in_flight{selector}'),
                             'nothing in flight')
        self.check_ended(f'{{container="{container.name}"}}')


@contextlib.contextmanager
def bpf_stats():
    """The kernel counts the runs of BPF programs."""
    with open(BPF_STATS, encoding='utf-8') as f:
        before = f.read()
    try:
        with open(BPF_STATS, 'w', encoding='utf-8') as f:
            f.write('1')
        yield
    finally:
        with open(BPF_STATS, 'w', encoding='utf-8') as f:
            f.write(before)


@contextlib.contextmanager
def refused_container():
    """Makes a call, again and again, that Docker's seccomp profile refuses."""
    name = harness.unique('refused')
    lab.docker(INFO, 'run', '-d', '--name', name, '--label', lab.LABEL, '--network', 'none', harness.IMAGE,
               'sh', '-c', 'while :; do busybox hostname x 2>/dev/null; sleep 0.2; done')
    try:
        yield name
    finally:
        lab.docker(INFO, 'rm', '-f', name, check=False)


@contextlib.contextmanager
def hanging_container():
    """In a call that ought to return soon: the opening of a FIFO that nobody writes to."""
    name = harness.unique('hanging')
    lab.docker(INFO, 'run', '-d', '--name', name, '--label', lab.LABEL, '--network', 'none', harness.IMAGE,
               'sh', '-c', 'busybox mkfifo /tmp/f && exec busybox cat /tmp/f')
    try:
        yield name
    finally:
        lab.docker(INFO, 'rm', '-f', name, check=False)


class Dashboard(unittest.TestCase):
    """Every query of the dashboard, as Grafana would ask it with everything selected, of two nodes.

    The two have containers of the same names: in fact they are the same, seen by two agents.
    """

    VARIABLES = {'$__rate_interval': '10s', '$__range': '1m', '$datasource': '', '$job': '.*', '$node': '.*',
                 '$namespace': '.*', '$pod': '.*', '$container': '.*', '$syscall': '.*'}

    def fill(self, expression):
        for name, value in self.VARIABLES.items():
            expression = expression.replace(name, value)
        self.assertNotIn('$', expression)
        return expression

    def test_every_query_has_data(self):
        with open(DASHBOARD, encoding='utf-8') as f:
            dashboard = json.load(f)
        queries = {panel['title']: self.fill(target['expr']) for panel in dashboard['panels']
                   for target in panel.get('targets', [])}
        self.assertGreater(len(queries), 20)
        ports = [tools.free_port(), tools.free_port()]
        with contextlib.ExitStack() as stack:
            stack.enter_context(bpf_stats())
            for port in ports:
                stack.enter_context(harness.Monitor(
                    '--by', 'container', '--containers-only', '--listen', f'127.0.0.1:{port}', interval=0.5))
            hanging = stack.enter_context(hanging_container())
            stack.enter_context(harness.Container(INFO, 'badclose=1000', 'write=1000', 'sleep=600000'))
            stack.enter_context(harness.Container(INFO, 'tick=20'))
            stack.enter_context(refused_container())
            stack.enter_context(harness.Pod(INFO, 'tick=30'))
            prometheus = stack.enter_context(tools.Prometheus(*ports))
            missing = dict(queries)

            def all_there():
                for title, expression in list(missing.items()):
                    if prometheus.query(expression):
                        del missing[title]
                return not missing
            with contextlib.suppress(AssertionError):
                prometheus.wait(all_there, 'every query', 45)
            self.assertEqual(missing, {})
            self.check_variables(prometheus, dashboard)
            self.check_joins(prometheus, queries['Busiest containers'])
            # Others than ours may hang as well; what waits does not.
            oldest = [labels for labels, _ in prometheus.query(queries['Oldest call in flight'])]
            self.assertEqual({(labels['syscall'], labels['node']) for labels in oldest
                              if labels['container'] == hanging},
                             {('openat', 'worker-1'), ('openat', 'worker-2')})
            self.assertEqual([labels for labels in oldest if 'nanosleep' in labels['syscall']], [])

    def check_joins(self, prometheus, busiest):
        """Each container of each node, by what it runs; and what the documentation says of runtimes."""
        def by_name():
            nodes = {}
            for labels, _ in prometheus.query(busiest):
                nodes.setdefault(labels['container_id'], set()).add((labels['node'], labels['instance']))
            return nodes
        prometheus.wait(lambda: {len(nodes) for nodes in by_name().values()} == {2}, f'all on two nodes: {by_name()}', 20)
        with open(os.path.join(os.path.dirname(DASHBOARD), '../../../docs/prometheus.md'), encoding='utf-8') as f:
            by_runtime = re.search(r'^sum by \(runtime\).*?(?=^```)', f.read(), re.MULTILINE | re.DOTALL)[0]
        self.assertLessEqual({'docker', 'containerd'},
                             {labels['runtime'] for labels, _ in prometheus.query(by_runtime.replace('5m', '10s'))})

    def check_variables(self, prometheus, dashboard):
        """label_values(METRIC{…}, LABEL): some value each."""
        for variable in dashboard['templating']['list']:
            if variable['type'] != 'query':
                continue
            series, label = variable['definition'].removeprefix('label_values(').rstrip(')').rsplit(', ', 1)
            found = {labels.get(label) for labels, _ in prometheus.query(self.fill(series))}
            self.assertTrue(found - {None}, variable['name'])


if __name__ == '__main__':
    harness.main()
