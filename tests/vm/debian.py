# SPDX-License-Identifier: BSD-2-Clause
"""Packages of any Debian suite and architecture, without touching the machine's own.

A private apt configuration names the mirror that the machine's own sources name, with another
suite, and keeps its lists in a directory of ours. Nothing is installed: packages are unpacked.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading

PROGRESS_S = 10


class Unavailable(Exception):
    """What the machine or its mirror cannot give; says what."""


def say(*words):
    print("vm:", *words, file=sys.stderr, flush=True)


def run(*command, **options):
    """The standard output of @command; Unavailable with its last words if it fails."""
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            **options,
        )
    except OSError as error:
        raise Unavailable("%s: %s" % (command[0], error.strerror)) from error
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable("%s: %s" % (command[0], words[-1] if words else "failed"))
    return done.stdout


def mirror():
    """(URI, keyring) of the machine's Debian mirror; the keyring may be None."""
    fields = "$(REPO_URI)\t$(SIGNED_BY)"
    known = run("apt-get", "indextargets", "--format", fields, "Origin: Debian", "Label: Debian")
    # Before the first "apt-get update" apt does not know whose its sources are.
    unknown = run("apt-get", "indextargets", "--format", fields, "Created-By: Packages")
    lines = known.splitlines() + [
        line for line in unknown.splitlines() if re.search(r"/debian/?\t", line)
    ]
    if not lines:
        raise Unavailable("no Debian mirror in the machine's apt sources")
    uri, _, keyring = lines[0].partition("\t")
    if not keyring.startswith("/"):  # not given, and old versions of apt leave the field's name
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    return uri, keyring if os.path.exists(keyring) else None


def megabytes(directory):
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):  # gone, or renamed as complete
                total += os.stat(os.path.join(path, name)).st_size
    return total / 1e6


@contextlib.contextmanager
def progress(text, directory):
    """Says @text, and from time to time how much there is in @directory."""
    done = threading.Event()

    def watch():
        while not done.wait(PROGRESS_S):
            say("%s: %.0f MB" % (text, megabytes(directory)))

    say(text)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Suite:
    """The packages of one suite and architecture; @directory is scratch space."""

    def __init__(self, suite, arch, directory):
        self.directory = os.path.abspath(directory)
        uri, keyring = mirror()
        shutil.rmtree(self.directory, ignore_errors=True)
        for name in ("lists/partial", "archives/partial", "debs"):
            os.makedirs(os.path.join(self.directory, name))
        with open(self._path("sources.list"), "w", encoding="utf-8") as file:
            option = "[signed-by=%s] " % keyring if keyring else ""
            file.write("deb %s%s %s main\n" % (option, uri, suite))
        with open(self._path("apt.conf"), "w", encoding="utf-8") as file:
            file.write(
                'Dir::Etc::sourcelist "%s";\n' % self._path("sources.list")
                + 'Dir::Etc::sourceparts "-";\n'
                + 'Dir::Etc::preferencesparts "-";\n'
                + 'Dir::State::lists "%s";\n' % self._path("lists")
                + 'Dir::State::status "/dev/null";\n'
                + 'Dir::Cache "%s";\n' % self.directory
                + 'Dir::Cache::archives "%s";\n' % self._path("archives")
                + 'APT::Architecture "%s";\n' % arch
                + "#clear APT::Architectures;\n"
                + 'APT::Architectures { "%s"; };\n' % arch
                + 'APT::Sandbox::User "root";\n'  # whose directory may be closed to _apt
                + 'Acquire::Languages "none";\n'
                + 'Acquire::Retries "3";\n'
                # A mirror may hold a release as of some day: still Debian's, by its signature.
                + 'Acquire::Check-Valid-Until "false";\n'
            )
        with progress("reading what Debian's %s has for %s" % (suite, arch), self.directory):
            self._apt("apt-get", "-q", "update", "-o", "APT::Update::Error-Mode=any")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _apt(self, *command, **options):
        environment = dict(os.environ, APT_CONFIG=self._path("apt.conf"), LC_ALL="C")
        return run(*command, env=environment, **options)

    def depends(self, package):
        """The names that @package depends on."""
        output = self._apt("apt-cache", "depends", "--important", package)
        return re.findall(r"^ *\|?(?:Pre)?Depends: ([^<\s]+)", output, re.MULTILINE)

    def unpack(self, packages, destination):
        """Downloads @packages and unpacks them into @destination."""
        debs = self._path("debs")
        with progress("fetching " + " ".join(packages), debs):
            self._apt("apt-get", "-q", "download", *packages, cwd=debs)
        os.makedirs(destination, exist_ok=True)
        for name in sorted(os.listdir(debs)):
            deb = os.path.join(debs, name)
            run("dpkg-deb", "-x", deb, destination)
            os.unlink(deb)
