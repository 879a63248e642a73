#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""`cgscope check`: what it says of the machine is what cgscope itself then does there."""

import contextlib
import json
import os
import subprocess
import unittest
import uuid

import harness
import lab

OTHER_MOUNTS = ['unshare', '--mount', '--propagation', 'private']
NO_TRACER = ['setpriv', '--bounding-set', '-sys_ptrace', '--inh-caps', '-all']


def setUpModule():
    harness.need_root()


def check(*arguments, wrapper=()):
    """(exit status, {what: [(verdict, text), …]})."""
    code, out, err = harness.cgscope('check', *arguments, wrapper=wrapper)
    assert not err, err
    lines = {}
    for line in out.splitlines():
        words = line[:14].strip(), line[14:21].strip(), line[22:]
        if words[1] in ('ok', 'note', 'FAILED'):
            lines.setdefault(words[0], []).append(words[1:])
    return code, lines


def can_run(*arguments, wrapper=()):
    """cgscope itself: (exit status, what it said)."""
    code, _, err = harness.cgscope('-i', '0.1', '-n', '1', *arguments, wrapper=wrapper)
    return code, err


class Check(unittest.TestCase):
    def need(self, wrapper):
        if subprocess.run([*wrapper, 'true'], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest(f'cannot run {" ".join(wrapper)} here')

    def test_this_machine(self):
        code, lines = check(*harness.ROOT_OPTIONS)
        self.assertEqual(code, 0, lines)
        for what in 'kernel', 'kernel types', 'privileges', 'host root', 'cgroups', 'BPF programs':
            self.assertEqual(lines[what][0][0], 'ok', lines)
        self.assertEqual(can_run(*harness.ROOT_OPTIONS)[0], 0)

    def test_nothing_allowed(self):
        nothing = ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all']
        code, lines = check(*harness.ROOT_OPTIONS, wrapper=nothing)
        self.assertEqual(code, 1, lines)
        self.assertNotIn('as root', str(lines))
        self.assertEqual([verdict for verdict, _ in lines['privileges']], ['FAILED'] * 3)
        code, err = can_run(*harness.ROOT_OPTIONS, wrapper=nothing)
        self.assertEqual(code, 1)
        for _, text in lines['privileges']:
            self.assertIn(text, err)

    def test_verbose(self):
        """What libbpf tells its debuggers does not bury what is told users."""
        arguments = '-i', '0.1', '-n', '1', *harness.ROOT_OPTIONS
        once, twice = (harness.cgscope(option, *arguments)[2] for option in ('-v', '-vv'))
        self.assertIn('cgscope: cgroups:', once)
        self.assertEqual([line for line in once.splitlines() if not line.startswith('cgscope: ')], [])
        self.assertGreater(twice.count('libbpf: '), 100)

    def test_root_of_the_first_process(self):
        """It takes a tracer's privilege, unless it is given or this is the place."""
        self.need(NO_TRACER)
        self.assertEqual(check('--host-root', '/', wrapper=NO_TRACER)[0], 0)
        self.assertEqual(can_run('--host-root', '/', wrapper=NO_TRACER)[0], 0)
        first = '--host-root', '/proc/1/root'
        code, lines = check(*first, wrapper=NO_TRACER)
        self.assertEqual(code, 1, lines)
        self.assertEqual(len(lines['privileges']), 1)
        verdict, text = lines['privileges'][0]
        self.assertEqual(verdict, 'FAILED')
        self.assertIn('CAP_SYS_PTRACE', text)
        code, err = can_run(*first, wrapper=NO_TRACER)
        self.assertEqual((code, err.count('\n')), (1, 1), err)
        self.assertIn(text, err)

    def test_no_root(self):
        """Where nothing of the host is, every container would lose its name."""
        with harness.scratch_directory() as directory:
            wrong = '--host-root', directory
            code, lines = check(*wrong)
            self.assertEqual((code, lines['cgroups'][0][0]), (1, 'FAILED'), lines)
            code, err = can_run(*wrong)
        self.assertEqual((code, err.count('\n')), (1, 1), err)
        self.assertIn(f'no cgroup file system found below {directory}', err)
        self.assertIn(lines['cgroups'][0][1], err)

    def test_root_in_doubt(self):
        """In mounts of its own, and not allowed to see where the host's are."""
        wrapper = [*OTHER_MOUNTS, *NO_TRACER]
        self.need(wrapper)
        if harness.OTHER_MOUNTS:
            self.skipTest('process 1 is in other mounts anyway')
        code, lines = check(wrapper=wrapper)
        self.assertEqual(code, 0, lines)
        verdict, text = lines['host root'][0]
        self.assertEqual(verdict, 'note')
        self.assertIn('CAP_SYS_PTRACE', text)
        doubt = text.removeprefix('/: ').removesuffix('; see --host-root')
        code, err = can_run(wrapper=wrapper)
        self.assertEqual((code, err.count('\n')), (0, 1), err)
        self.assertIn(doubt, err)
        code, out, err = harness.cgscope('resolve', '/', wrapper=wrapper)
        self.assertEqual((code, out.count('\n'), err.count('\n')), (0, 1, 1), err)
        self.assertIn(doubt, err)
        code, out, err = harness.cgscope('resolve', '/', '--host-root', '/', wrapper=wrapper)
        self.assertEqual((code, err), (0, ''))

    def test_own_pids(self):
        own = ['unshare', '--pid', '--fork', '--mount-proc']
        self.need(own)
        _, lines = check(*harness.ROOT_OPTIONS, wrapper=own)
        verdict, text = lines['processes'][0]
        self.assertEqual(verdict, 'note')
        self.assertIn('--pid=host', text)


class Hierarchy(unittest.TestCase):
    """Where v1 and v2 are mounted side by side: the one that the containers are in is measured."""

    def setUp(self):
        tops = {kind: mount for mount, kind in lab.cgroup_mounts().items()
                if kind == 'cgroup2' or os.path.basename(mount) == 'memory'}
        if set(tops) != {'cgroup', 'cgroup2'}:
            self.skipTest('needs a hybrid of cgroup v2 and a v1 memory hierarchy')
        self.v1, self.v2 = tops['cgroup'], tops['cgroup2']

    @contextlib.contextmanager
    def container(self, top, process=True):
        """What looks like one, and has a process or has none."""
        parent = top + harness.unique('/e2e')
        directory = f'{parent}/docker-{uuid.uuid4().hex * 2}.scope'
        os.makedirs(directory)
        try:
            with contextlib.ExitStack() as stack:
                if process:
                    stack.enter_context(harness.running_load('join=' + directory, 'sleep=60000'))
                    self.assertTrue(lab.wait_until(lambda: open_procs(directory), 10))
                yield
        finally:
            lab.wait_until(lambda: not open_procs(directory), 10)
            os.rmdir(directory)
            os.rmdir(parent)

    def chosen(self):
        """(which is measured, what else was said without -v)."""
        arguments = '-i', '0.1', '-n', '1', *harness.ROOT_OPTIONS
        code, _, err = harness.cgscope('-v', *arguments)
        self.assertEqual(code, 0, err)
        place = next(line for line in err.splitlines() if line.startswith('cgscope: cgroups: v'))
        self.assertIn(place.split(' at ')[0].removeprefix('cgscope: cgroups: '),
                      check(*harness.ROOT_OPTIONS)[1]['cgroups'][0][1])
        code, _, err = harness.cgscope(*arguments)
        self.assertEqual(code, 0, err)
        return place.split()[2], err

    def test_empty_directory(self):
        """Anybody who may write there can make one."""
        before = self.chosen()
        with self.container(self.v2, process=False):
            self.assertEqual(self.chosen(), before)
            with self.container(self.v1):
                self.assertEqual(self.chosen(), ('v1', ''))

    def test_each_has_its_own(self):
        with self.container(self.v1), self.container(self.v2):
            version, said = self.chosen()
            self.assertEqual((version, said.count('\n')), ('v2', 1), said)
            self.assertIn('containers (1) in the v1 memory cgroups', said)
            self.assertIn('--cgroup', said)
            notes = [text for verdict, text in check(*harness.ROOT_OPTIONS)[1]['cgroups']
                     if verdict == 'note']
            self.assertEqual(['cgscope: ' + note for note in notes], said.splitlines())


    @contextlib.contextmanager
    def process(self, top, name):
        """In a cgroup of one hierarchy only."""
        directory = top + harness.unique('/e2e') + name
        os.makedirs(directory)
        try:
            with harness.running_load('join=' + directory, 'sleep=60000') as process:
                self.assertTrue(lab.wait_until(lambda: open_procs(directory), 10))
                yield process.pid
        finally:
            lab.wait_until(lambda: not open_procs(directory), 10)
            os.removedirs(directory)

    def resolve(self, *targets):
        code, out, err = harness.cgscope('resolve', *harness.ROOT_OPTIONS, *targets)
        return code, [json.loads(line) for line in out.splitlines()], err

    def outside_of_containers(self):
        """Where we are in one, so is what we start, in the hierarchies that it is not moved in."""
        _, (own,), _ = self.resolve(f'pid:{os.getpid()}')
        if own['kind'] == 'container':
            self.skipTest('the tests run in a container')

    def test_process_of_the_other(self):
        """What is measured is what a process has in the hierarchy that is."""
        self.outside_of_containers()
        measured, _ = self.chosen()
        for top, version in (self.v1, 'v1'), (self.v2, 'v2'):
            with self.subTest(top), self.process(top, '/some/where') as pid:
                code, (by_pid, by_number), err = self.resolve(f'pid:{pid}', str(pid))
                self.assertNotIn('TARGET', err)
                if version == measured:
                    self.assertEqual((code, by_pid['kind']), (1, 'unknown'))
                    self.assertEqual(err.count('no container, pod, unit or host'), 2, err)
                else:
                    # Which is where we are.
                    own_code, (own,), _ = self.resolve(f'pid:{os.getpid()}')
                    self.assertEqual((code, by_pid['kind'], by_number['cgroup']),
                                     (own_code, own['kind'], own['cgroup']))
                    self.assertNotIn('another hierarchy', err)

    def test_container_of_the_other(self):
        """It is known by its name, and cannot be measured as a container."""
        self.outside_of_containers()
        measured, _ = self.chosen()
        top = self.v1 if measured == 'v2' else self.v2
        one = uuid.uuid4().hex * 2
        # So that it is the other, whatever the container adds to it.
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(self.container(self.v1 if measured == 'v1' else self.v2))
            pid = stack.enter_context(self.process(top, f'/docker-{one}.scope'))
            code, (record,), err = self.resolve(str(pid))
        self.assertEqual((code, record['container']['id']), (0, one))
        self.assertNotIn('id', record['cgroup'])
        self.assertEqual(err.count('\n'), 1, err)
        self.assertIn('its cgroup is in another hierarchy than the one measured', err)


def open_procs(directory):
    with open(directory + '/cgroup.procs', encoding='ascii') as f:
        return f.read()


if __name__ == '__main__':
    harness.main()
