#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The alerts: what promtool says of them, and when they fire."""

import json
import os
import re
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
        self.assertIn('9 rules found', result.stdout)

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

    def test_nothing_in_flight(self):
        """Without calls in flight there is no alert that waits for them."""
        rendered = tools.objects(tools.template('prometheusRule.enabled=true,monitor.inFlightMs=0'))
        alerts = {rule['alert'] for group in tools.find(rendered, 'PrometheusRule')['spec']['groups'] for rule in group['rules']}
        self.assertEqual(alerts, {rule['alert'] for group in self.rules['groups'] for rule in group['rules']}
                         - {'ContainerCallStuck'})

    def window_of_silence(self, *settings):
        rule = tools.find(tools.objects(tools.template('prometheusRule.enabled=true', *settings)), 'PrometheusRule')
        alert = next(one for group in rule['spec']['groups'] for one in group['rules'] if one['alert'] == 'CgscopeSilent')
        return re.search(r'\[(\d+)s\]', alert['expr'])[1]

    def test_silence_spans_scrapes(self):
        """An increase takes two samples: the window has some, however seldom they come."""
        for settings, seconds in (
                ([], 120), (['monitor.interval=100'], 400), (['monitor.interval=0.5'], 120),
                (['podMonitor.enabled=true', 'podMonitor.interval=2m'], 480),
                (['serviceMonitor.enabled=true', 'serviceMonitor.interval=1m30s', 'monitor.interval=60'], 360),
                (['podMonitor.interval=10m'], 120), (['podMonitor.enabled=true', 'podMonitor.interval='], 240)):
            self.assertEqual(self.window_of_silence(*settings), str(seconds), settings)

    def test_silence_between_seldom_scrapes(self):
        """As seen every two minutes: still counting, and not any more."""
        rule = tools.find(tools.objects(tools.template(
            'prometheusRule.enabled=true', 'podMonitor.enabled=true', 'podMonitor.interval=2m')), 'PrometheusRule')
        with open(f'{self.directory}/seldom.yml', 'w', encoding='utf-8') as f:
            json.dump(rule['spec'], f)
        test = {'rule_files': ['seldom.yml'], 'evaluation_interval': '30s', 'tests': [{
            'interval': '2m',
            'input_series': [{'series': 'cgscope_intervals_total{instance="a"}', 'values': '0+4x40'},
                             {'series': 'cgscope_intervals_total{instance="b"}', 'values': '0+4x10 44x30'}],
            'promql_expr_test': [{'expr': 'ALERTS{alertname="CgscopeSilent",alertstate="firing"}', 'eval_time': '60m',
                                  'exp_samples': [{'labels': 'ALERTS{alertname="CgscopeSilent",alertstate="firing",'
                                                             'severity="warning",instance="b"}', 'value': 1}]}]}]}
        with open(f'{self.directory}/seldom_test.yml', 'w', encoding='utf-8') as f:
            json.dump(test, f)
        result = promtool('test', 'rules', f'{self.directory}/seldom_test.yml')
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_dashboard_joins_two_nodes(self):
        """Containers of one name, outside Kubernetes: each with what it is on its node."""
        with open(f'{tools.CHART}/dashboards/cgscope.json', encoding='utf-8') as f:
            expression = next(panel['targets'][0]['expr'] for panel in json.load(f)['panels']
                              if panel['title'] == 'Busiest containers')
        expression = re.sub(r'\$(node|namespace|pod|container|syscall)', '.*', expression).replace('$__rate_interval', '2m')
        labels = 'job="cgscope",instance="%s",node="%s",namespace="",pod="",container="redis"'
        info = 'container_id="%d",image="x",runtime="docker"'
        series, wanted = [], []
        for number in 1, 2:
            names = labels % (number, f'worker-{number}')
            series += [{'series': f'cgscope_syscalls_total{{{names},syscall="read"}}', 'values': f'0+{30 * number}x40'},
                       {'series': f'cgscope_container_info{{{names},{info % number}}}', 'values': '1x40'}]
            # An empty label is none.
            names = re.sub(r'\w+="",', '', names)
            wanted.append({'labels': f'{{{names},{info % number}}}', 'value': number})
        test = {'rule_files': [], 'tests': [{'interval': '30s', 'input_series': series, 'promql_expr_test': [
            {'expr': expression, 'eval_time': '10m', 'exp_samples': wanted}]}]}
        with open(f'{self.directory}/join_test.yml', 'w', encoding='utf-8') as f:
            json.dump(test, f)
        result = promtool('test', 'rules', f'{self.directory}/join_test.yml')
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_job(self):
        for settings, job in ([], 'cgscope'), (['nameOverride=agents'], 'agents'), (['prometheusRule.job=mine'], 'mine'):
            rendered = tools.template('prometheusRule.enabled=true', *settings)
            self.assertEqual(set(re.findall(r'(?:up|seconds)\{job="([^"]*)"\}', rendered)), {job})

    def test_disabled(self):
        rule = tools.find(tools.objects(tools.template(
            'prometheusRule.enabled=true', 'prometheusRule.disabled={CgscopeBlind,ContainerCallErrors}',
            'prometheusRule.alertLabels.severity=page')), 'PrometheusRule')
        rules = [one for group in rule['spec']['groups'] for one in group['rules']]
        self.assertEqual(len(rules), 7)
        self.assertEqual({one['labels']['severity'] for one in rules}, {'page'})


if __name__ == '__main__':
    tools.main()
