# SPDX-License-Identifier: BSD-2-Clause
"""A build for arm64: Debian's cross compiler, and arm64 packages of the machine's own release
unpacked into a directory. Nothing is installed."""

import os
import shutil
import subprocess
import sys
import tempfile

from build import Build
from debian import Suite, Unavailable

TRIPLET = "aarch64-linux-gnu"
COMPILER = TRIPLET + "-gcc"

DEVELOPMENT = [
    "libbpf-dev",
    "libcap-dev",
    "libcmocka-dev",
    "libelf-dev",
    "libjansson-dev",
    "libmicrohttpd-dev",
]
# The kernel's types come from a release that has the package, whatever this machine runs.
TYPES_SUITE = "trixie"
TYPES_PACKAGE = "linux-bpf-dev"

CROSS_FILE = """[binaries]
c = ['{compiler}', '--sysroot={sysroot}']
ar = '{triplet}-ar'
strip = '{triplet}-strip'
pkgconfig = 'pkg-config'

[properties]
sys_root = '{sysroot}'
pkg_config_libdir = ['{sysroot}/usr/lib/{triplet}/pkgconfig', '{sysroot}/usr/share/pkgconfig']

[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
"""


def codename():
    with open("/etc/os-release", encoding="utf-8") as file:
        fields = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
    return fields.get("VERSION_CODENAME", "sid").strip('"')


def closure(suite, packages):
    """@packages with all that they need, without what only their scripts would run."""
    names = []
    more = packages
    while more:
        names += more
        more = sorted(
            {
                name
                for known in more
                for name in suite.depends(known)
                if name.startswith(("lib", "linux-libc-", "nettle-", "zlib"))
            }
            - set(names)
        )
    return names


def fetch(release, destination):
    """Leaves @destination/root and @destination/vmlinux.h."""
    root = os.path.join(destination, "root")
    with tempfile.TemporaryDirectory(prefix="cgscope-vm-") as scratch:
        with Suite(release, "arm64", os.path.join(scratch, "own")) as suite:
            suite.unpack(closure(suite, DEVELOPMENT) + ["busybox-static"], root)
        with Suite(TYPES_SUITE, "arm64", os.path.join(scratch, "types")) as suite:
            types = os.path.join(scratch, "tree")
            suite.unpack([TYPES_PACKAGE], types)
        header = os.path.join(types, "usr/include", TRIPLET, "linux/bpf/vmlinux.h")
        shutil.copyfile(header, os.path.join(destination, "vmlinux.h"))
    if not os.path.lexists(os.path.join(root, "lib")):
        os.symlink("usr/lib", os.path.join(root, "lib"))


def quietly(*command, environment=None):
    """Runs @command, whose output is shown only if it fails, as a failure of the build."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    if done.returncode != 0:
        sys.stdout.write(done.stdout.decode(errors="replace"))
        sys.exit("failed: " + " ".join(command))


def configure(meson, source, directory, files):
    """Sets the build directory up, anew if it is of another sysroot."""
    text = CROSS_FILE.format(
        compiler=COMPILER, sysroot=os.path.join(files, "root"), triplet=TRIPLET
    )
    cross_file = directory + ".ini"
    if os.path.exists(os.path.join(directory, "build.ninja")):
        with open(cross_file, encoding="utf-8") as file:
            if file.read() == text:
                return
    shutil.rmtree(directory, ignore_errors=True)
    with open(cross_file, "w", encoding="utf-8") as file:
        file.write(text)
    types = "-Dvmlinux_h=" + os.path.join(files, "vmlinux.h")
    # What the native build's environment asks of its compiler is not for this one.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("CC", "CFLAGS", "LDFLAGS")
    }
    quietly(
        *meson, "setup", "--cross-file", cross_file, types, directory, source,
        environment=environment,
    )


def build(cache, native, meson, source):
    """The Build for arm64, below the build directory @native."""
    for program in (COMPILER, "pkg-config", "ninja"):
        if not shutil.which(program):
            raise Unavailable("no %s: install gcc-%s" % (program, TRIPLET))
    files = cache.get("arm64-" + codename(), lambda path: fetch(codename(), path))
    directory = os.path.join(native, "arm64")
    configure(meson, source, directory, files)
    compiler = [COMPILER, "--sysroot=" + os.path.join(files, "root")]
    busybox = os.path.join(files, "root/bin/busybox")
    if not os.path.exists(busybox):
        busybox = os.path.join(files, "root/usr/bin/busybox")
    result = Build(directory, compiler, busybox)
    quietly("ninja", "-C", directory, "build.ninja")  # or the targets may be those of old
    quietly("ninja", "-C", directory, *result.targets())
    return result
