#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What is printed: one line a row, whatever names there are; parts, --by, --top."""

import os
import re
import unicodedata
import unittest

import harness
from harness import Cgroup, Monitor, rows, total

# PR_SET_NAME takes any bytes but NUL.
HOSTILE_COMMS = [
    b'a"b\\c\'d`$(e)', b'\x1b[31mred\x1b[0m', b'new\nline\r', b'\xff\xfe\xc3(', b'cut\xf0\x9f\x90',
    b' ', b'a b=c', b'\xe2\x80\xaetxt.exe', b'\xc2\x9b31m', b'\x7f\x01\x02', b'PID=1 count=9',
    b'\xed\xa0\x80lone', b'{"a":1}', b'-', b'', b'a\xe2\x80\xa8b\xe2\x80\xa9',
    b'\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e',
]
# A cgroup's name takes any bytes but "/", NUL and newline.
HOSTILE_CGROUPS = [b'"q\\u', b'\x1b]0;title\x07', b'\xff\xfe', b' x ', b'\xe2\x80\xae', b'{"a":1}',
                   b'docker-' + b'a' * 63 + b'.scope']

TEXT_TIME = re.compile(r'# \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z')
TEXT_KEYS = ['interval', 'containers', 'rows', 'calls', 'lost']
# What is lost by others shows in this monitor too; bytes that could not be read are no calls.
LOST_CALLS = ['lost_no_memory', 'lost_ring_full', 'lost_recursion']
LOST_OTHER = ['lost_bytes_unread']
TEXT_ROW = re.compile(r'PID=(-|\d+) comm=(\S+) call=(\S+) count=(\d+) avg_ms=(\S+) max_ms=(\S+) '
                      r'bytes=(\d+) errors=(\d+) p50_ms=(\S+) p95_ms=(\S+) p99_ms=(\S+) '
                      r'container=(\S+) pod=(\S+) cgroup=(\S+)(?: [a-z_]+=\S+)*')


def setUpModule():
    harness.need_root()


def parse_head(line):
    """{key: value} of an interval's first line; None if it is something else."""
    time, *words = line.split(' ')[1:] if line.startswith('# ') else ['']
    if not TEXT_TIME.fullmatch('# ' + time):
        return None
    found = dict(word.split('=', 1) for word in words)
    if [word.split('=')[0] for word in words][:len(TEXT_KEYS)] != TEXT_KEYS:
        raise AssertionError(f'the classic keys are not there in their order: {line!r}')
    if len(found) != len(words) or set(found) - set(TEXT_KEYS + LOST_CALLS + LOST_OTHER):
        raise AssertionError(f'a key twice, or one that the manual does not have: {line!r}')
    if not re.fullmatch(r'\d+\.\d{3}', found['interval']):
        raise AssertionError(f'no interval in milliseconds: {line!r}')
    counts = {key: int(value) for key, value in found.items() if key != 'interval'}
    causes = {key: n for key, n in counts.items() if key not in TEXT_KEYS}
    if min(causes.values(), default=1) < 1:
        raise AssertionError(f'a cause that lost nothing: {line!r}')
    if sum(n for key, n in causes.items() if key in LOST_CALLS) != counts['lost']:
        raise AssertionError(f'the causes do not make up the loss: {line!r}')
    return found


def unsafe(text):
    """The characters that could break a line or a terminal."""
    return [c for c in text if unicodedata.category(c) in ('Cc', 'Zl', 'Zp', 'Cs')
            or c in '\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069']


def decoded(comm):
    """U+FFFD for each byte that is not UTF-8, and for what could fool a terminal; C0 is kept."""
    text = comm.decode('utf-8', 'surrogateescape')
    return ''.join('\ufffd' if c >= '\x7f' and unsafe(c) else c for c in text)


def run_hostile(output):
    """One process of each name; beyond that nothing with getppid=77 runs."""
    with Cgroup() as top:
        inner = [Cgroup(top.path + b'/' + name) for name in HOSTILE_CGROUPS]
        with Monitor('--cgroup', top.name, output=output) as monitor:
            for comm in HOSTILE_COMMS:
                harness.run_load('hexname=' + comm.hex(), 'getppid=77', cgroup=top)
            for cgroup in inner:
                with cgroup:
                    harness.run_load('name=inner', 'getppid=77', cgroup=cgroup)
                    monitor.wait_intervals(2)
    return monitor


class Head(unittest.TestCase):
    """What the tests below take for an interval's first line."""

    TIME = '# 2026-11-22T13:00:10.000Z'

    def test_accepted(self):
        plain = self.TIME + ' interval=10.000 containers=3 rows=41 calls=90231 lost='
        self.assertEqual(parse_head(plain + '0')['rows'], '41')
        for tail in ('0 lost_bytes_unread=3', '7 lost_ring_full=7',
                     '9 lost_no_memory=1 lost_ring_full=7 lost_recursion=1 lost_bytes_unread=1'):
            self.assertIsNotNone(parse_head(plain + tail), tail)

    def test_refused(self):
        plain = self.TIME + ' interval=10.000 containers=3 rows=41 calls=90231 lost='
        for line in (plain + '0 lost_ring_full=7', plain + '7', plain + '7 lost_bytes_unread=7',
                     plain + '0 lost_bytes_unread=0', plain + '0 lost_found=1', plain + '0 ',
                     plain + '0 lost=0', plain + 'x', plain.replace('=10.000', '=10,000') + '0',
                     plain.replace('rows', 'lines') + '0', self.TIME):
            with self.subTest(line), self.assertRaises((AssertionError, ValueError)):
                parse_head(line)
        for line in 'PID=1', '', '# ', plain.replace('T13', ' 13') + '0':
            self.assertIsNone(parse_head(line))


class Hostile(unittest.TestCase):
    def test_json(self):
        records = run_hostile('json').records  # each is parsed strictly
        self.assertEqual(total(records, 'getppid'),
                         77 * (len(HOSTILE_COMMS) + len(HOSTILE_CGROUPS)))
        comms = [row['comm'] or '' for row in rows(records, 'getppid') if row['comm'] != 'inner']
        self.assertEqual(sorted(comms), sorted(map(decoded, HOSTILE_COMMS)))
        self.assertNotIn('', [row['comm'] for row in rows(records)], 'an absent name has no key')
        paths = {row['record']['cgroup']['path'] for row in rows(records, 'getppid', 'inner')}
        self.assertEqual(len(paths), len(HOSTILE_CGROUPS))

    def test_json_is_ascii_safe(self):
        for line in run_hostile('json').lines:
            self.assertEqual(unsafe(line.decode('utf-8').removesuffix('\n')), [], line)

    def test_text(self):
        monitor = run_hostile('text')
        seen = 0
        for line in monitor.text:
            self.assertEqual(unsafe(line), [], repr(line))
            if line.startswith('# '):
                self.assertIsNotNone(parse_head(line), repr(line))
                continue
            row = TEXT_ROW.fullmatch(line)
            self.assertTrue(row, repr(line))
            if row[3] == 'getppid':
                seen += int(row[4])
        self.assertEqual(seen, 77 * (len(HOSTILE_COMMS) + len(HOSTILE_CGROUPS)))


class Shape(unittest.TestCase):
    def test_parts(self):
        """A thousand rows: lines of at most 16 KiB, each row once, the totals in each."""
        comm = harness.unique_comm()
        with Cgroup() as cgroup:
            with Monitor('--cgroup', cgroup.name, interval=4) as monitor:
                harness.run_load('name=' + comm, 'fork=600', 'getppid=2', 'badclose=1', 'end',
                                 cgroup=cgroup)
            records = cgroup.of(monitor.records)
        by_time = {}
        for record in records:
            by_time.setdefault(record['timestamp'], []).append(record)
        self.assertGreater(max(map(len, by_time.values())), 3)
        for parts in by_time.values():
            self.assertEqual([r['part'] for r in parts], list(range(1, len(parts) + 1)))
            self.assertEqual({r['parts'] for r in parts}, {len(parts)})
            for record in parts:
                self.assertEqual(record['totals'], parts[0]['totals'])
            found = [(row['pid'], row['comm'], row['name']) for row in rows(parts)]
            self.assertEqual(len(found), len(set(found)), 'a row is there twice')
            self.assertEqual(sum(row['count'] for row in rows(parts)), parts[0]['totals']['count'])
        self.assertEqual(total(records, 'getppid', comm=comm), 1200)
        self.assertEqual(len({row['pid'] for row in rows(records, 'getppid', comm)}), 600)

    def test_by_container(self):
        with Cgroup() as cgroup, Monitor('--cgroup', cgroup.name, '--by', 'container') as monitor:
            harness.run_load('fork=20', 'getppid=10', 'end', cgroup=cgroup)
        self.assertEqual(total(monitor.records, 'getppid'), 200)
        for record in cgroup.of(monitor.records):
            self.assertNotIn('processes', record)
            names = [row['name'] for row in record['syscalls']]
            self.assertEqual(len(names), len(set(names)))

    def test_top(self):
        """N rows, and the rest in one named `other`; nothing is lost."""
        with Cgroup() as cgroup, \
                Monitor('--cgroup', cgroup.name, '--top', '3', interval=1) as monitor:
            harness.run_load('fork=10', 'getppid=100', 'getpgrp=50', 'badclose=20', 'sleep=20',
                             'end', cgroup=cgroup)
        records = cgroup.of(monitor.records)
        self.assertTrue(records)
        others = 0
        for record in records:
            found = list(rows([record]))
            mine = [row for row in found if row['name'] != 'other']
            self.assertLessEqual(len(mine), 3)
            self.assertLessEqual(len(found), 4)
            self.assertEqual(sum(row['count'] for row in found), record['totals']['count'])
            others += len(found) - len(mine)
        self.assertGreater(others, 0)

    def test_text_and_json_agree(self):
        """The same workload, the same numbers."""
        comm = harness.unique_comm()
        counts = []
        for output in 'text', 'json':
            with Cgroup() as cgroup, \
                    Monitor('--cgroup', cgroup.name, '-c', comm, output=output) as monitor:
                harness.run_load('name=' + comm, 'getppid=500', 'badclose=4', 'write=9',
                                 cgroup=cgroup)
            one = {}
            if output == 'json':
                for row in rows(monitor.records):
                    one[row['name']] = (row['count'], row['errors'], row['bytes'])
            else:
                for line in monitor.text:
                    row = TEXT_ROW.fullmatch(line)
                    if row:
                        one[row[3]] = (int(row[4]), int(row[8]), int(row[7]))
            counts.append({name: one.get(name) for name in ('getppid', 'close', 'write')})
        self.assertEqual(counts[0], counts[1])
        self.assertEqual(counts[0]['getppid'], (500, 0, 0))
        self.assertEqual(counts[0]['write'], (9, 0, 9))

    def test_locale(self):
        """A decimal comma in the locale changes no number."""
        env = dict(os.environ, LC_ALL='de_DE.UTF-8', LANG='de_DE.UTF-8')
        for output in 'json', 'text':
            monitor = Monitor('-n', '2', output=output, env=env)
            monitor.end(how=None)
            if output == 'json':
                self.assertEqual(len(harness.intervals(monitor.records)), 2)
            else:
                self.assertEqual(sum(bool(parse_head(t)) for t in monitor.text), 2)


if __name__ == '__main__':
    harness.main()
