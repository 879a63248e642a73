#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The lab itself, without cgscope: what the other tests take for granted."""

import json
import os
import unittest

import harness
import lab


def setUpModule():
    global info
    info = harness.join_lab()


def cgroups_of(pid):
    with open(f'/proc/{pid}/cgroup', encoding='utf-8') as f:
        return [line.rstrip('\n').split(':', 2)[2] for line in f]


class Lab(unittest.TestCase):
    def test_docker_container(self):
        with harness.Container(info, 'tick=200') as container:
            self.assertEqual(len(container.id), 64)
            self.assertTrue(any(container.id in path for path in cgroups_of(container.pid)))
            container.exec_load('getppid=1')
            root = lab.docker(info, 'info', '-f', '{{.DockerRootDir}}').strip()
            with open(f'{root}/containers/{container.id}/config.v2.json', encoding='utf-8') as f:
                self.assertEqual(json.load(f)['Name'], '/' + container.name)

    def test_pod(self):
        with harness.Pod(info, 'tick=200') as pod:
            bundle = f'{info["containerd_state"]}/io.containerd.runtime.v2.task/k8s.io/{pod.id}'
            with open(bundle + '/init.pid', encoding='ascii') as f:
                self.assertIn(f'{pod.parent}/{pod.id}', cgroups_of(int(f.read())))
            pod.exec_load('getppid=1')
        self.assertFalse(os.path.exists(bundle))


if __name__ == '__main__':
    harness.main()
