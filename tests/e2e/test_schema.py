#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real output, of each shape there is, against the JSON Schema in docs/."""

import json
import os
import unittest

import harness
from harness import Cgroup, Container, Monitor, Pod, containers

SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../docs/cgscope.schema.json')


def setUpModule():
    global info, validator
    try:
        import jsonschema
    except ImportError as e:
        raise unittest.SkipTest('needs jsonschema (package python3-jsonschema)') from e
    with open(SCHEMA, encoding='utf-8') as f:
        schema = json.load(f)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    validator = kind(schema)
    info = harness.join_lab()


class Schema(unittest.TestCase):
    def check(self, records):
        for record in records:
            error = next(validator.iter_errors(record), None)
            if error:
                self.fail(f'{list(error.absolute_path)}: {error.message[:300]}\n{record}')

    def test_real_records(self):
        busy = ['tick=50']
        with Container(info, *busy) as container, Pod(info, *busy) as pod, Cgroup() as own, \
                Cgroup(f'/system.slice/{harness.unique("e2e")}.service') as unit, \
                Cgroup('/docker/' + os.urandom(32).hex()) as lost, \
                harness.running_load('thread=2', 'tick=50', 'end', cgroup=own), \
                harness.running_load('tick=50', cgroup=unit), \
                harness.running_load('tick=50', cgroup=lost), \
                harness.running_load('sleep=60000', cgroup=own):
            for options in ([], ['--by', 'container'], ['--by', 'thread'], ['--top', '2'],
                            ['--in-flight', '100'], ['--containers-only']):
                with self.subTest(options=options), Monitor(*options, interval=0.3) as monitor:
                    container.exec_load('badclose=3', 'write=3', 'fork=3', 'getppid=1', 'end')
                    monitor.wait_intervals(2)
                self.check(monitor.records)
                kinds = {r['kind'] for r in containers(monitor.records)}
                self.assertLessEqual({'container', 'sandbox'}, kinds)
                self.assertTrue(container.of(monitor.records) and pod.of(monitor.records))

    def test_it_refuses(self):
        """The schema can say no: to an empty name, an unknown record, a missing key."""
        with Container(info, 'tick=50') as container:
            records = harness.monitor_once('-n', '2', interval=0.5)
        record = container.of(records)[0]
        self.check([record])
        for spoilt in (dict(record, record='other'), dict(record, schema_version='1'),
                       dict(record, container=dict(record['container'], name='')),
                       dict(record, container=None), dict(record, kind='thing'),
                       {key: v for key, v in record.items() if key != 'cgroup'}):
            self.assertFalse(validator.is_valid(spoilt), spoilt)


if __name__ == '__main__':
    harness.main()
