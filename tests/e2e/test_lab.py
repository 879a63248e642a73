#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The lab itself, without cgscope: what the other tests take for granted."""

import contextlib
import json
import os
import subprocess
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
            self.assertTrue(any(f'/{container.id}' in os.readlink(f'/proc/{pid}/cwd') for pid in
                                lab.shims_of(info['containerd_state'], info['containerd_socket'])))
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


class Shims(unittest.TestCase):
    """Which processes are killed when the lab goes: those of its own containerd only."""

    def spawn(self, stack, directory, *argv, name='containerd-shim-runc-v2', wrapper=()):
        process = stack.enter_context(subprocess.Popen(
            [*wrapper, 'bash', '-c', 'exec -a "$0" sh "$@"', name, '-c', 'echo there; read x', *argv],
            cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        stack.callback(process.kill)
        self.assertEqual(process.stdout.readline(), b'there\n')
        return process.pid

    def test_of_this_daemon_only(self):
        with harness.scratch_directory() as state, contextlib.ExitStack() as stack:
            bundle, elsewhere = f'{state}/io.containerd.runtime.v2.task/moby/1', state + '-2/moby/1'
            mine = f'{state}/containerd.sock'
            for directory in bundle, elsewhere:
                os.makedirs(directory)
            stack.callback(lab.shutil.rmtree, state + '-2')
            own = [self.spawn(stack, bundle, '-namespace', 'moby', '-address', mine),
                   self.spawn(stack, bundle, '-address', mine, name='/usr/bin/containerd-shim')]
            self.spawn(stack, bundle, '-address', mine + '2')
            self.spawn(stack, bundle, '-namespace', mine)
            self.spawn(stack, bundle, '-address=' + mine)
            self.spawn(stack, bundle, '-address', mine, name='containerd')
            self.spawn(stack, bundle, '-address', mine, name='not-a-containerd-shim')
            self.spawn(stack, elsewhere, '-address', mine)
            self.spawn(stack, state, '-address', mine)
            self.spawn(stack, bundle, '-address', mine, wrapper=['unshare', '-m'])
            self.assertEqual(sorted(lab.shims_of(state, mine)), sorted(own))
            self.assertEqual(lab.shims_of(None, None), [])


if __name__ == '__main__':
    harness.main()
