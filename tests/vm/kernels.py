# SPDX-License-Identifier: BSD-2-Clause
"""Debian's kernels, by the names that the tests have for them."""

import collections
import glob
import os
import shutil
import tempfile

from debian import Suite, Unavailable

Kernel = collections.namedtuple("Kernel", "suite arch release cpu")

# The emulated cmpxchg16b of qemu 7.2 takes old flags for its own, and an interrupt behind it brings
# the kernel down. Older kernels have it on every allocation, and do without it if they must; newer
# ones have it hardly anywhere, but BPF gets no memory without it.
PLAIN = "max,-cx16"

KERNELS = {
    "5.10": Kernel("bullseye", "amd64", "5.10.", PLAIN),
    "6.1": Kernel("bookworm", "amd64", "6.1.", PLAIN),
    "6.12": Kernel("trixie", "amd64", "6.12.", PLAIN),
    "newest": Kernel("sid", "amd64", "", "max"),
    "arm64": Kernel("bookworm", "arm64", "6.1.", "cortex-a72"),
}


def packages_with_image(suite, meta):
    """What @meta leads to: the image, and where that is only a shell, the package with the file."""
    names = []
    more = [meta]
    while more:
        names += more
        more = [
            name
            for known in more
            for name in suite.depends(known)
            if name.startswith(("linux-image-", "linux-binary-")) and name not in names
        ]
    return names[1:]


def fetch(kernel, destination):
    """Leaves @destination/vmlinuz."""
    with tempfile.TemporaryDirectory(prefix="cgscope-vm-") as scratch:
        with Suite(kernel.suite, kernel.arch, os.path.join(scratch, "apt")) as suite:
            packages = packages_with_image(suite, "linux-image-cloud-" + kernel.arch)
            tree = os.path.join(scratch, "tree")
            suite.unpack(packages, tree)
        found = glob.glob(tree + "/boot/vmlinuz-*") + glob.glob(tree + "/usr/lib/modules/*/vmlinuz")
        if not found:
            raise Unavailable("no kernel in %s of %s" % (" ".join(packages), kernel.suite))
        shutil.copyfile(found[0], os.path.join(destination, "vmlinuz"))


def get(cache, name):
    """The path of the kernel that is called @name."""
    kernel = KERNELS[name]
    directory = cache.get(
        "kernel-%s-%s" % (kernel.suite, kernel.arch), lambda path: fetch(kernel, path)
    )
    return os.path.join(directory, "vmlinuz")
