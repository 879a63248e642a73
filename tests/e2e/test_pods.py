#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real pods, made through containerd's CRI as a kubelet makes them."""

import unittest

import harness
from harness import Cgroup, Monitor, Pod, containers, rows, total, value

POD_IMAGE = 'docker.io/library/' + harness.IMAGE


def setUpModule():
    global info
    info = harness.join_lab()


class Pods(unittest.TestCase):
    def assert_in_pod(self, record, pod):
        self.assertEqual(value(record, 'k8s', 'namespace', 'name'), pod.namespace)
        self.assertEqual(value(record, 'k8s', 'pod', 'name'), pod.name)
        self.assertEqual(value(record, 'k8s', 'pod', 'uid'), pod.uid)
        self.assertEqual(value(record, 'k8s', 'node', 'name'), record['host']['name'])
        self.assertEqual(value(record, 'container', 'runtime', 'name'), 'containerd')
        self.assertIs(record['resolved'], True)
        self.assertEqual(record['name_source'], 'containerd-bundle')

    def test_container_and_sandbox(self):
        with Pod(info, 'name=ticker', 'tick=50') as pod:
            records = harness.monitor_once('-n', '3', '--node', 'worker-1', interval=0.5)
        mine = pod.of(records)
        self.assertEqual(len(mine), 3)
        for record in mine:
            self.assert_in_pod(record, pod)
            self.assertEqual(record['host']['name'], 'worker-1')
            self.assertEqual(record['kind'], 'container')
            self.assertEqual(record['container']['name'], pod.container)
            self.assertEqual(record['k8s']['container']['name'], pod.container)
            self.assertEqual(record['container']['image']['name'], POD_IMAGE)
            self.assertEqual(record['cgroup']['path'], f'{pod.parent}/{pod.id}')
        self.assertTrue(list(rows(mine, 'clock_nanosleep', 'ticker')))

        sandbox = containers(records, container_id=pod.sandbox_id)
        self.assertTrue(sandbox, 'the sandbox makes calls, and has no record')
        for record in sandbox:
            self.assert_in_pod(record, pod)
            self.assertEqual(record['kind'], 'sandbox')
            self.assertIsNone(value(record, 'k8s', 'container', 'name'))

    def test_exact_counts(self):
        comm = harness.unique_comm()
        with Pod(info, 'tick=200') as pod, Monitor(interval=0.1) as monitor:
            pod.exec_load('name=' + comm, 'getppid=50000', 'thread=2', 'getpgrp=1000', 'end')
        self.assertEqual(total(pod.of(monitor.records), 'getppid', comm=comm), 50000)
        self.assertEqual(total(pod.of(monitor.records), 'getpgrp', comm=comm), 2000)
        self.assertEqual(total(monitor.records, 'getppid', comm=comm), 50000)
        self.assertEqual(harness.lost(monitor.records), 0)

    def test_started_later_and_replaced(self):
        """A restarted container of a pod is a new one of the same name."""
        with Monitor() as monitor, Pod(info, 'tick=50') as pod:
            record = monitor.wait_record(lambda r: value(r, 'container', 'id') == pod.id)
            self.assert_in_pod(record, pod)
            pod.cri.remove(pod.id, timeout=0)
            again = pod.add_container(pod.container, ['tick=50'])
            record = monitor.wait_record(lambda r: value(r, 'container', 'id') == again)
            self.assert_in_pod(record, pod)
            self.assertEqual(record['container']['name'], pod.container)

    def test_filters(self):
        """--namespace, --pod and --cgroup, each with a pod that starts later and one left out."""
        with Pod(info, 'tick=50') as other:
            name = harness.unique('later')
            for options in (['--pod', name], ['--pod', name[:-1] + '*', '--namespace', 'e2e-sh?p'],
                            ['--pod', name, '--container', 'app']):
                with self.subTest(options=options), Monitor(*options) as monitor, \
                        Pod(info, 'tick=50', name=name) as chosen:
                    comm = harness.unique_comm()
                    chosen.exec_load('name=' + comm, 'getppid=1000')
                    other.exec_load('name=' + comm, 'getppid=10')
                    monitor.wait_intervals(2)
                records = containers(monitor.records)
                self.assertEqual({value(r, 'k8s', 'pod', 'uid') for r in records}, {chosen.uid})
                self.assertEqual(total(records, 'getppid', comm=comm), 1000)

    def test_cgroup_glob(self):
        comm = harness.unique_comm()
        with Cgroup() as outside, \
                Monitor('--cgroup', '/kubepods/*/pod*', may_warn=True) as monitor, \
                Pod(info, 'tick=50') as pod:
            pod.exec_load('name=' + comm, 'getppid=1000')
            harness.run_load('name=' + comm, 'getppid=10', cgroup=outside)
            monitor.wait_intervals(2)
        self.assertEqual(total(monitor.records, 'getppid', comm=comm), 1000)
        self.assertEqual(total(pod.of(monitor.records), 'getppid', comm=comm), 1000)

    def test_other_namespace_is_nothing(self):
        with Pod(info, 'tick=50') as pod, Monitor('--namespace', 'e2e-other') as monitor:
            pod.exec_load('getppid=10')
            monitor.wait_intervals(2)
        self.assertEqual(containers(monitor.records), [])

    def test_text(self):
        with Pod(info, 'name=ticker', 'tick=50') as pod, Monitor(output='text') as monitor:
            monitor.wait_intervals(2)
        wanted = f' container={pod.container} pod={pod.namespace}/{pod.name} cgroup='
        self.assertTrue([line for line in monitor.text if wanted in line], monitor.text[-20:])


if __name__ == '__main__':
    harness.main()
