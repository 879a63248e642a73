#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Containers that come and go, one after the other: none is left without its id, nor its name.

E2E_ONE_SHOTS says how many `docker run --rm` there are in a row (100 unless set: 500 take some five
minutes), E2E_SHORT_LIVES how many that live for less than 100 ms (40; two at a time).
"""

import concurrent.futures
import os
import unittest

import harness
import lab
from harness import Monitor, containers, rows, value

ONE_SHOTS = int(os.environ.get('E2E_ONE_SHOTS', 100))
SHORT_LIVES = int(os.environ.get('E2E_SHORT_LIVES', 40))


def setUpModule():
    global info
    info = harness.join_lab()


class OneShots(unittest.TestCase):
    def check(self, records, names, comm):
        """Each of @names once, and no record of a container without id and name."""
        lost = [r['lost'] for r in harness.intervals(records) if r['lost']['calls']]
        found = [row['record'] for row in rows(records, 'getpgrp', comm)]
        self.assertEqual([r for r in found if value(r, 'container', 'id') is None], [])
        # What was there before the program started, runc's part of each, is theirs as well.
        pathless = [r for r in containers(records) if value(r, 'cgroup', 'path') is None]
        self.assertEqual(pathless, [])
        docker = [r for r in containers(records) if r['cgroup']['path'].startswith('/docker/')
                  or '/docker-' in r['cgroup']['path']]
        self.assertEqual([r for r in docker if value(r, 'container', 'id') is None], [])
        mine = {r['container']['id']: r for r in found}
        self.assertEqual(len(mine), len(names), lost)
        nameless = [r for r in docker if r['container']['id'] in mine
                    and 'name' not in r['container']]
        self.assertEqual(nameless, [])
        self.assertEqual(sorted(r['container']['name'] for r in mine.values()), sorted(names))
        self.assertEqual({r['container']['image']['name'] for r in mine.values()},
                         {harness.IMAGE})

    def test_in_a_row(self):
        comm = harness.unique_comm()
        with Monitor(interval=1) as monitor:
            names = [harness.run_container(info, 'name=' + comm, 'getpgrp=1')
                     for _ in range(ONE_SHOTS)]
            monitor.wait_intervals(2)
        self.check(monitor.records, names, comm)

    def test_short_lives(self):
        """At the default interval of 10 s, so that names are long gone when they are printed."""
        comm = harness.unique_comm()
        with Monitor('-c', comm, interval=None) as monitor, \
                concurrent.futures.ThreadPoolExecutor(2) as pool:
            names = list(pool.map(
                lambda _: harness.run_container(info, 'name=' + comm, 'getpgrp=1', 'sleep=30'),
                range(SHORT_LIVES)))
        self.check(monitor.records, names, comm)


if __name__ == '__main__':
    harness.main()
