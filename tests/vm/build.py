# SPDX-License-Identifier: BSD-2-Clause
"""What a build directory of meson holds for a guest: programs and tests, as meson lists them."""

import collections
import json
import os

from initramfs import Initramfs

GUEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest")

CGSCOPE = "cgscope"
LOAD = "tests/e2e/load"

# In the guest; tests find there what was built beside them as well.
BPF_DIRECTORY = "/bpf"

Test = collections.namedtuple("Test", "name command environment")


class Build:
    def __init__(self, directory, compiler, busybox):
        self.directory = os.path.abspath(directory)
        self.compiler = compiler
        self.busybox = busybox

    def _introspection(self, name):
        path = os.path.join(self.directory, "meson-info", "intro-%s.json" % name)
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def bpf_tests(self):
        """The tests of the suite bpf, their commands as they are in the guest."""
        tests = []
        for test in self._introspection("tests"):
            if not any(suite.rpartition(":")[2] == "bpf" for suite in test["suite"]):
                continue
            command = [
                os.path.join(BPF_DIRECTORY, os.path.basename(word))
                if word.startswith(self.directory + "/")
                else word
                for word in test["cmd"]
            ]
            tests.append(Test(test["name"], command, test["env"]))
        return tests

    def _bpf_files(self):
        return [
            path
            for target in self._introspection("targets")
            if target["defined_in"].endswith("/tests/bpf/meson.build")
            and target["type"] in ("executable", "custom")
            for path in target["filename"]
        ]

    def bpf_programs(self):
        """Paths of the tests of the suite bpf and of the programs that these start."""
        return [path for path in self._bpf_files() if os.access(path, os.X_OK)]

    def targets(self):
        """What ninja has to build for a guest."""
        files = [os.path.relpath(path, self.directory) for path in self._bpf_files()]
        return [CGSCOPE, LOAD] + files

    def write_initramfs(self, path, tests, limit):
        """@tests are run one after the other, each for at most @limit seconds."""
        root = Initramfs(self.compiler)
        for directory in ("/proc", "/sys", "/dev", "/tmp", "/bin", "/lib", BPF_DIRECTORY):
            root.add_directory(directory)
        root.add_device("/dev/console", 5, 1)
        root.add_file("/bin/busybox", self.busybox)
        root.add_link("/bin/sh", "busybox")
        root.add_file("/bin/cgscope", os.path.join(self.directory, CGSCOPE))
        root.add_file("/bin/load", os.path.join(self.directory, LOAD))
        for program in self.bpf_programs() if tests else []:
            root.add_file(os.path.join(BPF_DIRECTORY, os.path.basename(program)), program)
        for name in os.listdir(GUEST):
            root.add_file("/" + name, os.path.join(GUEST, name))
        lines = []
        for test in tests:
            setting = ["%s=%s" % pair for pair in sorted(test.environment.items())]
            words = (["env"] + setting if setting else []) + test.command
            lines.append("%s %d %s\n" % (test.name, limit, " ".join(words)))
        root.add_text("/tests", "".join(lines))
        root.write(path)
