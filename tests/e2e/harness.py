# SPDX-License-Identifier: BSD-2-Clause
"""What the tests share: the monitor under test, known workloads, own cgroups, containers, pods.

A test file ends with `harness.main()`: exit 0 if all passed, 77 if something had to be skipped (it
says what), 1 if something failed. CGSCOPE and E2E_LOAD name the two programs; meson sets them.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

import lab

CGSCOPE = os.environ.get('CGSCOPE', '')
LOAD = os.environ.get('E2E_LOAD', '')
LINE_MAX = 16384
LOSS = re.compile(rb'cgscope: (?:(\d+) calls were lost in this interval|lengths of (\d+) messages '
                  rb'could not be read in this interval): (\w+) \((.+)\)$')
IMAGE = lab.IMAGE
counter = itertools.count(1)


def first_process_mounts():
    """The mount namespace of process 1; None where even root may not look."""
    try:
        return os.readlink('/proc/1/ns/mnt')
    except OSError:
        return None


def root_mount(process):
    """The id of what is mounted at a process's "/", which takes no privilege to see."""
    try:
        with open(f'/proc/{process}/mountinfo', encoding='utf-8', errors='replace') as f:
            return [words[0] for words in map(str.split, f) if words[4] == '/'][-1:]
    except OSError:
        return None


# In a container with the host's PIDs, cgscope takes /proc/1/root for the host's root, or says that
# it would; but the lab is where the tests are.
FIRST_MOUNTS = first_process_mounts()
OTHER_MOUNTS = (FIRST_MOUNTS != os.readlink('/proc/self/ns/mnt') if FIRST_MOUNTS
                else root_mount(1) != root_mount('self'))
ROOT_OPTIONS = ['--host-root', '/'] if OTHER_MOUNTS else []


def unique(name):
    """A name that no other test and no other session on this machine uses."""
    return f'{name}-{os.getpid()}-{next(counter)}'


def unique_comm():
    return f'w{os.getpid()}x{next(counter)}'[:15]


def need_root():
    if os.geteuid() != 0:
        raise unittest.SkipTest('needs root')


def need_capabilities(**numbers):
    """Docker before 23 gives its privileged containers CAP_SYS_ADMIN, but not what it was split into."""
    with open('/proc/self/status', encoding='utf-8') as f:
        bounding = next(int(line.split()[1], 16) for line in f if line.startswith('CapBnd:'))
    for name, number in numbers.items():
        if not bounding >> number & 1:
            raise unittest.SkipTest(f'nobody here can have CAP_{name}')


def join_lab():
    """For setUpModule: the lab's facts; the module is skipped where no lab can be."""
    try:
        info = lab.start(LOAD)
    except lab.LabMissing as e:
        raise unittest.SkipTest(str(e)) from e
    if os.environ.get('E2E_SESSION') != 'parent':
        unittest.addModuleCleanup(lab.stop)
    return info


# --- the monitor ---

class Monitor:
    """A running cgscope, its output read as it comes.

    Leaving the `with` block ends it with SIGTERM and checks that it ended well, so that what it
    says last is in `records`.
    """

    def __init__(self, *args, interval=0.2, output='json', wrapper=(), may_warn=False, **kwargs):
        interval = [] if interval is None else ['-i', str(interval)]
        root = ROOT_OPTIONS if '--host-root' not in args else []
        self.argv = [*wrapper, CGSCOPE, *interval, '-o', output, *root, *args]
        self.may_warn = may_warn
        self.lines = []
        self.errors = b''
        self.news = threading.Condition()
        # Ended by a signal to us or by meson's timeout, we take it along.
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)
        self.pid = self.process.pid
        self.readers = [threading.Thread(target=self.read_lines, daemon=True),
                        threading.Thread(target=self.read_errors, daemon=True)]
        for reader in self.readers:
            reader.start()

    def read_lines(self):
        with self.process.stdout as stream:
            for line in stream:
                with self.news:
                    self.lines.append(line)
                    self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def read_errors(self):
        with self.process.stderr as stream:
            for line in stream:
                self.errors += line

    def __enter__(self):
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.kill()
        else:
            self.end()

    def wait_ready(self, seconds=30):
        """Until the first interval is out: attached, and counting."""
        self.wait_for(is_interval, seconds, 'first interval')

    def wait_for(self, wanted, seconds, what):
        """The first line, from here on, for which @wanted(line) is true."""
        deadline = time.monotonic() + seconds
        with self.news:
            at = 0
            while True:
                while at < len(self.lines):
                    at += 1
                    if wanted(self.lines[at - 1]):
                        return self.lines[at - 1]
                left = deadline - time.monotonic()
                ended = self.process.poll() is not None
                if left <= 0 or ended and not self.readers[0].is_alive():
                    raise AssertionError(f'{what}: not seen '
                                         + (f'before it ended ({self.process.returncode})' if ended
                                            else f'within {seconds} s') + f': {self.describe()}')
                self.news.wait(min(left, 0.1))

    def wait_record(self, wanted, seconds=10, what='record', after=0):
        """The first JSON record @wanted, of those past line @after."""
        skipped = itertools.count()

        def check(line):
            return next(skipped) >= after and wanted(json.loads(line))
        return json.loads(self.wait_for(check, seconds, what))

    def wait_intervals(self, n, seconds=30):
        """Until @n more intervals are out. What happened before is in the second at the latest."""
        skipped = len(self.lines)
        for _ in range(n):
            seen = itertools.count()
            self.wait_for(lambda line: next(seen) >= skipped and is_interval(line), seconds,  # noqa: B023
                          f'{n} intervals')
            skipped = next(seen)

    def end(self, how=signal.SIGTERM, seconds=20):
        """Ends it as a user would, and checks that it is content."""
        if how and self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f'does not end within {seconds} s: {self.describe()}') from None
        for reader in self.readers:
            reader.join(5)
        if self.process.returncode != 0:
            raise AssertionError(f'exit {self.process.returncode}: {self.describe()}')
        if self.warnings and not self.may_warn:
            raise AssertionError(f'unexpected messages: {self.describe()}')

    @property
    def warnings(self):
        """What it said but that something was lost, which the records say as well."""
        return [line for line in self.errors.splitlines() if not LOSS.match(line)]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def describe(self):
        return (f'{" ".join(self.argv)}\n  stderr: {self.errors.decode("utf-8", "replace")}\n'
                f'  {len(self.lines)} lines, the last: {b"".join(self.lines[-2:])[:800]!r}')

    @property
    def records(self):
        return [parse(line) for line in list(self.lines)]

    @property
    def text(self):
        return [line.decode('utf-8').rstrip('\n') for line in list(self.lines)]


def monitor_once(*args, **kwargs):
    """Runs to its end by itself (-n): its records."""
    monitor = Monitor(*args, **kwargs)
    monitor.end(how=None, seconds=60)
    return monitor.records


def cgscope(*args, wrapper=(), timeout=30, **kwargs):
    """Runs to its end, whatever that is: (exit status, stdout, stderr)."""
    result = subprocess.run([*wrapper, CGSCOPE, *args], stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=timeout, check=False, **kwargs)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def asan_environ(option):
    return dict(os.environ, ASAN_OPTIONS=os.environ.get('ASAN_OPTIONS', '') + ':' + option)


def traced_environ():
    """For what runs under strace: the leak sanitizer of a build that has it cannot."""
    return asan_environ('detect_leaks=0')


def weighed_environ():
    """For what is weighed: a build with the address sanitizer holds back 256 MiB of what was freed."""
    return asan_environ('quarantine_size_mb=8')


# --- records ---

def parse(line):
    if len(line) > LINE_MAX:
        raise AssertionError(f'a line of {len(line)} bytes: {line[:200]!r}')
    if not line.endswith(b'\n'):
        raise AssertionError(f'a line without its end: {line[-200:]!r}')
    return json.loads(line.decode('utf-8'))  # strict: raises on invalid UTF-8


def is_interval(line):
    """Whether @line of either format is the one that an interval has once."""
    return line.startswith(b'# ') or line[:1] == b'{' and json.loads(line)['record'] == 'interval'


def intervals(records):
    return [r for r in records if r['record'] == 'interval']


def containers(records, **wanted):
    """Container records; container_name='web1' means record['container']['name'] == 'web1'."""
    return [r for r in records if r['record'] == 'container'
            and all(value(r, *key.split('_')) == v for key, v in wanted.items())]


def value(record, *keys):
    """record[k1][k2]…, or None where a key is absent."""
    for key in keys:
        if not isinstance(record, dict) or key not in record:
            return None
        record = record[key]
    return record


def rows(records, call=None, comm=None, pid=None):
    """The rows of container records in any --by: dicts with the row's keys, and its process's."""
    for record in records:
        for owner in record.get('processes', [record]):
            inner = owner.get('threads', [owner])
            for one in inner:
                for row in one.get('syscalls', []):
                    full = dict(row, comm=owner.get('comm'), pid=owner.get('pid'),
                                vpid=owner.get('vpid'), tid=one.get('tid'),
                                thread_comm=one.get('comm'), record=record)
                    if ((call is None or row['name'] == call)
                            and (comm is None or full['comm'] == comm)
                            and (pid is None or full['pid'] == pid)):
                        yield full


def total(records, call, key='count', **wanted):
    return sum(row.get(key, 0) for row in rows(records, call, **wanted))


def lost(records):
    return sum(r['lost']['calls'] for r in intervals(records))


# --- workloads ---

def load(*words, cgroup=None):
    """The command line of a workload, in @cgroup if given."""
    return [LOAD, *(cgroup.join_words() if cgroup else []), *map(os.fsencode, words)]


def run_load(*words, cgroup=None, timeout=120):
    subprocess.run(load(*words, cgroup=cgroup), check=True, timeout=timeout,
                   stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def running_load(*words, cgroup=None):
    """A workload that is killed at the end, if it lives until then."""
    process = subprocess.Popen(load(*words, cgroup=cgroup), stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.stdin.close()
        process.wait()


class Cgroup:
    """A cgroup of our own, of one path in each hierarchy that cgscope may choose."""

    USED = ('memory', 'pids')

    def __init__(self, path=None):
        self.path = os.fsencode(path or '/' + unique('e2e'))
        tops = [os.fsencode(mount) for mount, kind in lab.cgroup_mounts().items()
                if kind == 'cgroup2' or set(os.path.basename(mount).split(',')) & set(self.USED)]
        self.directories = [top + (self.path if self.path != b'/' else b'') for top in tops]
        self.made = []

    def __enter__(self):
        for directory in self.directories:
            self.make(directory)
        return self

    def make(self, directory):
        if not os.path.isdir(directory):
            self.make(os.path.dirname(directory))
            os.mkdir(directory)
            self.made.append(directory)

    def __exit__(self, *_):
        for directory in reversed(self.made):
            if not lab.wait_until(lambda d=directory: self.removed(d), 10):
                raise AssertionError(f'cgroup {directory!r} cannot be removed')
        self.made = []

    @staticmethod
    def removed(directory):
        with contextlib.suppress(FileNotFoundError, OSError):
            os.rmdir(directory)
        return not os.path.isdir(directory)

    def join_words(self):
        return [b'join=' + directory for directory in self.directories]

    @property
    def name(self):
        return os.fsdecode(self.path)

    def of(self, records):
        """The container records about exactly this cgroup."""
        return [r for r in records if r['record'] == 'container'
                and value(r, 'cgroup', 'path') == self.name]


# --- containers and pods ---

class Container:
    """A Docker container that runs `load` with @words."""

    def __init__(self, info, *words, name=None, options=(), image=IMAGE):
        self.info = info
        self.name = name or unique('c')
        self.words = words
        self.options = options
        self.image = image
        self.id = None

    def __enter__(self):
        self.id = lab.docker(self.info, 'run', '-d', '--name', self.name, '--label', lab.LABEL,
                             '--network', 'none', *self.options, self.image, 'load',
                             *self.words).strip()
        return self

    def __exit__(self, *_):
        lab.docker(self.info, 'rm', '-f', self.id, check=False)

    def exec_load(self, *words):
        lab.docker(self.info, 'exec', self.id, 'load', *words)

    def inspect(self, template):
        return lab.docker(self.info, 'inspect', '-f', template, self.id).strip()

    @property
    def pid(self):
        return int(self.inspect('{{.State.Pid}}'))

    def of(self, records):
        return containers(records, container_id=self.id)


def run_container(info, *words, name=None):
    """A container that is gone when this returns: its name."""
    name = name or unique('quick')
    lab.docker(info, 'run', '--rm', '--name', name, '--label', lab.LABEL, '--network', 'none',
               IMAGE, 'load', *words)
    return name


class Pod:
    """A pod as a kubelet makes it: a sandbox, and a container that runs `load` with @words."""

    def __init__(self, info, *words, name=None, container='app'):
        import cri
        self.info = info
        self.cri = cri.Cri(info['containerd_socket'])
        self.words = words
        self.uid = str(uuid.uuid4())
        self.name = name or unique('web')
        self.namespace = lab.NAMESPACE_PREFIX + 'shop'
        self.container = container
        self.parent = f'/kubepods/burstable/pod{self.uid}'
        self.log = f'{lab.PODS_LOG}/{self.namespace}_{self.name}_{self.uid}'
        self.sandbox_id = self.id = None
        self.node = {'namespace_options': {'network': cri.NAMESPACE_NODE}}

    def sandbox_config(self):
        labels = {'io.kubernetes.pod.name': self.name, 'io.kubernetes.pod.uid': self.uid,
                  'io.kubernetes.pod.namespace': self.namespace}
        return {'metadata': {'name': self.name, 'uid': self.uid, 'namespace': self.namespace},
                'log_directory': self.log, 'labels': labels,
                'linux': {'cgroup_parent': self.parent, 'security_context': self.node}}

    def container_config(self, name, words):
        labels = {'io.kubernetes.container.name': name}
        labels.update(self.sandbox_config()['labels'])
        return {'metadata': {'name': name}, 'image': {'image': 'docker.io/library/' + IMAGE},
                'command': ['load', *words], 'labels': labels, 'log_path': f'{name}/0.log',
                'linux': {'security_context': self.node}}

    def __enter__(self):
        config = self.sandbox_config()
        try:
            self.sandbox_id = self.cri.call('RunPodSandbox', config=config)['pod_sandbox_id']
            self.id = self.add_container(self.container, self.words)
        except BaseException:
            self.__exit__()
            raise
        return self

    def add_container(self, name, words):
        one = self.cri.call('CreateContainer', pod_sandbox_id=self.sandbox_id,
                            config=self.container_config(name, words),
                            sandbox_config=self.sandbox_config())['container_id']
        self.cri.call('StartContainer', container_id=one)
        return one

    def __exit__(self, *_):
        if self.sandbox_id:
            self.cri.call('StopPodSandbox', pod_sandbox_id=self.sandbox_id)
            self.cri.call('RemovePodSandbox', pod_sandbox_id=self.sandbox_id)
        self.cri.close()
        shutil.rmtree(self.log, ignore_errors=True)
        # The kubelet removes the pod's own cgroup; here that is us.
        for mount in lab.cgroup_mounts():
            lab.remove_cgroup(mount + self.parent)

    def exec_load(self, *words):
        answer = self.cri.call('ExecSync', container_id=self.id, cmd=['load', *words], timeout=30)
        if answer.get('exit_code', 0) != 0:
            raise AssertionError(f'load {words} in pod {self.name}: {answer}')

    def of(self, records):
        return containers(records, container_id=self.id)


@contextlib.contextmanager
def scratch_directory():
    path = tempfile.mkdtemp(prefix='cgscope-e2e-')
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


# --- the end ---

class Result(unittest.TextTestResult):
    """One line a test, with its time."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def getDescription(self, test):
        return test.id().removeprefix('__main__.')

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln(f'ok {time.monotonic() - self.began:.1f} s')


def main():
    # A time-out or Ctrl-C unwinds, so that every `with` above takes its things down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not CGSCOPE or not LOAD:
        print('CGSCOPE and E2E_LOAD must name the monitor and the load program', file=sys.stderr)
        sys.exit(2)
    runner = unittest.TextTestRunner(resultclass=Result, verbosity=2)
    program = unittest.main(module='__main__', exit=False, testRunner=runner)
    result = program.result
    for test, reason in result.skipped:
        print(f'SKIP: {test}: {reason}', file=sys.stderr)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.skipped or not result.testsRun else 0)
