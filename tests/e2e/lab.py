#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A container lab: containerd with its CRI, dockerd, and one image, made from this machine's packages.

One lab serves all tests of a session (a run of meson, or one test started by hand). A keeper
process starts the daemons and takes everything down again when the last session has said
good-bye or has died, so that an interrupted run leaves nothing behind either. A Docker daemon that
runs already is used as it is; containerd is always the lab's own, since a kubelet would kill
pods that it does not know.

State lies where cgscope looks for it on real machines: /var/lib/docker (a file system mounted over it
for the time of the lab hides what may be there) and /run/containerd, or where k0s or k3s keep
theirs if that is in use.

Usage: lab.py start LOAD | stop | status     (for the session of the parent process)
"""

import contextlib
import fcntl
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time

DIR = '/run/cgscope-e2e'
INFO = DIR + '/lab.json'
UNDO = DIR + '/undo.json'
PROBLEMS = '/run/cgscope-e2e.problems'  # outside of DIR: it tells of taking that down
SESSIONS = DIR + '/sessions'
KEEPER_LOG = DIR + '/keeper.log'
MOUNT_SOURCE = 'cgscope-e2e'  # by this name the lab's mounts are found again

IMAGE = 'cgscope-e2e:1'
PAUSE_IMAGE = 'cgscope-e2e-pause:1'
LABEL = 'cgscope-e2e'
NAMESPACE_PREFIX = 'e2e-'  # of the pods' namespaces
PODS_LOG = '/var/log/pods'
CGROUP_ROOT = '/sys/fs/cgroup'
CGROUP_TOPS = ('docker', 'kubepods', 'k8s.io', 'moby')  # made by the daemons, and left there
START_TIMEOUT = 120
CAP_SYS_RESOURCE = 24

NEEDED = {  # program or file: Debian package
    'dockerd': 'docker.io',
    'docker': 'docker.io, or docker-cli where that is a package of its own',
    'containerd': 'containerd',
    'ctr': 'containerd',
    'runc': 'runc',
    '/bin/busybox': 'busybox-static',
}

CONTAINERD_STATES = ('/run/containerd', '/run/k0s/containerd', '/run/k3s/containerd')


class LabError(Exception):
    pass


class LabMissing(Exception):
    """The machine lacks what no test can make up for: a reason to skip."""


# --- what the machine has ---

def find(program):
    path = os.environ.get('PATH', '') + ':/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin'
    return shutil.which(program, path=path)


def missing():
    """What keeps a lab from being started here."""
    out = [] if os.geteuid() == 0 else ['root']
    out += [f'{program} (package {package})' for program, package in NEEDED.items()
            if not find(program)]
    try:
        __import__('grpc')
    except ImportError:
        out.append('the Python module grpc (package python3-grpcio)')
    if not cgroup_mounts():
        out.append(f'a cgroup file system below {CGROUP_ROOT}')
    for mount in cgroup_mounts():
        if os.stat(mount).st_ino != 1:
            out.append(f"the host's cgroups at {mount} (a container's part of them is there)")
        elif not os.access(mount, os.W_OK):
            out.append(f'a writable {mount}')
    return out


def mounts():
    """(mount point, type, source) of every mount, later ones on top of earlier ones."""
    with open('/proc/self/mounts', encoding='utf-8', errors='surrogateescape') as f:
        fields = [line.split(' ')[:3] for line in f]
    return [(point.replace('\\040', ' '), kind, source) for source, point, kind in fields]


def cgroup_mounts():
    """{mount point: 'cgroup' or 'cgroup2'}"""
    return {point: kind for point, kind, _ in mounts()
            if kind in ('cgroup', 'cgroup2') and (point + '/').startswith(CGROUP_ROOT + '/')}


def has_capability(number):
    with open('/proc/self/status', encoding='utf-8', errors='replace') as f:
        effective = next(line for line in f if line.startswith('CapEff:'))
    return bool(int(effective.split()[1], 16) >> number & 1)


def start_time(pid):
    """Tells a process from a later one with the same PID; None if it has ended."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as f:
            fields = f.read().rpartition(')')[2].split()
    except OSError:
        return None
    return None if fields[0] in 'ZX' else int(fields[19])


def tail(path, lines=20):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return ''.join(f.readlines()[-lines:])
    except OSError as e:
        return f'({e})\n'


def run(*argv, timeout=60, check=True, env=None, stdin=None):
    result = subprocess.run(argv, input=stdin, timeout=timeout, env=env, capture_output=True,
                            check=False)
    if check and result.returncode != 0:
        raise LabError(f'{" ".join(argv)}: exit {result.returncode}: '
                       + result.stderr.decode('utf-8', 'replace').strip())
    return result.stdout.decode('utf-8', 'replace')


def answers(socket_path):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        try:
            s.connect(socket_path)
        except OSError:
            return False
    return True


def wait_until(condition, seconds, step=0.05):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


# --- what tests call ---

def docker_environment(info):
    # The user's own context and credentials have no say here.
    return dict(os.environ, DOCKER_HOST=info['docker_host'], DOCKER_CONFIG=DIR + '/docker-config',
                PATH=os.environ.get('PATH', '') + ':/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin')


def docker(info, *args, timeout=60, check=True):
    return run('docker', *args, timeout=timeout, check=check, env=docker_environment(info))


def dockerd(info, directory, data_root, *options):
    """The command line of a daemon at info's socket, which touches none of the machine's networking."""
    return [find('dockerd'), '--config-file', directory + '/daemon.json', '-H', info['docker_host'],
            '--containerd', info['containerd_socket'], '--data-root', data_root,
            '--exec-root', directory + '/docker-exec', '--pidfile', directory + '/dockerd.pid',
            '--exec-opt', 'native.cgroupdriver=cgroupfs',
            '--bridge', 'none', '--iptables=false', '--ip6tables=false', *options]


def docker_answers(info):
    return bool(docker(info, 'version', '-f', '{{.Server.Version}}', check=False).strip())


def ctr(info, *args):
    return run(find('ctr'), '-a', info['containerd_socket'], '-n', 'k8s.io', *args)


def session():
    """The process whose life is the session's: the test runner if there is one, else this one."""
    pid = os.getppid() if os.environ.get('E2E_SESSION') == 'parent' else os.getpid()
    return f'{pid}.{start_time(pid)}'


def session_lives(name):
    pid, _, started = name.partition('.')
    return str(start_time(pid)) == started


def sessions():
    try:
        return [name for name in os.listdir(SESSIONS) if session_lives(name)]
    except FileNotFoundError:
        return []


def join_session():
    os.makedirs(SESSIONS, mode=0o700, exist_ok=True)
    with open(f'{SESSIONS}/{session()}', 'w', encoding='ascii'):
        pass


@contextlib.contextmanager
def locked():
    """One starts or ends a lab at a time. The lock is on a directory: no file to leave behind."""
    fd = os.open('/run', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def read_info():
    """The facts of the running lab, or None."""
    try:
        with open(INFO, encoding='utf-8') as f:
            info = json.load(f)
    except (OSError, ValueError):
        return None
    return info if start_time(info['keeper_pid']) == info['keeper_start'] else None


def start(load):
    """Joins the lab, starting it if need be. Returns its facts."""
    lacks = missing()
    if lacks:
        raise LabMissing('the container lab needs ' + ', '.join(lacks))
    with locked():
        info = read_info()
        if info:
            join_session()
        else:
            info = start_keeper(load)
    return info


def start_keeper(load):
    if os.path.isdir(DIR):  # of a keeper that was killed outright
        Keeper.from_remains().take_down()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(PROBLEMS)
    os.makedirs(DIR, mode=0o711)
    run('mount', '-t', 'tmpfs', '-o', 'mode=711', MOUNT_SOURCE, DIR)
    join_session()  # before the keeper looks for one
    with open(KEEPER_LOG, 'wb') as log:
        child = subprocess.Popen([sys.executable, os.path.abspath(__file__), 'keep', load],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True, cwd='/')
    wait_until(lambda: read_info() or child.poll() is not None, START_TIMEOUT)
    info = read_info()
    if not info:
        text = tail(PROBLEMS, 100) if os.path.exists(PROBLEMS) else tail(KEEPER_LOG)
        child.terminate()
        child.wait(60)
        raise LabError('the container lab does not start:\n' + text)
    child.returncode = 0  # it outlives this process on purpose
    return info


def stop():
    """Leaves the lab. The last one to leave waits until it is gone, and hears what remained."""
    info = read_info()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f'{SESSIONS}/{session()}')
    if not info or sessions():
        return
    pid, started = info['keeper_pid'], info['keeper_start']
    if not wait_until(lambda: start_time(pid) != started or sessions(), 120):
        raise LabError(f'the lab does not come down (keeper {pid}):\n' + tail(KEEPER_LOG))
    if os.path.exists(PROBLEMS):
        text = tail(PROBLEMS, 100)
        os.unlink(PROBLEMS)
        raise LabError('the lab did not come down cleanly:\n' + text)


# --- the keeper ---

class Keeper:
    """Starts everything, and writes down beforehand what will have to be undone."""

    def __init__(self):
        self.undo = {'directories': [], 'mounts': [DIR], 'daemons': [], 'cgroups': []}
        self.info = {'docker_own': False, 'docker_host': None, 'containerd_socket': None,
                     'containerd_state': None}

    @classmethod
    def from_remains(cls):
        keeper = cls()
        with contextlib.suppress(OSError, ValueError), open(UNDO, encoding='utf-8') as f:
            saved = json.load(f)
            keeper.undo, keeper.info = saved['undo'], saved['info']
        return keeper

    def remember(self, kind, value):
        self.undo[kind].append(value)
        self.save()

    def save(self):
        with open(UNDO + '.new', 'w', encoding='utf-8') as f:
            json.dump({'undo': self.undo, 'info': self.info}, f)
        os.rename(UNDO + '.new', UNDO)

    def make_directory(self, path):
        if not os.path.isdir(path):
            self.make_directory(os.path.dirname(path))
            self.remember('directories', path)
            os.mkdir(path, 0o755)

    def mount_over(self, path):
        self.make_directory(path)
        self.remember('mounts', path)
        run('mount', '-t', 'tmpfs', '-o', 'mode=711', MOUNT_SOURCE, path)

    def spawn(self, name, argv, ready):
        with open(f'{DIR}/{name}.log', 'wb') as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=True, cwd='/',
                                     env=docker_environment(self.info | {'docker_host': ''}))
        self.remember('daemons', [child.pid, start_time(child.pid)])
        if not wait_until(lambda: ready() or child.poll() is not None, 60) or child.poll():
            raise LabError(f'{name} {"ended" if child.poll() else "is not ready after 60 s"}:\n'
                           + tail(f'{DIR}/{name}.log'))

    def bring_up(self, load):
        for mount in cgroup_mounts():
            for name in CGROUP_TOPS:
                if not os.path.isdir(f'{mount}/{name}'):
                    self.remember('cgroups', f'{mount}/{name}')
        os.mkdir(DIR + '/docker-config', 0o700)
        self.start_containerd()
        self.start_docker()
        self.make_images(load)
        self.make_directory(PODS_LOG)
        self.info.update(keeper_pid=os.getpid(), keeper_start=start_time(os.getpid()))
        with open(INFO + '.new', 'w', encoding='utf-8') as f:
            json.dump(self.info, f)
        os.rename(INFO + '.new', INFO)

    def start_containerd(self):
        # Every shim on the machine has its socket in /run/containerd/s, so that is shared.
        state = next((s for s in CONTAINERD_STATES if entries(s) <= {'s'}), None)
        if not state:
            raise LabError('there is a containerd in each of ' + ', '.join(CONTAINERD_STATES))
        self.make_directory(state)
        self.make_directory('/run/containerd/s')
        self.info['containerd_state'] = state
        self.info['containerd_socket'] = socket_path = state + '/containerd.sock'
        self.save()
        with open(DIR + '/containerd.toml', 'w', encoding='ascii') as f:
            f.write(f'''version = 2
root = "{DIR}/containerd"
state = "{state}"
[grpc]
  address = "{socket_path}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/{PAUSE_IMAGE}"
  restrict_oom_score_adj = {'false' if has_capability(CAP_SYS_RESOURCE) else 'true'}
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{DIR}/no-cni"
    conf_dir = "{DIR}/no-cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "{DIR}/containerd/opt"
''')
        self.spawn('containerd', [find('containerd'), '-c', DIR + '/containerd.toml'],
                   lambda: answers(socket_path))

    def start_docker(self):
        running = next((s for s in ('/run/docker.sock', '/var/run/docker.sock') if answers(s)), None)
        self.info['docker_own'] = not running
        if running:
            self.info['docker_host'] = 'unix://' + running
            self.save()
        else:
            self.start_own_docker()
        self.info['docker_cgroup_driver'] = docker(self.info, 'info', '-f',
                                                   '{{.CgroupDriver}}').strip()

    def start_own_docker(self):
        self.mount_over('/var/lib/docker')
        self.info['docker_host'] = f'unix://{DIR}/docker.sock'
        self.save()
        with open(DIR + '/daemon.json', 'w', encoding='ascii') as f:
            f.write('{}\n')
        self.spawn('dockerd', dockerd(self.info, DIR, '/var/lib/docker', '--storage-driver', 'vfs'),
                   lambda: docker_answers(self.info))

    def make_images(self, load):
        tar, saved = DIR + '/image.tar', DIR + '/images.tar'
        write_image(tar, load)
        for image, command in (IMAGE, '["/bin/sleep","3600"]'), (PAUSE_IMAGE, '["/bin/load","tick=200"]'):
            docker(self.info, 'import', '--change', 'CMD ' + command, tar, image)
        docker(self.info, 'save', '-o', saved, IMAGE, PAUSE_IMAGE)
        ctr(self.info, 'images', 'import', '--snapshotter', 'native', saved)
        os.unlink(saved)
        os.unlink(tar)

    # Taking down never stops half-way: what fails is told at the end, and fails the session.

    def take_down(self):
        """Returns what could not be undone."""
        problems = []

        def attempt(what, *args):
            try:
                what(*args)
            except (OSError, LabError, subprocess.SubprocessError) as e:
                problems.append(f'{what.__name__}{args}: {e}')

        attempt(self.remove_pods)
        attempt(self.remove_docker_things)
        for daemon in reversed(self.undo['daemons']):
            attempt(end_process, *daemon)
        attempt(self.kill_shims)
        attempt(self.remove_containerd_state)
        for path in glob.glob(f'{PODS_LOG}/{NAMESPACE_PREFIX}*'):
            attempt(shutil.rmtree, path)
        for path in self.undo['cgroups']:
            remove_cgroup(path)
        for path in reversed(self.undo['mounts']):
            attempt(unmount_below, path)
        for path in reversed(self.undo['directories']):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(DIR)
        # What is not empty belongs to somebody who came after us.
        problems += [f'still there: {path}' for path in self.undo['directories'] + [DIR]
                     if os.path.isdir(path) and not os.listdir(path)]
        problems += [f'still there: {path}' for path in self.undo['cgroups']
                     if os.path.isdir(path) and not any(e.is_dir() for e in os.scandir(path))]
        problems += [f'still mounted: {point}' for point, _, source in mounts()
                     if source == MOUNT_SOURCE]
        return problems

    def remove_pods(self):
        if not self.info['containerd_socket'] or not answers(self.info['containerd_socket']):
            return
        for task in ctr(self.info, 'tasks', 'ls', '-q').split():
            run(find('ctr'), '-a', self.info['containerd_socket'], '-n', 'k8s.io', 'tasks', 'rm',
                '-f', task, check=False)

    def remove_docker_things(self):
        host = self.info['docker_host']
        if not host or not answers(host[len('unix://'):]):
            return
        chosen = [] if self.info['docker_own'] else ['--filter', 'label=' + LABEL]

        def removed():
            # One that a dying test is removing as well may be refused at first.
            ids = docker(self.info, 'ps', '-aq', *chosen).split()
            if ids:
                docker(self.info, 'rm', '-f', *ids, check=False)
            return not ids

        if not wait_until(removed, 30):
            raise LabError('containers that cannot be removed')
        if not self.info['docker_own']:
            docker(self.info, 'rmi', '-f', IMAGE, PAUSE_IMAGE, check=False)

    def kill_shims(self):
        """Shims outlive their daemon by design."""
        for pid in shims_of(self.info['containerd_state'], self.info['containerd_socket']):
            with contextlib.suppress(OSError):
                with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
                    containers = f.read().split()  # PID 1 of each takes the rest of it along
                for one in containers + [pid]:
                    os.kill(int(one), signal.SIGKILL)

    def remove_containerd_state(self):
        state = self.info['containerd_state']
        if state:
            unmount_below(state)
            for name in entries(state) - {'s'}:
                path = f'{state}/{name}'
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def shims_of(state, socket_path):
    """The PIDs of the shims of the containerd with this state and socket, and of no other.

    Each names its daemon's socket; but in containers there are daemons with a socket of the same name,
    in mounts of their own. Its working directory is the bundle that it was started for.
    """
    found = []
    if not state or not socket_path:
        return found
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                argv = f.read().split(b'\0')
            if os.path.basename(argv[0]).startswith(b'containerd-shim') \
                    and (b'-address', socket_path.encode()) in zip(argv, argv[1:]) \
                    and os.readlink(f'/proc/{pid}/ns/mnt') == os.readlink('/proc/self/ns/mnt') \
                    and os.readlink(f'/proc/{pid}/cwd').startswith(state + '/'):
                found.append(int(pid))
    return found


def entries(path):
    try:
        return set(os.listdir(path))
    except FileNotFoundError:
        return set()


def end_process(pid, started, seconds=20):
    def ended():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return start_time(pid) != started

    for number in signal.SIGTERM, signal.SIGKILL:
        if ended():
            return
        os.kill(pid, number)
        if wait_until(ended, seconds):
            return
    raise LabError(f'process {pid} does not end')


def remove_cgroup(path):
    """Removes a cgroup that only held the lab's, and the empty ones below it."""
    for directory, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(directory)


def unmount_below(top):
    points = [p for p, _, _ in mounts() if p == top or p.startswith(top + '/')]
    for point in reversed(points):
        run('umount', '-l', point)


def write_image(path, load):
    """A root file system of busybox and the load program, as a tar."""
    with tarfile.open(path, 'w') as tar:
        for name in 'bin', 'etc', 'proc', 'sys', 'dev', 'tmp':
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(directory)
        for source, name in (find('/bin/busybox'), 'bin/busybox'), (load, 'bin/load'):
            with open(source, 'rb') as f:
                info = tar.gettarinfo(arcname=name, fileobj=f)
                info.uid = info.gid = 0
                info.mode = 0o755
                tar.addfile(info, f)
        for name in 'sh', 'sleep', 'cat', 'echo', 'true', 'ls', 'dd', 'mkdir', 'rmdir':
            link = tarfile.TarInfo('bin/' + name)
            link.type, link.linkname = tarfile.SYMTYPE, 'busybox'
            tar.addfile(link)


def keep(load):
    keeper = Keeper()
    asked_to_end = []
    for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
        signal.signal(number, lambda *_: asked_to_end.append(True))
    problems = []
    try:
        keeper.bring_up(load)
    except (OSError, LabError, subprocess.SubprocessError) as e:
        problems.append(str(e))
    if problems:  # the starter holds the lock
        return write_problems(problems + keeper.take_down())
    while True:
        wait_until(lambda: asked_to_end or not sessions(), float('inf'), step=0.1)
        with locked():
            if asked_to_end or not sessions():  # else somebody has just joined
                os.unlink(INFO)
                return write_problems(keeper.take_down())


def write_problems(problems):
    if problems:
        with open(PROBLEMS, 'w', encoding='utf-8') as f:
            f.write('\n'.join(problems) + '\n')
    return 1 if problems else 0


def main(argv):
    command = argv[1] if len(argv) > 1 else ''
    if command == 'keep':
        return keep(argv[2])
    os.environ['E2E_SESSION'] = 'parent'
    try:
        if command == 'start':
            print(json.dumps(start(os.path.abspath(argv[2])), indent=1))
        elif command == 'stop':
            stop()
        elif command == 'status':
            print(json.dumps({'lab': read_info(), 'sessions': sessions()}, indent=1))
        else:
            print(__doc__, file=sys.stderr)
            return 2
    except LabMissing as e:
        print(f'SKIP: {e}', file=sys.stderr)
        return 77
    except LabError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
