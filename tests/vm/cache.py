# SPDX-License-Identifier: BSD-2-Clause
"""Where what was fetched is kept between runs: CGSCOPE_VM_CACHE, else cgscope-vm in the user's
cache directory (XDG_CACHE_HOME, ~/.cache). It may be removed at any time."""

import contextlib
import fcntl
import os
import shutil
import time

from debian import Unavailable, say

KEEP_DAYS = 14  # then the mirror is asked for newer ones


class Cache:
    """Directories by name, each made as a whole or not at all."""

    def __init__(self):
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.directory = os.environ.get("CGSCOPE_VM_CACHE") or os.path.join(home, "cgscope-vm")
        os.makedirs(self.directory, exist_ok=True)

    @contextlib.contextmanager
    def _locked(self, name):
        with open(os.path.join(self.directory, name + ".lock"), "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def get(self, name, make):
        """The directory @name, which @make(directory) fills if it is missing or old; the old one
        serves on where that cannot be done. Who else asks for it meanwhile waits."""
        with self._locked(name):
            return self._get(name, make)

    def _get(self, name, make):
        path = os.path.join(self.directory, name)
        there = os.path.isdir(path)
        if there and time.time() - os.stat(path).st_mtime < KEEP_DAYS * 86400:
            return path
        new = path + ".new"
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        try:
            make(new)
        except Unavailable as error:
            shutil.rmtree(new, ignore_errors=True)
            if not there:
                raise
            say("%s: %s; the one in %s is used" % (name, error, self.directory))
            return path
        os.utime(new)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(new, path)
        return path
