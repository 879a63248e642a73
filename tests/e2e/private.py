# SPDX-License-Identifier: BSD-2-Clause
"""A mount namespace of the test's own, for runtimes that need no daemon.

What the test mounts there hides the machine's own state from the runtime and from cgscope, and goes
away with the test. Call enter() before harness is imported: that looks at the namespace it is in.
"""

import os
import shutil
import subprocess
import sys

MARK = 'E2E_PRIVATE'
PATH = os.environ.get('PATH', '') + ':/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin'


def enter():
    """Starts this program once more, in there. Without root it returns, and the test skips."""
    if os.environ.get(MARK) == str(os.getpid()) or os.geteuid() != 0:
        return
    os.environ[MARK] = str(os.getpid())
    sys.stdout.flush()
    os.execvp('unshare', ['unshare', '--mount', '--propagation', 'private', sys.executable,
                          *sys.argv])


def hide(*directories):
    """Mounts something empty over them."""
    if os.environ.get(MARK) != str(os.getpid()):
        raise RuntimeError('not in a mount namespace of our own')
    for directory in directories:
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'none', directory], check=True)


def lacking(needed):
    """Of {program or directory: Debian package}, what is not there, as a text."""
    return ', '.join(f'{name} (package {package})' for name, package in needed.items()
                     if not (os.path.isdir(name) or shutil.which(name, path=PATH)))


def write(path, text):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
