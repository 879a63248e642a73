#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The chart: everything its values can make of it, and what they may not be."""

import itertools
import json
import os
import re
import subprocess
import sys
import unittest

import chart_tools as tools

# What can be switched, and decides which objects there are or how they are built.
SWITCHES = [
    'listen.enabled=false',
    'privileged=true',
    'hostRoot.mount=paths',
    'serviceAccount.create=false',
    'service.enabled=true',
    'podMonitor.enabled=true',
    'serviceMonitor.enabled=true',
    'prometheusRule.enabled=true',
    'dashboard.enabled=true',
    'networkPolicy.enabled=true',
    'monitor.containersOnly=false',
    'monitor.top=0',
]
# Two switches that exclude each other, on purpose.
IMPOSSIBLE = {('listen.enabled=false', 'podMonitor.enabled=true'),
              ('listen.enabled=false', 'serviceMonitor.enabled=true'),
              ('listen.enabled=false', 'service.enabled=true'),
              ('listen.enabled=false', 'prometheusRule.enabled=true'),
              ('listen.enabled=false', 'dashboard.enabled=true'),
              ('podMonitor.enabled=true', 'serviceMonitor.enabled=true')}
# As much as can be had at once.
EVERYTHING = [s for s in SWITCHES if not s.startswith(('listen', 'serviceMonitor'))]

# Each other value that shows, with one that is not its default.
VALUES = [
    'image.repository=example.test:5000/tools/cgscope', 'image.tag=1.2', 'image.pullPolicy=Always',
    'image.digest=sha256:' + '0' * 64, 'imagePullSecrets[0].name=secret',
    'nameOverride=other', 'fullnameOverride=whole', 'monitor.interval=0.5', 'monitor.by=process',
    'monitor.output=text', 'monitor.inFlightMs=10000000', 'monitor.verbose=true',
    'monitor.filters.namespaces={shop,web-*}', 'monitor.filters.pods={a}', 'monitor.filters.containers={b}',
    'monitor.filters.cgroups={/kubepods}', 'monitor.filters.comms={nginx}',
    'monitor.filters.syscalls={fsync}', 'monitor.extraArgs={--node=x}', 'listen.port=9000',
    'listen.metricsSyscalls=5', 'privileged=true,listen.port=80', 'capabilities={SYS_ADMIN,DAC_READ_SEARCH}', 'seccompProfile.type=Unconfined',
    'appArmorProfile.type=Unconfined', 'seLinuxOptions.type=spc_t', 'resources.limits.cpu=1',
    'priorityClassName=system-node-critical', 'tolerations=null', 'nodeSelector.zone=a',
    'affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]'
    '.matchExpressions[0].key=a,affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution'
    '.nodeSelectorTerms[0].matchExpressions[0].operator=Exists',
    'updateStrategy.rollingUpdate.maxUnavailable=1', 'terminationGracePeriodSeconds=5',
    'podAnnotations.a=b', 'podLabels.a=b', 'extraEnv[0].name=A,extraEnv[0].value=b',
    'extraVolumes[0].name=v,extraVolumes[0].emptyDir.medium=Memory',
    'extraVolumeMounts[0].name=host,extraVolumeMounts[0].mountPath=/v', 'startupProbe.periodSeconds=5',
    'readinessProbe.periodSeconds=5', 'livenessProbe.periodSeconds=5', 'serviceAccount.name=sa',
    'serviceAccount.annotations.a=b', 'service.enabled=true,service.annotations.a=b',
    'hostRoot.mount=paths,hostRoot.paths={/sys/fs/cgroup}', 'hostRoot.mountPropagation=None',
    'hostRoot.mountPropagation=None,hostRoot.recursiveReadOnly=IfPossible',
    'hostRoot.mount=paths,hostRoot.mountPropagation=None,hostRoot.recursiveReadOnly=Enabled',
    'seccompProfile.type=Localhost,seccompProfile.localhostProfile=cgscope.json',
    'updateStrategy.rollingUpdate.maxSurge=1,updateStrategy.rollingUpdate.maxUnavailable=0',
    'networkPolicy.enabled=true,networkPolicy.ingressFrom[0].ipBlock.cidr=10.0.0.0/8',
    'podMonitor.enabled=true,podMonitor.interval=1m5s', 'podMonitor.enabled=true,podMonitor.labels.a=b',
    'podMonitor.enabled=true,podMonitor.scrapeTimeout=5s', 'podMonitor.enabled=true,podMonitor.relabelings=null',
    'podMonitor.enabled=true,podMonitor.metricRelabelings[0].action=drop',
    'serviceMonitor.enabled=true,serviceMonitor.interval=1m5s', 'serviceMonitor.enabled=true,serviceMonitor.labels.a=b',
    'serviceMonitor.enabled=true,serviceMonitor.scrapeTimeout=5s',
    'serviceMonitor.enabled=true,serviceMonitor.relabelings=null',
    'serviceMonitor.enabled=true,serviceMonitor.metricRelabelings[0].action=drop',
    'prometheusRule.enabled=true,prometheusRule.labels.a=b', 'prometheusRule.enabled=true,prometheusRule.alertLabels.a=b',
    'prometheusRule.enabled=true,prometheusRule.disabled={CgscopeBlind}',
    'prometheusRule.enabled=true,prometheusRule.job=x', 'prometheusRule.enabled=true,prometheusRule.lostRatio=0.5',
    'prometheusRule.enabled=true,prometheusRule.calls={fsync}', 'prometheusRule.enabled=true,prometheusRule.stuckSeconds=5',
    'prometheusRule.enabled=true,prometheusRule.errorRatio=0.5', 'prometheusRule.enabled=true,prometheusRule.errorJump=5',
    'prometheusRule.enabled=true,prometheusRule.latencySeconds=0.5', 'prometheusRule.enabled=true,prometheusRule.latencySeconds=1', 'prometheusRule.enabled=true,prometheusRule.latencyJump=5',
    'dashboard.enabled=true,dashboard.labels.a=b', 'dashboard.enabled=true,dashboard.annotations.a=b',
    'networkPolicy.enabled=true,networkPolicy.ingressFrom[0].podSelector.matchLabels.a=b',
    'extraObjects[0].apiVersion=v1,extraObjects[0].kind=ConfigMap,extraObjects[0].metadata.name=x',
]

# A wrong value, and what has to be in the message beside its place.
WRONG = [
    ('tolerations[0].operator=Foo', "'/tolerations/0/operator'", "'Exists', 'Equal'"),
    ('tolerations[0].keys=a', "'/tolerations/0'", 'keys'),
    ('affinity.nodeAfinity.a=b', "'/affinity'", 'nodeAfinity'),
    ('extraEnv[0].nam=A', "'/extraEnv/0'", 'nam'),
    ('extraVolumes[0].nam=v', "'/extraVolumes/0'", "missing property 'name'"),
    ('extraVolumeMounts[0].name=v', "'/extraVolumeMounts/0'", "missing property 'mountPath'"),
    ('podMonitor.metricRelabelings[0].action=dorp', "'/podMonitor/metricRelabelings/0/action'", "'drop'"),
    ('serviceMonitor.relabelings[0].sourceLabel=a', "'/serviceMonitor/relabelings/0'", 'sourceLabel'),
    ('monitor.by=pod', "'/monitor/by'", "'container', 'process', 'thread'"),
    ('monitor.interval=0', "'/monitor/interval'", 'minimum'),
    ('monitor.interval=ten', "'/monitor/interval'", "'ten' does not match pattern"),
    ('monitor.output=xml', "'/monitor/output'", "'json', 'text'"),
    ('monitor.top=-1', "'/monitor/top'", 'minimum'),
    ('monitor.containersOnly=perhaps', "'/monitor/containersOnly'", 'want boolean'),
    ('monitor.filters.namespaces=shop', "'/monitor/filters/namespaces'", 'want array'),
    ('monitor.intervall=3', "'/monitor'", "'intervall' not allowed"),
    ('monitr.by=process', "''", "'monitr' not allowed"),
    ('listen.port=99999', "'/listen/port'", 'maximum'),
    ('listen.metricsSyscalls=0', "'/listen/metricsSyscalls'", 'minimum'),
    ('image.pullPolicy=Sometimes', "'/image/pullPolicy'", "'IfNotPresent'"),
    ('image.repository=', "'/image/repository'", ''),
    ('image.digest=abc', "'/image/digest'", 'sha256'),
    ('hostRoot.mount=all', "'/hostRoot/mount'", "'root', 'paths'"),
    ('hostRoot.paths={relative}', "'/hostRoot/paths/0'", 'pattern'),
    ('capabilities={CAP_BPF}', "'/capabilities/0'", "'BPF'"),
    ('seccompProfile.type=None', "'/seccompProfile/type'", "'RuntimeDefault'"),
    ('resources.limits.memory=lots', "'/resources/limits/memory'", ''),
    ('podMonitor.interval=soon', "'/podMonitor/interval'", 'pattern'),
    ('prometheusRule.errorRatio=2', "'/prometheusRule/errorRatio'", 'maximum'),
    ('prometheusRule.latencySeconds=2', "'/prometheusRule/latencySeconds'", 'maximum'),
    ('prometheusRule.latencySeconds=1.5', "'/prometheusRule/latencySeconds'", 'pattern'),
    ('prometheusRule.calls={}', "'/prometheusRule/calls/0'", 'pattern'),
    ('updateStrategy.type=Sometimes', "'/updateStrategy/type'", "'OnDelete'"),
    ('livenessProbe.periodSeconds=0', "'/livenessProbe/periodSeconds'", 'minimum'),
    ('privileged=perhaps', "'/privileged'", 'want boolean'),
    ('nameOverride=UPPER', "'/nameOverride'", 'pattern'),
    ('fullnameOverride=Upper_Case', "'/fullnameOverride'", 'pattern'),
    ('fullnameOverride=0first', "'/fullnameOverride'", 'pattern'),
    ('serviceAccount.name=A', "'/serviceAccount/name'", 'pattern'),
    ('priorityClassName=a_b', "'/priorityClassName'", 'pattern'),
    ('prometheusRule.errorRatio=1.5', "'/prometheusRule/errorRatio'", 'pattern'),
    ('resources.limits.memory=256', "'/resources/limits/memory'", 'minimum: got 256'),
    ('resources.limits.memory=256m', "'/resources/limits/memory'", 'pattern'),
    ('resources.requests.memory=96Ki', "'/resources/requests/memory'", 'pattern'),
    ('listen.port=0', "'/listen/port'", 'minimum: got 0, want 1'),
    ('livenessProbe.successThreshold=2', "'/livenessProbe/successThreshold'", 'maximum: got 2, want 1'),
    ('startupProbe.successThreshold=2', "'/startupProbe/successThreshold'", 'maximum: got 2, want 1'),
    ('updateStrategy.rollingUpdate.maxUnavailable=ten', "'/updateStrategy/rollingUpdate/maxUnavailable'", 'pattern'),
    ('updateStrategy.rollingUpdate.maxUnavailable=110%', "'/updateStrategy/rollingUpdate/maxUnavailable'", 'pattern'),
    ('updateStrategy.rollingUpdate.maxSurge=-1', "'/updateStrategy/rollingUpdate/maxSurge'", 'minimum'),
    ('hostRoot.mount=paths,hostRoot.paths={/run/../etc}', "'/hostRoot/paths/0'", 'pattern'),
    ('hostRoot.mount=paths,hostRoot.paths={/run/..}', "'/hostRoot/paths/0'", 'pattern'),
    ('hostRoot.recursiveReadOnly=true', "'/hostRoot/recursiveReadOnly'", "'IfPossible'"),
    ('networkPolicy.ingressFrom[0].podSelectors.matchLabels.a=b', "'/networkPolicy/ingressFrom/0'", "'podSelectors' not allowed"),
    ('networkPolicy.ingressFrom[0].podSelector.matchLabel.a=b', "'/networkPolicy/ingressFrom/0/podSelector'", "'matchLabel' not allowed"),
    ('networkPolicy.ingressFrom[0].ipBlock.cidr=10.0.0.1', "'/networkPolicy/ingressFrom/0/ipBlock/cidr'", 'pattern'),
    ('podLabels.a=b c', "'/podLabels/a'", 'pattern'),
    ('podLabels.a=-b', "'/podLabels/a'", 'pattern'),
    ('podLabels.a b=c', "'/podLabels'", "'a b' not allowed"),
    ('podMonitor.labels.release=the stack', "'/podMonitor/labels/release'", 'pattern'),
    ('nodeSelector.pool=a/b', "'/nodeSelector/pool'", 'pattern'),
    ('terminationGracePeriodSeconds=3601', "'/terminationGracePeriodSeconds'", 'maximum'),
    ('image.repository=Cgscope', "'/image/repository'", 'pattern'),
    ('image.repository=example.test/Tools/cgscope', "'/image/repository'", 'pattern'),
    ('image.repository=https://example.test/cgscope', "'/image/repository'", 'pattern'),
    ('image.repository=cgscope/', "'/image/repository'", 'pattern'),
]

# What the schema cannot tell, and the one message.
REFUSED = [
    ('monitor.extraArgs={--listen=:9000}', 'monitor.extraArgs: --listen is set by the chart'),
    ('monitor.extraArgs={-c,nginx,-i5}', 'monitor.extraArgs: -i is set by the chart'),
    ('extraEnv[0].name=NODE_NAME,extraEnv[0].value=a', 'extraEnv: NODE_NAME is there already'),
    ('extraVolumes[0].name=host,extraVolumes[0].emptyDir.medium=Memory', 'extraVolumes: host is there already'),
    ('hostRoot.mount=paths,hostRoot.paths={/run},extraVolumes[0].name=host-0', 'extraVolumes: host-0 is there already'),
    ('extraVolumeMounts[0].name=v,extraVolumeMounts[0].mountPath=/v', 'there is no volume v'),
    ('extraVolumeMounts[0].name=host,extraVolumeMounts[0].mountPath=/host', 'something is mounted at /host already'),
    ('podMonitor.enabled=true,serviceMonitor.enabled=true', 'scraped twice'),
    ('listen.enabled=false,podMonitor.enabled=true', 'podMonitor.enabled needs listen.enabled'),
    ('listen.enabled=false,serviceMonitor.enabled=true', 'serviceMonitor.enabled needs listen.enabled'),
    ('listen.enabled=false,service.enabled=true', 'service.enabled needs listen.enabled'),
    ('monitor.interval=0.001', 'monitor.interval is 0.001: from 0.01 to 86400'),
    ('monitor.interval=86400.5', 'monitor.interval is 86400.5: from 0.01 to 86400'),
    ('podMonitor.enabled=true,podMonitor.scrapeTimeout=60s', 'podMonitor.scrapeTimeout is 60s: not longer than its interval, 30s'),
    ('serviceMonitor.enabled=true,serviceMonitor.scrapeTimeout=1m1ms,serviceMonitor.interval=60s',
     'serviceMonitor.scrapeTimeout is 1m1ms'),
    ('prometheusRule.enabled=true,prometheusRule.disabled={CgscopeBlind,Nope}',
     'prometheusRule.disabled: Nope is none of CgscopeDown, '),
    ('listen.enabled=false,prometheusRule.enabled=true', 'prometheusRule.enabled needs listen.enabled'),
    ('listen.enabled=false,dashboard.enabled=true', 'dashboard.enabled needs listen.enabled'),
    ('hostRoot.mount=paths,hostRoot.paths=null', 'hostRoot.mount paths needs hostRoot.paths'),
    ('hostRoot.recursiveReadOnly=IfPossible', 'hostRoot.recursiveReadOnly IfPossible needs hostRoot.mountPropagation None'),
    ('hostRoot.mount=paths,hostRoot.recursiveReadOnly=Enabled', 'recursiveReadOnly Enabled needs hostRoot.mountPropagation None'),
    ('capabilities={BPF,DAC_READ_SEARCH}', 'capabilities: without PERFMON (or SYS_ADMIN) cgscope does not start'),
    ('listen.port=80', 'listen.port is 80: below 1024 it takes NET_BIND_SERVICE'),
    ('capabilities={SYS_ADMIN}', 'capabilities: without DAC_READ_SEARCH cgscope does not start'),
    ('seccompProfile.type=Localhost', 'seccompProfile.type Localhost needs seccompProfile.localhostProfile'),
    ('seccompProfile.localhostProfile=a.json', 'seccompProfile.localhostProfile is for type Localhost only'),
    ('seccompProfile.type=null,seccompProfile.localhostProfile=a.json', 'seccompProfile.type is missing'),
    ('appArmorProfile.type=Localhost', 'appArmorProfile.type Localhost needs appArmorProfile.localhostProfile'),
    ('updateStrategy.rollingUpdate.maxSurge=1', 'has to be 0; maxUnavailable is 10%'),
    ('updateStrategy.rollingUpdate.maxSurge=1,updateStrategy.rollingUpdate.maxUnavailable=null',
     'one of maxSurge and maxUnavailable has to be 0'),
    ('updateStrategy.rollingUpdate.maxUnavailable=0%', 'maxSurge and maxUnavailable cannot both be 0'),
    ('resources.requests.memory=1Gi', 'resources.requests.memory is 1Gi: not above its limit, 256Mi'),
    ('resources.requests.cpu=200m,resources.limits.cpu=0.1', 'resources.requests.cpu is 200m: not above its limit, 0.1'),
    ('networkPolicy.ingressFrom[0].ipBlock.cidr=10.0.0.0/8,networkPolicy.ingressFrom[0].podSelector.matchLabels.a=b',
     'networkPolicy.ingressFrom: an ipBlock is a peer of its own'),
    ('podLabels.app\\.kubernetes\\.io/name=x', "podLabels: app.kubernetes.io/name is the selector's"),
    ('dashboard.labels.helm\\.sh/chart=x', 'dashboard.labels: helm.sh/chart is the chart'),
    ('podMonitor.labels.app\\.kubernetes\\.io/version=x', 'podMonitor.labels: app.kubernetes.io/version is'),
]


def leaves(value, path=''):
    """The places of all values in values.yaml, as --set has them."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f'{path}.{key}' if path else key)
    else:
        yield path


class Chart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tools.npm_directory()
        cls.default = tools.template()

    def test_lint(self):
        result = tools.run('helm', 'lint', '--strict', tools.CHART)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_defaults(self):
        rendered = tools.objects(self.default)
        self.assertEqual(sorted(one['kind'] for one in rendered), ['DaemonSet', 'ServiceAccount'])
        pod = tools.find(rendered, 'DaemonSet')['spec']['template']['spec']
        self.assertEqual(pod['hostPID'], True)
        self.assertNotIn('hostNetwork', pod)
        self.assertEqual(pod['automountServiceAccountToken'], False)
        self.assertEqual(pod['tolerations'], [{'operator': 'Exists'}])
        self.assertEqual(
            pod['affinity']['nodeAffinity']['requiredDuringSchedulingIgnoredDuringExecution']['nodeSelectorTerms'],
            [{'matchExpressions': [{'key': 'kubernetes.io/arch', 'operator': 'In', 'values': ['amd64', 'arm64']}]}])
        container = pod['containers'][0]
        self.assertEqual(container['securityContext'], {
            'runAsUser': 0, 'readOnlyRootFilesystem': True, 'privileged': False,
            'allowPrivilegeEscalation': False, 'seccompProfile': {'type': 'RuntimeDefault'},
            'capabilities': {'drop': ['ALL'], 'add': ['BPF', 'PERFMON', 'DAC_READ_SEARCH']}})
        self.assertEqual(container['env'][0]['valueFrom']['fieldRef']['fieldPath'], 'spec.nodeName')
        self.assertEqual(container['terminationMessagePolicy'], 'FallbackToLogsOnError')
        self.assertEqual(pod['volumes'], [{'name': 'host',
                                           'hostPath': {'path': '/', 'type': 'Directory'}}])
        self.assertEqual([(m['mountPath'], m['readOnly']) for m in container['volumeMounts']],
                         [('/host', True)])
        for probe, path in ('startupProbe', '/healthz'), ('readinessProbe', '/readyz'), \
                ('livenessProbe', '/healthz'):
            self.assertEqual(container[probe]['httpGet'], {'path': path, 'port': 'http'})

    def test_no_api_access(self):
        """Whatever the values: no role, and no token."""
        rendered = tools.objects(tools.template(*EVERYTHING))
        for one in rendered:
            self.assertNotIn('Role', one['kind'])
            if one['kind'] == 'ServiceAccount':
                self.assertFalse(one['automountServiceAccountToken'])

    def test_arguments_are_understood(self):
        """The program itself, with every argument that a value can make; --help ends it."""
        cgscope = os.environ.get('CGSCOPE')
        if not cgscope:
            raise unittest.SkipTest('needs CGSCOPE')
        for settings in [], *([value] for value in VALUES + SWITCHES if value.startswith(('monitor', 'listen'))):
            pod = tools.find(tools.objects(tools.template(*settings)), 'DaemonSet')['spec']['template']
            args = pod['spec']['containers'][0]['args']
            result = subprocess.run([cgscope, *args, '--help'], capture_output=True, text=True, check=False)
            self.assertEqual((result.returncode, result.stderr), (0, ''), f'{settings}: {args}')
        with open(f'{tools.CHART}/values.yaml', encoding='utf-8') as f:
            calls = tools.objects(f.read())[0]['prometheusRule']['calls']
        result = subprocess.run([cgscope, '--syscall', ','.join(calls), '--help'],
                                capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ''))

    def test_every_value_shows(self):
        """Each value changes the output, and there is none that was forgotten here."""
        import yaml
        with open(f'{tools.CHART}/values.yaml', encoding='utf-8') as f:
            known = set(leaves(yaml.safe_load(f)))
        tried = set()
        for setting in SWITCHES + VALUES:
            parts = setting.split(',')
            enablers = [part for part in parts[:-1] if part.endswith('.enabled=true')]
            base = tools.template(*enablers) if enablers else self.default
            self.assertNotEqual(tools.template(setting), base, setting)
            tried |= {re.split(r'[=\[]', part)[0] for part in parts}
        untried = {leaf for leaf in known
                   if not any(one == leaf or one.startswith(leaf + '.') or leaf.startswith(one + '.')
                              for one in tried)}
        # Alike in each probe, and numbers of an object that Kubernetes checks.
        untried = {leaf for leaf in untried if not re.search(
            r'Probe\.(timeoutSeconds|failureThreshold)$|^resources\.|^updateStrategy\.type$'
            r'|^nodeSelector\.|^dashboard\.labels\.', leaf)}
        self.assertEqual(untried, set())

    def test_wrong_values(self):
        for setting, place, words in WRONG:
            with self.subTest(setting):
                result = tools.run('helm', 'template', 'x', tools.CHART, '--set', setting)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(f'at {place}:', result.stderr)
                self.assertIn(words, result.stderr)

    def test_refused(self):
        self.assertLessEqual({','.join(pair) for pair in IMPOSSIBLE} - {setting for setting, _ in REFUSED}, set())
        for setting, words in REFUSED:
            with self.subTest(setting):
                result = tools.run('helm', 'template', 'x', tools.CHART, '--set', setting)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(words, result.stderr)

    def test_empty_lists(self):
        """Refused where they matter."""
        for setting, unless, words in (('capabilities=[]', 'privileged=true', 'capabilities: without BPF'),
                                       ('hostRoot.paths=[]', 'hostRoot.mount=root', 'hostRoot.mount paths needs hostRoot.paths')):
            command = ['helm', 'template', 'x', tools.CHART, '--set', 'hostRoot.mount=paths', '--set-json', setting]
            result = tools.run(*command)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(words, result.stderr)
            result = tools.run(*command, '--set', unless, *(['--set', 'hostRoot.mount=root'] if 'capa' in setting else []))
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_accepted(self):
        """What is close to what is refused."""
        for setting in ('listen.port=1024', 'updateStrategy.rollingUpdate.maxUnavailable=100%', 'livenessProbe.successThreshold=1',
                        'readinessProbe.successThreshold=3', 'hostRoot.mount=paths,hostRoot.paths={/a/.b/..c/d..}',
                        'podLabels.a=', 'podLabels.example\\.test/a_b=C.d-e', 'image.repository=localhost:5000/a/b__c.d-e/f',
                        'image.repository=REGISTRY/cgscope', 'resources.requests.memory=256Mi',
                        'resources.requests.memory=268435456', 'resources.requests.cpu=100m,resources.limits.cpu=0.1',
                        'privileged=true,capabilities={SYS_ADMIN}', 'updateStrategy.rollingUpdate=null',
                        'updateStrategy.type=OnDelete', 'appArmorProfile=null', 'seccompProfile=null',
                        'monitor.extraArgs={-c,init,--node=a}', 'resources.limits.ephemeral-storage=1Pi,resources.requests.ephemeral-storage=1Ti',
                        'hostRoot.recursiveReadOnly=Disabled', 'prometheusRule.latencySeconds=1'):
            with self.subTest(setting):
                result = tools.run('helm', 'template', 'x', tools.CHART, '--set', setting)
                self.assertEqual((result.returncode, result.stderr), (0, ''))

    def test_scrape_timeout(self):
        """Not longer than the interval, unless it is given."""
        for interval, timeout, rendered in (('5s', '', '5s'), ('30s', '', '10s'), ('500ms', '', '500ms'), ('1m', '', '10s'),
                                            ('', '', None), ('5s', '3s', '3s'), ('', '20s', '20s')):
            for kind, name in ('PodMonitor', 'podMonitor'), ('ServiceMonitor', 'serviceMonitor'):
                one = tools.find(tools.objects(tools.template(
                    f'{name}.enabled=true,{name}.interval={interval},{name}.scrapeTimeout={timeout}')), kind)['spec']
                endpoint = (one.get('podMetricsEndpoints') or one.get('endpoints'))[0]
                self.assertEqual(endpoint.get('scrapeTimeout'), rendered, (interval, timeout))

    def test_recursive_read_only(self):
        """Rendered where it is asked for; older Kubernetes does not know it."""
        self.assertNotIn('recursiveReadOnly', self.default)
        for mount in 'root', 'paths':
            pod = tools.find(tools.objects(tools.template(
                f'hostRoot.mount={mount}', 'hostRoot.mountPropagation=None', 'hostRoot.recursiveReadOnly=IfPossible')),
                'DaemonSet')['spec']['template']['spec']
            self.assertEqual({(m['readOnly'], m['mountPropagation'], m['recursiveReadOnly'])
                              for m in pod['containers'][0]['volumeMounts']}, {(True, 'None', 'IfPossible')})

    def test_number_as_text(self):
        """As --set-string has it, and --set has what is no integer."""
        for setting, words in (('monitor.interval=0.001', 'monitor.interval is 0.001'),
                               ('monitor.interval=90000', 'monitor.interval is 90000'), ('monitor.interval=30', None),
                               ('resources.limits.memory=256', "'256' does not match pattern"),
                               ('resources.limits.memory=268435456', None)):
            with self.subTest(setting):
                result = tools.run('helm', 'template', 'x', tools.CHART, '--set-string', setting)
                self.assertEqual(result.returncode == 0, words is None, result.stderr)
                self.assertIn(words or '', result.stderr)

    def test_one_line_says_it(self):
        """Where a value may be a number or a text, not a list of what each of the two would have been."""
        for setting in ('monitor.interval=30s', 'prometheusRule.latencySeconds=1s', 'resources.limits.cpu=some'):
            result = tools.run('helm', 'template', 'x', tools.CHART, '--set', setting)
            self.assertEqual(len(re.findall('^ *- at ', result.stderr, re.MULTILINE)), 1, result.stderr)

    def test_null(self):
        """null takes a value away: it is not needed, or the schema says that it is; no template stumbles."""
        import yaml
        with open(f'{tools.CHART}/values.yaml', encoding='utf-8') as f:
            values = yaml.safe_load(f)

        def places(value, path):
            for key, inner in value.items():
                place = path + [key.replace('.', '\\.')]
                yield '.'.join(place)
                if isinstance(inner, dict):
                    yield from places(inner, place)

        refused = 0
        for place in places(values, []):
            with self.subTest(place):
                enable = [one for one in EVERYTHING if 'enabled' in one and not one.startswith(place.split('.')[0])]
                result = tools.run('helm', 'template', 'x', tools.CHART, '--set', ','.join([place + '=null'] + enable))
                if result.returncode != 0:
                    refused += 1
                    self.assertIn(f"missing property '{place.split('.')[-1]}'", result.stderr)
                else:
                    tools.objects(result.stdout)
        self.assertGreater(refused, 20)

    def test_volumes_of_like_paths(self):
        rendered = tools.objects(tools.template('hostRoot.mount=paths', 'hostRoot.paths={/a.b,/a-b,/A/b}'))
        pod = tools.find(rendered, 'DaemonSet')['spec']['template']['spec']
        paths = {volume['name']: volume['hostPath']['path'] for volume in pod['volumes']}
        self.assertEqual(sorted(paths.values()), ['/A/b', '/a-b', '/a.b'])
        for mount in pod['containers'][0]['volumeMounts']:
            self.assertEqual(mount['mountPath'], '/host' + paths[mount['name']])

    def test_schema_is_complete(self):
        """Every value of values.yaml has its place in the schema, which lets no other through."""
        import yaml
        with open(f'{tools.CHART}/values.schema.json', encoding='utf-8') as f:
            schema = json.load(f)
        with open(f'{tools.CHART}/values.yaml', encoding='utf-8') as f:
            values = yaml.safe_load(f)

        def check(value, schema, path):
            if isinstance(value, dict) and 'properties' in schema:
                # But for the resources, whose names are free.
                if path not in ('/resources/requests', '/resources/limits'):
                    self.assertIs(schema['additionalProperties'], False, path)
                    self.assertLessEqual(set(value), set(schema['properties']), path)
                for key in set(value) & set(schema['properties']):
                    check(value[key], schema['properties'][key], f'{path}/{key}')
        check(values, schema, '')

    def test_notes(self):
        result = tools.run('helm', 'install', 'x', tools.CHART, '--dry-run=client', '--namespace', 'ns')
        self.assertEqual(result.returncode, 0, result.stderr)
        notes = result.stdout.split('NOTES:', 1)[1]
        self.assertIn('rollout status daemonset/x-cgscope', notes)
        self.assertIn('podMonitor.enabled', notes)
        self.assertIn('pod-security.kubernetes.io/enforce=privileged', notes)
        self.assertIn('the capabilities BPF, PERFMON, DAC_READ_SEARCH:', notes)
        self.assertIn('WARNING: image.repository is the default', notes)
        # Nothing in the background: curl would come before the forwarding.
        self.assertNotIn('&', notes)

    def test_notes_of_other_values(self):
        result = tools.run('helm', 'install', 'x', tools.CHART, '--dry-run=client', '--namespace', 'ns',
                           '--set', 'privileged=true,listen.enabled=false')
        self.assertEqual(result.returncode, 0, result.stderr)
        notes = result.stdout.split('NOTES:', 1)[1]
        self.assertIn('privileged containers: where Pod Security is enforced', notes)
        self.assertIn('pod-security.kubernetes.io/enforce=privileged', notes)
        self.assertNotIn('podMonitor', notes)
        self.assertIn('It serves no metrics', notes)

    def notes(self, settings):
        result = tools.run('helm', 'install', 'x', tools.CHART, '--dry-run=client', '--set', settings)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.split('NOTES:', 1)[1]

    def test_notes_on_labels(self):
        notes = self.notes('podMonitor.enabled=true,image.repository=example.test/cgscope')
        self.assertIn('podMonitor.labels is empty', notes)
        self.assertIn('--set podMonitor.labels.release=STACK', notes)
        self.assertNotIn('WARNING', notes)
        self.assertNotIn('Nothing has Prometheus scrape it', notes)
        self.assertNotIn('is empty', self.notes('podMonitor.enabled=true,podMonitor.labels.release=stack'))
        self.assertIn('serviceMonitor.labels is empty', self.notes('serviceMonitor.enabled=true'))

    def test_readme_table(self):
        """The table in the chart's README is made from values.yaml; WRITE_README=1 makes it."""
        with open(f'{tools.CHART}/values.yaml', encoding='utf-8') as f:
            table = make_table(f.read())
        path = f'{tools.CHART}/README.md'
        with open(path, encoding='utf-8') as f:
            text = f.read()
        begin, end = '<!-- values -->\n', '<!-- end of values -->\n'
        head, rest = text.split(begin)
        tail = rest.split(end)[1]
        wanted = head + begin + table + end + tail
        if os.environ.get('WRITE_README'):
            with open(path, 'w', encoding='utf-8') as f:
                f.write(wanted)
        self.assertEqual(text if not os.environ.get('WRITE_README') else wanted, wanted)

    def test_manifest_is_the_charts(self):
        """docs/examples/kubernetes.yaml is what the chart renders by default; WRITE_MANIFEST=1 makes it."""
        path = f'{tools.ROOT}/docs/examples/kubernetes.yaml'
        wanted = make_manifest()
        if os.environ.get('WRITE_MANIFEST'):
            with open(path, 'w', encoding='utf-8') as f:
                f.write(wanted)
        with open(path, encoding='utf-8') as f:
            self.assertEqual(f.read(), wanted)


MANIFEST_HEAD = '''# cgscope on every node, without Helm:
#	kubectl apply -f kubernetes.yaml
# once its image is one that the nodes can pull: built from the Dockerfile, and pushed.
# Rendered from the chart with its defaults; a test keeps it so.
apiVersion: v1
kind: Namespace
metadata:
  name: cgscope
  labels:
    pod-security.kubernetes.io/enforce: privileged
'''


def make_manifest():
    text = tools.template(release='cgscope', namespace='cgscope')
    # Nothing here is Helm's.
    lines = [line for line in text.splitlines()
             if not re.match(r' *(# Source:|helm\.sh/chart:|app\.kubernetes\.io/managed-by:)', line)
             and not line.startswith('# Source')]
    return MANIFEST_HEAD + '\n'.join(lines) + '\n'


def make_table(text):
    """| value | default | meaning |, the meaning being the comment above a value."""
    import yaml
    values = yaml.safe_load(text)
    rows, comment, stack = [], [], []
    group_comments = {}
    for line in text.splitlines():
        match = re.match(r'^( *)([A-Za-z]+):(.*)$', line)
        if line.strip().startswith('#'):
            comment.append(line.strip()[1:].strip())
            continue
        if not match:
            if not line.strip():
                comment = []
            continue
        depth = len(match[1]) // 2
        stack = stack[:depth] + [match[2]]
        value = values
        for key in stack:
            value = value[key] if isinstance(value, dict) and key in value else None
        meaning = ' '.join(comment)
        comment = []
        if isinstance(value, dict) and value:
            group_comments['.'.join(stack)] = meaning
            if meaning:
                rows.append(('.'.join(stack), '', meaning))
            continue
        if value is None:
            continue  # inside a list
        shown = json.dumps(value, ensure_ascii=False)
        if len(shown) > 60:
            shown = 'see values.yaml'
        rows.append(('.'.join(stack), f'`{shown}`', meaning))
    lines = ['| value | default | meaning |', '| --- | --- | --- |']
    lines += [f'| `{name}` | {default} | {meaning.replace("|", chr(92) + "|")} |' for name, default, meaning in rows]
    return '\n'.join(lines) + '\n'


class Objects(unittest.TestCase):
    """Everything that can be rendered, against the types of Kubernetes and the Prometheus operator."""

    TYPES = {
        'DaemonSet': 'kubernetes-models/apps/v1/DaemonSet',
        'ServiceAccount': 'kubernetes-models/v1/ServiceAccount',
        'Service': 'kubernetes-models/v1/Service',
        'ConfigMap': 'kubernetes-models/v1/ConfigMap',
        'Namespace': 'kubernetes-models/v1/Namespace',
        'NetworkPolicy': 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy',
        'PodMonitor': '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor',
        'ServiceMonitor': '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor',
        'PrometheusRule': '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule',
    }

    def check(self, distinct, expect_errors=False):
        """Types, unknown fields, and the limits that only validation knows."""
        directory = tools.npm_directory()
        name = f'objects-{os.getpid()}'
        kinds = sorted({one['kind'] for one in distinct})
        types = [f'import type {{ I{kind} }} from "{self.TYPES[kind]}";' for kind in kinds]
        types += [f'export const o{i}: I{one["kind"]} = {json.dumps(one)};' for i, one in enumerate(distinct)]
        values = [f'import {{ {kind} }} from "{self.TYPES[kind]}";' for kind in kinds]
        values += ['let failed = false;', 'const check = (o) => { try { o.validate(); } catch (e) {',
                   'console.error(`${o.kind}: ${e.message}`); failed = true; } };']
        values += [f'check(new {one["kind"]}({json.dumps(one)}));' for one in distinct]
        values += ['process.exit(failed ? 1 : 0);']
        paths = [f'{directory}/{name}.ts', f'{directory}/{name}.mjs']
        try:
            for path, lines in zip(paths, (types, values), strict=True):
                with open(path, 'w', encoding='utf-8') as f:
                    f.write('\n'.join(lines) + '\n')
            compiled = subprocess.run(
                ['node', f'{directory}/node_modules/typescript/bin/tsc', '--noEmit', '--strict', '--module',
                 'nodenext', '--moduleResolution', 'nodenext', '--skipLibCheck', '--pretty', 'false', paths[0]], cwd=directory, capture_output=True, text=True, check=False, timeout=200)
            ran = subprocess.run(['node', paths[1]], cwd=directory, capture_output=True, text=True,
                                 check=False, timeout=200)
        finally:
            for path in paths:
                if os.path.exists(path):
                    os.unlink(path)
        return compiled.returncode, compiled.stdout, ran.returncode, ran.stderr

    def test_all(self):
        texts = [tools.template()]
        combinations = [(one,) for one in SWITCHES] + list(itertools.combinations(SWITCHES, 2))
        combinations += [(one,) for one in VALUES]
        combinations.append(tuple(EVERYTHING))
        for combination in combinations:
            if combination not in IMPOSSIBLE:
                texts.append(tools.template(*combination))
        distinct = {}
        for text in texts:
            for one in tools.objects(text):
                distinct.setdefault(json.dumps(one, sort_keys=True), one)
        with open(f'{tools.ROOT}/docs/examples/kubernetes.yaml', encoding='utf-8') as f:
            for one in tools.objects(f.read()):
                distinct.setdefault(json.dumps(one, sort_keys=True), one)
        print(f'{len(texts)} renderings, {len(distinct)} distinct objects', file=sys.stderr)
        self.assertGreater(len(distinct), 50)
        self.assertEqual(self.check(list(distinct.values())), (0, '', 0, ''))

    def test_the_check_itself(self):
        """An unknown field and a wrong type do not get through."""
        daemon_set = tools.find(tools.objects(tools.template()), 'DaemonSet')
        daemon_set['spec']['template']['spec']['hostPIDs'] = True
        compiled, text, _, _ = self.check([daemon_set])
        self.assertNotEqual(compiled, 0)
        self.assertIn('hostPIDs', text)
        del daemon_set['spec']['template']['spec']['hostPIDs']
        daemon_set['spec']['template']['spec']['hostPID'] = 'yes'
        compiled, _, ran, text = self.check([daemon_set])
        self.assertNotEqual(compiled, 0)
        self.assertNotEqual(ran, 0)
        self.assertIn('hostPID', text)

    def test_kubectl_reads_it(self):
        """kustomize, the part of kubectl that needs no server."""
        import tempfile
        with tempfile.TemporaryDirectory() as directory:
            with open(f'{directory}/all.yaml', 'w', encoding='utf-8') as f:
                f.write(tools.template(*EVERYTHING))
            with open(f'{directory}/kustomization.yaml', 'w', encoding='utf-8') as f:
                f.write('resources: [all.yaml]\n')
            result = tools.run('kubectl', 'kustomize', directory)
            self.assertEqual((result.returncode, result.stderr), (0, ''))
            self.assertIn('kind: DaemonSet', result.stdout)


if __name__ == '__main__':
    tools.main()
