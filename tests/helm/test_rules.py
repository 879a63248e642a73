#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The alerts: what promtool says of them, and when they fire."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import chart_tools as tools


def promtool(*args):
    return subprocess.run(['promtool', *args], capture_output=True, text=True, check=False, timeout=120)


class Rules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which('promtool'):
            raise unittest.SkipTest('needs promtool (package prometheus)')
        cls.directory = tempfile.mkdtemp(prefix='cgscope-rules-')
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        rule = tools.find(tools.objects(tools.template('prometheusRule.enabled=true')), 'PrometheusRule')
        cls.rules = rule['spec']
        with open(f'{cls.directory}/rules.yml', 'w', encoding='utf-8') as f:
            json.dump(cls.rules, f)  # JSON is YAML

    def test_check(self):
        result = promtool('check', 'rules', '--lint=all', '--lint-fatal', f'{self.directory}/rules.yml')
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn('7 rules found', result.stdout)

    def test_each_fires_and_rests(self):
        """Every alert is tried in tests/helm/rules_test.yml, both ways."""
        path = os.path.join(tools.HERE, 'rules_test.yml')
        shutil.copy(path, self.directory)
        result = promtool('test', 'rules', f'{self.directory}/rules_test.yml')
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        import yaml
        with open(path, encoding='utf-8') as f:
            tests = yaml.safe_load(f)['tests']
        fired, rested = set(), set()
        for test in tests:
            for one in test['alert_rule_test']:
                (fired if one['exp_alerts'] else rested).add(one['alertname'])
        alerts = {rule['alert'] for group in self.rules['groups'] for rule in group['rules']}
        self.assertEqual(fired, alerts)
        self.assertEqual(rested, alerts)

    def test_disabled(self):
        rule = tools.find(tools.objects(tools.template(
            'prometheusRule.enabled=true', 'prometheusRule.disabled={CgscopeBlind,ContainerCallErrors}',
            'prometheusRule.alertLabels.severity=page')), 'PrometheusRule')
        rules = [one for group in rule['spec']['groups'] for one in group['rules']]
        self.assertEqual(len(rules), 5)
        self.assertEqual({one['labels']['severity'] for one in rules}, {'page'})


if __name__ == '__main__':
    tools.main()
