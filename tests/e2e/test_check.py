#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""`cgscope check`: what it says of the machine is what cgscope itself then does there."""

import subprocess
import unittest

import harness

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


if __name__ == '__main__':
    harness.main()
