#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The pages about clusters and their examples: what they name is there, and the other way round."""

import glob
import json
import os
import re
import shutil
import subprocess
import unittest

import chart_tools as tools

DOCS = f'{tools.ROOT}/docs'
PAGES = ['kubernetes.md', 'prometheus.md', 'log-pipelines.md', 'troubleshooting.md', 'sizing.md']
METRIC = re.compile(r'\b(?:cgscope|process)_[a-z0-9_]+\b')
# What a histogram's name may be followed by.
SUFFIXES = ('_bucket', '_sum', '_count')


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def yaml_of(path):
    try:
        import yaml
    except ImportError:
        raise unittest.SkipTest('needs PyYAML (package python3-yaml)') from None
    return yaml.safe_load(read(path))


def metrics_there_are():
    """All that src/metrics_page.c prints, by the page the unit test compares with."""
    page = read(f'{tools.ROOT}/tests/unit/data/metrics/page.txt')
    return set(re.findall(r'^# TYPE (\S+)', page, re.MULTILINE))


def metrics_in(text):
    found = set()
    for name in METRIC.findall(text):
        for suffix in SUFFIXES:
            if name.startswith('cgscope_syscall_duration_seconds'):
                name = name.removesuffix(suffix)
        found.add(name)
    return found


def slug(heading):
    return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


class Docs(unittest.TestCase):
    def test_links(self):
        for path in [f'{DOCS}/{page}' for page in PAGES] + [f'{tools.CHART}/README.md']:
            for target in re.findall(r'\]\(([^)]+)\)', read(path)):
                if re.match(r'[a-z]+:', target):
                    continue
                file, _, anchor = target.partition('#')
                full = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
                self.assertTrue(os.path.exists(full), f'{path}: {target}')
                if anchor:
                    slugs = {slug(line.lstrip('#')) for line in read(full).splitlines()
                             if line.startswith('#')}
                    self.assertIn(anchor, slugs, f'{path}: {target}')

    def test_metrics(self):
        there = metrics_there_are()
        self.assertGreater(len(there), 20)
        self.assertEqual(there - metrics_in(read(f'{DOCS}/prometheus.md')), set())
        for path in [f'{DOCS}/{page}' for page in PAGES] + [
                f'{tools.CHART}/rules/cgscope.yaml', f'{tools.CHART}/dashboards/cgscope.json']:
            self.assertEqual(metrics_in(read(path)) - there, set(), path)

    def test_alerts(self):
        there = set(re.findall(r'alert: (\w+)', read(f'{tools.CHART}/rules/cgscope.yaml')))
        self.assertEqual(set(re.findall(r'^\| `(C\w+)` \|', read(f'{DOCS}/prometheus.md'), re.MULTILINE)),
                         there)

    def test_values(self):
        """Every value that a page names is one."""
        values = yaml_of(f'{tools.CHART}/values.yaml')
        for page in PAGES:
            for name in re.findall(r'`((?:[a-z]\w+)(?:\.[a-z]\w+)+)(?:: [^`]*)?`', read(f'{DOCS}/{page}')):
                first, *rest = name.split('.')
                if first not in values:
                    continue
                value = values[first]
                for key in rest:
                    if first in ('resources', 'appArmorProfile', 'seLinuxOptions') or value == {}:
                        break
                    self.assertIn(key, value, f'{page}: {name}')
                    value = value[key]

    def test_compose(self):
        compose = yaml_of(f'{DOCS}/examples/compose.yaml')
        service = compose['services']['cgscope']
        values = yaml_of(f'{tools.CHART}/values.yaml')
        self.assertEqual(service['cap_add'], values['capabilities'])
        self.assertEqual(service['cap_drop'], ['ALL'])
        self.assertTrue(service['read_only'])
        self.assertEqual(service['pid'], 'host')
        # The node's name is the host's: a shell's HOSTNAME is not exported, and what a container has is its own.
        self.assertEqual(service['uts'], 'host')
        self.assertNotIn('environment', service)
        cgscope = os.environ.get('CGSCOPE')
        if not cgscope:
            raise unittest.SkipTest('needs CGSCOPE')
        result = subprocess.run([cgscope, *service['command'], '--help'], capture_output=True, text=True,
                                check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ''))

    def test_image(self):
        """What the pages build is what they run, and what the examples and the chart ask for."""
        version = re.search(r"version : '([^']+)'", read(f'{tools.ROOT}/meson.build'))[1]
        self.assertEqual(yaml_of(f'{tools.CHART}/Chart.yaml')['appVersion'], version)
        self.assertEqual(re.findall(r'VERSION=(.+)', read(f'{tools.ROOT}/Dockerfile')), [version])
        for path, n in ((f'{tools.ROOT}/README.md', 4), (f'{DOCS}/kubernetes.md', 3), (f'{tools.CHART}/README.md', 3),
                        (f'{DOCS}/troubleshooting.md', 1), (f'{DOCS}/examples/compose.yaml', 2),
                        (f'{DOCS}/examples/kubernetes.yaml', 1)):
            # In a build, a push, a run, a manifest.
            named = re.findall(r'^(?!sed ).*(?:-t|push|/host:\S+|image:) "?((?:REGISTRY/)?cgscope\b(?!/)[^\s"]*)', read(path),
                               re.MULTILINE)
            self.assertEqual(len(named), n, f'{path}: {named}')
            for image in named:
                self.assertEqual(image.removeprefix('REGISTRY/'), f'cgscope:{version}', path)

    def test_host_root_mounts(self):
        """One form everywhere: what is mounted later is to be seen."""
        for path in [f'{tools.ROOT}/README.md'] + [f'{DOCS}/{page}' for page in PAGES]:
            for options in re.findall(r'docker run.* -v /:/host:(\S+)', read(path)):
                self.assertEqual(options, 'ro,rslave', path)

    def test_prometheus_config(self):
        if not shutil.which('promtool'):
            raise unittest.SkipTest('needs promtool (package prometheus)')
        for path in glob.glob(f'{DOCS}/examples/prometheus*.yml'):
            config = yaml_of(path)
            self.assertTrue(all(job['honor_labels'] for job in config['scrape_configs']))
            # Debian's Prometheus is built without Kubernetes; the rest of that job it can check.
            text = read(path).replace('kubernetes_sd_configs:\n      - role: pod',
                                      'static_configs:\n      - targets: [a:1]')
            self.assertNotIn('kubernetes_sd', text)
            result = subprocess.run(['promtool', 'check', 'config', '/dev/stdin'], input=text,
                                    capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_collectors(self):
        """Form only: neither program is in Debian."""
        fluent = yaml_of(f'{DOCS}/examples/fluent-bit.yaml')
        self.assertEqual(fluent['parsers'][0]['time_key'], 'timestamp')
        self.assertEqual(fluent['pipeline']['filters'][0]['parser'], fluent['parsers'][0]['name'])
        vector = yaml_of(f'{DOCS}/examples/vector.yaml')
        names = {name for part in ('sources', 'transforms', 'sinks') for name in vector[part]}
        for part in 'transforms', 'sinks':
            for one in vector[part].values():
                self.assertLessEqual(set(one['inputs']), names)
        # Nothing is made for nobody.
        consumed = {name for part in ('transforms', 'sinks') for one in vector[part].values() for name in one['inputs']}
        self.assertLessEqual(set(vector['sources']) | set(vector['transforms']), consumed)

    def test_jq(self):
        """The example finds every failing row, whatever --by is; against the records the unit tests compare with."""
        if not shutil.which('jq'):
            raise unittest.SkipTest('needs jq (package jq)')
        program = re.search(r"-o json --containers-only \|\n\s+jq -r '([^']+)'", read(f'{DOCS}/output.md'))[1]

        def rows(value):
            if isinstance(value, dict):
                for key, inner in value.items():
                    yield from inner if key == 'syscalls' else rows(inner)
            elif isinstance(value, list):
                for inner in value:
                    yield from rows(inner)

        for path in glob.glob(f'{tools.ROOT}/tests/unit/data/golden/*.jsonl'):
            records = [json.loads(line) for line in read(path).splitlines()]
            wanted = [[one.get('k8s', {}).get('pod', {}).get('name', ''), row['name'], str(row['errors'])]
                      for one in records for row in rows(one) if row['errors']]
            self.assertTrue(wanted, path)
            result = subprocess.run(['jq', '-r', program, path], capture_output=True, text=True, check=False)
            self.assertEqual((result.returncode, result.stderr), (0, ''), path)
            found = [line.split('\t') for line in result.stdout.splitlines()]
            self.assertEqual(sorted(found), sorted(wanted), path)

    def test_dashboard_is_json(self):
        for path in glob.glob(f'{tools.CHART}/dashboards/*.json'):
            dashboard = json.loads(read(path))
            ids = [panel['id'] for panel in dashboard['panels']]
            self.assertEqual(len(ids), len(set(ids)))
            for panel in dashboard['panels']:
                if panel['type'] != 'row':
                    self.assertTrue(panel['description'], panel['title'])


    def test_dashboard_leaves_waits_out(self):
        """Where a time or an age is shown: the same calls that the program itself says wait by design."""
        waits = re.findall(r'^\t\{ "(\w+)", 0, true \}', read(f'{tools.ROOT}/src/syscalls.c'), re.MULTILINE)
        self.assertGreater(len(waits), 20)
        dashboard = json.loads(read(f'{tools.CHART}/dashboards/cgscope.json'))
        timed = [(panel['title'], target['expr']) for panel in dashboard['panels'] for target in panel.get('targets', [])
                 if re.search('cgscope_syscall_duration|in_flight', target['expr'])]
        self.assertEqual(len(timed), 5)
        for title, expression in timed:
            excluded = re.search(r'syscall!~"([^"]*)"', expression)
            self.assertTrue(excluded, title)
            self.assertEqual([call for call in waits if not re.fullmatch(excluded[1], call)], [], title)
        calls = yaml_of(f'{tools.CHART}/values.yaml')['prometheusRule']['calls']
        self.assertEqual(set(waits) & set(calls), set())


if __name__ == '__main__':
    tools.main()
