#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""cgscope in a container that has a cgroup namespace of its own: the same names as on the host.

What Docker gives on cgroup v2 unless asked for another, also to `docker run --privileged --pid=host`.
Here it is asked for, whatever the hierarchy.
"""

import json
import os
import subprocess
import unittest

import harness
import lab
from harness import Container, Pod, containers, total, value

PRIVATE = ['--cgroupns=private']
HOST_PIDS = ['--pid=host']
UNCONFINED = ['--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined']
PRIVILEGED = ['--privileged']
# For where Docker itself has not every capability to give, or keeps those of private
# namespaces from the privileged (cgroup v1).
NEARLY = ['--cap-add', 'ALL', '--cap-drop', 'SYS_RESOURCE', *UNCONFINED]
# A pod that is given what it needs and no more. Docker's older ones know of no CAP_BPF.
FEW = ['--cap-drop', 'ALL', '--cap-add', 'SYS_ADMIN', '--cap-add', 'DAC_READ_SEARCH',
       '--cap-add', 'SYS_PTRACE', *UNCONFINED]
HOST = ['-v=/:/host:ro'], ['--host-root', '/host']


def setUpModule():
    global info
    info = harness.join_lab()


def in_container(options, *arguments, pids=HOST_PIDS):
    """cgscope in a container, with what it printed."""
    directory = os.path.dirname(harness.CGSCOPE)
    volumes = [f'-v={path}:{path}:ro' for path in ('/usr', '/lib', '/lib64', directory)
               if os.path.exists(path)]
    return subprocess.run(
        ['docker', 'run', '--rm', '--network', 'none', '--label', lab.LABEL, *PRIVATE, *pids, *options,
         *volumes, harness.IMAGE, harness.CGSCOPE, *arguments],
        env=lab.docker_environment(info), stdin=subprocess.DEVNULL, capture_output=True,
        check=False, timeout=60)


def run(options, *arguments):
    """As a monitor: (exit status, records, what it said)."""
    result = in_container(options, '-i', '0.5', '-n', '4', '-o', 'json', *arguments)
    records = [harness.parse(line + b'\n') for line in result.stdout.splitlines()]
    return result.returncode, records, result.stderr.decode()


def identity(record):
    return {key: record.get(key) for key in ('kind', 'container', 'cgroup', 'resolved',
                                             'name_source')} | {
        'pod': value(record, 'k8s', 'pod'), 'namespace': value(record, 'k8s', 'namespace')}


class Private(unittest.TestCase):
    def check(self, options, *arguments):
        with Container(info, 'tick=50') as container, Pod(info, 'tick=50') as pod:
            code, inside, err = run(options, *arguments)
            outside = harness.monitor_once('-n', '3', interval=0.5)
            for one in container, pod:
                seen = [[identity(r) for r in one.of(records)] for records in (inside, outside)]
                self.assertTrue(seen[0], err)
                self.assertIs(seen[0][0]['resolved'], True)
                for other in seen[0] + seen[1]:
                    self.assertEqual(other, seen[0][0])
                # The very namespace makes its own container the one that is easily taken for "/".
                self.assertGreater(total(one.of(inside), 'clock_nanosleep'), 10)
        self.assertEqual((code, err), (0, ''))
        self.assertEqual([r for r in containers(inside) if '..' in r['cgroup'].get('path', '')], [])

    def privileged(self):
        try:
            lab.docker(info, 'run', '--rm', '--network', 'none', '--label', lab.LABEL, *PRIVATE, *HOST_PIDS,
                       *PRIVILEGED, harness.IMAGE, 'true')
        except lab.LabError:
            return NEARLY
        return PRIVILEGED

    def test_with_the_root_mounted(self):
        self.check([*self.privileged(), *HOST[0]], *HOST[1])

    def test_few_capabilities(self):
        self.check([*FEW, *HOST[0]], *HOST[1])

    def test_without_the_root_mounted(self):
        """The root of process 1 has all that is needed. A machine may refuse to show that one: then
        there is nothing to see others by, which is said once, and nothing is made up."""
        if harness.OTHER_MOUNTS:
            self.skipTest('the lab is not in the root of process 1')
        if harness.FIRST_MOUNTS:
            self.check(self.privileged())
            return
        with Container(info, 'tick=50') as container:
            code, records, err = run(self.privileged())
            check = in_container(self.privileged(), 'check').stdout.decode()
        self.assertEqual(code, 0)
        self.assertIn('--host-root', err)
        self.assertEqual(err.count('\n'), 1, err)
        self.assertRegex(check, "cgroups +note +only this container's own are in sight")
        self.assertEqual(container.of(records), [])
        self.assertEqual([r for r in containers(records) if r['kind'] == 'host'], [])

    def resolve_own(self, options, *arguments, pids=HOST_PIDS):
        return json.loads(in_container(options, 'resolve', *arguments, '/proc/self/cgroup',
                                       pids=pids).stdout)

    def test_resolve_own(self):
        """What /proc calls "/" there is the container's cgroup and not the host's."""
        record = self.resolve_own([*self.privileged(), *HOST[0]], *HOST[1])
        self.assertEqual(record['kind'], 'container', record)
        self.assertIs(record['resolved'], True)
        self.assertIn(record['container']['id'], record['cgroup']['path'])
        record = self.resolve_own(FEW, pids=())
        self.assertEqual(record['kind'], 'unknown', record)

    def test_own_pids(self):
        """There is no process 1 to see the host by. Check says what the monitor says, and what helps:
        an engine mounts no others' cgroups of v1, whatever the namespace."""
        monitor = in_container(FEW, '-i', '0.1', '-n', '1', pids=())
        check = in_container(FEW, 'check', pids=()).stdout.decode()
        err = monitor.stderr.decode()
        self.assertEqual(monitor.returncode, 0, err)
        self.assertIn("only this container's own cgroups are in sight", err)
        self.assertRegex(check, "cgroups +note +only this container's own are in sight")
        for text in err, check:
            self.assertIn('--host-root', text)
            self.assertEqual('--cgroupns' in text, lab.cgroup_mounts().get(lab.CGROUP_ROOT) == 'cgroup2', text)


if __name__ == '__main__':
    harness.main()
