# SPDX-License-Identifier: BSD-2-Clause
"""A scrape by hand, and a real Prometheus on loopback."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def get(port, path, timeout=5):
    """(status, body) of what the monitor at @port answers."""
    try:
        with urllib.request.urlopen(f'http://127.0.0.1:{port}{path}', timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read().decode()


def wait_status(port, path, status, seconds=10):
    """The body of the first answer with @status; how long it took."""
    start = time.monotonic()
    answer = None
    while time.monotonic() - start < seconds:
        with contextlib.suppress(OSError):
            answer = get(port, path)
            if answer[0] == status:
                return answer[1], time.monotonic() - start
        time.sleep(0.05)
    raise AssertionError(f'{path}: no {status} within {seconds} s, the last was {answer}')


def samples(page):
    """[(name, {label: value}, number)] of a page of metrics."""
    found = []
    for line in page.splitlines():
        if line.startswith('#'):
            continue
        match = SAMPLE.match(line)
        if not match:
            raise AssertionError(f'no sample: {line!r}')
        found.append((match[1], dict(LABEL.findall(match[2] or '')), float(match[3])))
    return found


def total(page, name, **wanted):
    return sum(number for found, labels, number in samples(page)
               if found == name and all(labels.get(k) == v for k, v in wanted.items()))


def need_tool(name, package):
    if not shutil.which(name):
        raise unittest.SkipTest(f'needs {name} (package {package})')


class Prometheus:
    """The real one, with a directory of its own, scraping @ports every second."""

    def __init__(self, *ports, rules=()):
        self.ports = ports
        self.rules = [os.path.abspath(rule) for rule in rules]
        self.port = free_port()

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix='cgscope-prometheus-')
        # JSON is YAML.
        config = {
            'global': {'scrape_interval': '1s', 'scrape_timeout': '1s', 'evaluation_interval': '1s'},
            'rule_files': self.rules,
            'scrape_configs': [{
                'job_name': 'cgscope', 'honor_labels': True,
                'static_configs': [{'targets': [f'127.0.0.1:{port}'], 'labels': {'node': f'worker-{number}'}}
                                   for number, port in enumerate(self.ports, 1)],
            }],
        }
        with open(f'{self.directory}/prometheus.yml', 'w', encoding='utf-8') as f:
            json.dump(config, f)
        self.log = open(f'{self.directory}/log', 'wb')  # noqa: SIM115
        self.process = subprocess.Popen(
            ['prometheus', f'--config.file={self.directory}/prometheus.yml',
             f'--storage.tsdb.path={self.directory}/data',
             f'--web.listen-address=127.0.0.1:{self.port}', '--log.level=warn'],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self.wait(lambda: get(self.port, '/-/ready')[0] == 200, 'ready')
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def wait(self, condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                found = condition()
                if found:
                    return found
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        with open(f'{self.directory}/log', encoding='utf-8', errors='replace') as log:
            raise AssertionError(f'{what}: not within {seconds} s; Prometheus says {log.read()}')

    def ask(self, path, **parameters):
        status, body = get(self.port, f'/api/v1/{path}?{urllib.parse.urlencode(parameters)}', 20)
        answer = json.loads(body)
        if status != 200 or answer['status'] != 'success':
            raise AssertionError(f'{parameters}: {body}')
        return answer['data']

    def query(self, expression, at=None):
        """[(labels, number)]"""
        data = self.ask('query', query=expression, **({'time': at} if at else {}))
        if data['resultType'] == 'scalar':
            return [({}, float(data['result'][1]))]
        return [(one['metric'], float(one['value'][1])) for one in data['result']]

    def value(self, expression):
        """The one number of @expression; None where there is no series."""
        found = self.query(expression)
        if len(found) > 1:
            raise AssertionError(f'{expression}: {len(found)} results: {found[:5]}')
        return found[0][1] if found else None

    def wait_value(self, expression, wanted, seconds=60):
        self.wait(lambda: self.value(expression) == wanted,
                  f'{expression} == {wanted} (is {self.value(expression)})', seconds)
