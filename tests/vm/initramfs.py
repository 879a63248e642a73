# SPDX-License-Identifier: BSD-2-Clause
"""A root file system for one boot: programs with what they are linked with, in cpio's newc format."""

import gzip
import os
import re
import stat

from debian import Unavailable, run

CPIO_TRAILER = "TRAILER!!!"


class Initramfs:
    """Collects files; @compiler (a command as a list) knows where the shared libraries are."""

    def __init__(self, compiler):
        self.compiler = compiler
        self.entries = {}  # path: (mode, content, device)
        self.libraries = set()

    def add_directory(self, path):
        path = path.rstrip("/")
        if path and path not in self.entries:
            self.add_directory(os.path.dirname(path))
            self.entries[path] = (stat.S_IFDIR | 0o755, b"", (0, 0))

    def _add(self, path, mode, content, device=(0, 0)):
        self.add_directory(os.path.dirname(path))
        self.entries[path] = (mode, content, device)

    def add_device(self, path, major, minor):
        self._add(path, stat.S_IFCHR | 0o600, b"", (major, minor))

    def add_link(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def add_text(self, path, text, mode=0o644):
        self._add(path, stat.S_IFREG | mode, text.encode())

    def add_file(self, path, source):
        """Copies @source to @path, and the shared libraries that it wants with it."""
        with open(source, "rb") as file:
            content = file.read()
        mode = stat.S_IMODE(os.stat(source).st_mode) | 0o444
        self._add(path, stat.S_IFREG | mode, content)
        if content[:4] == b"\x7fELF":
            self._add_libraries(source)

    def _find(self, library):
        path = run(*self.compiler, "-print-file-name=" + library).strip()
        if not os.path.isabs(path):
            raise Unavailable("%s: not found by %s" % (library, self.compiler[0]))
        return path

    def _add_libraries(self, source):
        headers = run("readelf", "-W", "-l", "-d", source)
        interpreter = re.search(r"program interpreter: (\S+)\]", headers)
        if interpreter and interpreter.group(1) not in self.entries:
            path = interpreter.group(1)
            self.add_file(path, self._find(os.path.basename(path)))
        for library in re.findall(r"\(NEEDED\).*\[([^/\]]+)\]", headers):
            if library not in self.libraries:
                self.libraries.add(library)
                self.add_file("/lib/" + library, self._find(library))

    def write(self, path):
        with gzip.open(path, "wb", compresslevel=1) as file:
            for inode, name in enumerate(sorted(self.entries), 1):
                write_member(file, inode, name.lstrip("/"), *self.entries[name])
            write_member(file, 0, CPIO_TRAILER, 0, b"", (0, 0))


def write_member(file, inode, name, mode, content, device):
    name = name.encode() + b"\0"
    # Inode, mode, uid, gid, links, mtime, size, device, its own number, name's size, checksum.
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
    file.write(b"070701" + b"".join(b"%08X" % field for field in fields))
    file.write(name + b"\0" * (-(110 + len(name)) % 4))
    file.write(content + b"\0" * (-len(content) % 4))
