#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Boots a kernel of Debian with the built programs, and runs the suite bpf and the monitor there.

Prints a line per test; exits 0, 1 with the output of what failed, or 77 with the reason where the
machine has no emulator or cannot get the packages.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile

import cross
import kernels
import machine
from build import Build
from cache import Cache
from debian import Unavailable, say

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXIT_SKIP = 77
CALLS = 4321  # of the workload that the monitor has to find
TEST_LIMIT_S = 240
SCALE = 20  # what the loads of the suite bpf are divided by
BOOT_LIMIT_S = 840  # many times what an idle machine takes
OUTPUT_LINES = 400  # at most, of a test that failed
KERNEL_MIN = "5.15"


class Wrong(Exception):
    """What the monitor did is not what it should have done."""


def need(condition, text):
    if not condition:
        raise Wrong(text)


# --- what the monitor said (guest/monitor, guest/refusal) ---


def marked(lines, word):
    """What follows "@vm @word " in @lines."""
    prefix = machine.MARK + word + " "
    return [line[len(prefix) :] for line in lines if line.startswith(prefix)]


def records(lines, output):
    """The lines that the monitor wrote in the format @output."""
    start = lines.index("%srecords %s" % (machine.MARK, output)) + 1
    return lines[start : lines.index(machine.MARK + "end-of-records", start)]


def check_text(lines, groups):
    count = 0
    for line in lines:
        if line.startswith("#"):
            need(line.endswith(" lost=0"), "something was lost: " + line)
            continue
        row = dict(re.findall(r"(\S+?)=(\S*)", line))
        need(list(row)[:3] == ["PID", "comm", "call"], "not a row: " + line)
        if row["comm"] == "load" and row["call"] == "getppid":
            need(row["cgroup"] in groups, "the cgroup's id is one of %s: %s" % (groups, line))
            count += int(row["count"])
    need(count == CALLS, "text: %d calls of getppid, not %d" % (count, CALLS))


def check_json(lines, groups):
    count = 0
    for line in lines:
        record = json.loads(line)
        if record["record"] == "interval":
            need(record["lost"]["calls"] == 0, "something was lost: " + line)
            continue
        path = groups.get(record["cgroup"]["id"])
        if not path:
            continue
        need(path.endswith(record["cgroup"]["path"]), "its path is %s: %s" % (path, line))
        need(record["kind"] == "container", "a container: " + line)
        need(record["container"]["id"] == os.path.basename(path), "its id: " + line)
        count += sum(
            call["count"]
            for process in record["processes"]
            for call in process["syscalls"]
            if process["comm"] == "load" and call["name"] == "getppid"
        )
    need(count == CALLS, "json: %d calls of getppid, not %d" % (count, CALLS))


def check_monitor(result):
    need(result.status == 0, "ended with status %s" % result.status)
    groups = dict(line.split(" ", 1) for line in marked(result.lines, "cgroup"))
    need(groups, "no cgroup was made")
    check_text(records(result.lines, "text"), groups)
    check_json(records(result.lines, "json"), groups)


def check_refusal(result):
    said = marked(result.lines, "stderr")
    need(marked(result.lines, "status") == ["1"], "the exit status is 1")
    need(not marked(result.lines, "stdout"), "nothing on standard output")
    need(len(said) == 1, "one line on standard error")
    need(KERNEL_MIN in said[0], "it names " + KERNEL_MIN)


CHECKS = {"vm-monitor": check_monitor, "vm-refusal": check_refusal}


# --- a run ---


class Report:
    """A line for each result as it comes; the output of what failed at the end."""

    def __init__(self, title, log):
        self.title = title
        self.log = log
        self.failures = []  # (name, why, lines)
        self.left_out = 0

    def add(self, result):
        problem = None
        skipped = result.status == EXIT_SKIP
        if result.name in CHECKS:
            try:
                CHECKS[result.name](result)
            except (Wrong, ValueError, KeyError, IndexError) as error:
                problem = "%s" % error if isinstance(error, Wrong) else repr(error)
        elif result.status is None:
            problem = "did not end"
        elif result.status == 137:
            problem = "took longer than %d s" % TEST_LIMIT_S
        elif result.status != 0 and not skipped:
            problem = "ended with status %d" % result.status
        word = "FAILED" if problem else "skipped" if skipped else "ok"
        print("%-24s %-20s %-7s %6.1f s" % (self.title, result.name, word, result.seconds))
        if problem:
            self.failures.append((result.name, problem, result.lines))
        for line in result.lines if not problem else []:
            if line.startswith(("left out:", "skipped:")):
                self.left_out += 1
                print("    " + line)
        sys.stdout.flush()

    def finish(self, outcome, expected, release):
        """Adds what the boot as a whole lacks."""
        if not outcome.release:
            self.failures.append(("boot", "no user space", outcome.noise))
        elif not outcome.release.startswith(release):
            self.failures.append(("boot", "%s is not %s" % (outcome.release, release), []))
        elif not outcome.complete or len(outcome.results) != expected:
            what = "%d of %d tests ran" % (len(outcome.results), expected)
            self.failures.append(("boot", what, outcome.noise))
        if outcome.warnings:
            self.failures.append(("kernel", "it warned", outcome.warnings))

    def print_failures(self):
        for name, why, lines in self.failures:
            print("\nFAILED: %s: %s: %s" % (self.title, name, why))
            for line in lines[-OUTPUT_LINES:]:
                print("  " + line)
        # Once more behind all that, which who runs this may cut at its beginning.
        for name, why, _ in self.failures:
            print("FAILED: %s: %s: %s; see %s" % (self.title, name, why, self.log))


def native_build(directory):
    busybox = shutil.which("busybox", path=os.environ.get("PATH", "") + ":/bin:/usr/bin")
    if not busybox:
        raise Unavailable("no busybox: install busybox-static")
    return Build(directory, ["cc"], busybox)


def run(arguments):
    kernel = kernels.KERNELS[arguments.name]
    machine.need_qemu(kernel.arch)
    cache = Cache()
    with tempfile.TemporaryDirectory(prefix="cgscope-vm-") as scratch:
        image = arguments.kernel or kernels.get(cache, arguments.name)
        if kernel.arch == "arm64":
            build = cross.build(cache, arguments.build, arguments.meson.split(), SOURCE)
        else:
            build = native_build(arguments.build)
        tests = [] if arguments.refused else build.bpf_tests()
        tests = [test for test in tests if not arguments.tests or test.name in arguments.tests]
        initramfs = os.path.join(scratch, "initramfs.gz")
        build.write_initramfs(initramfs, tests, TEST_LIMIT_S)

        settings = {
            "CGROUPS": arguments.cgroups,
            "MONITOR": "refusal" if arguments.refused else "monitor",
            "CALLS": CALLS,
            "CGSCOPE_TEST_SCALE": SCALE,
            "CGSCOPE_TEST_OWN_MACHINE": 1,
        }
        title = "%s, cgroup %s" % (arguments.kernel or arguments.name, arguments.cgroups)
        log = os.path.join(
            arguments.build, "meson-logs", "vm-%s-%s.log" % (arguments.name, arguments.cgroups)
        )
        report = Report(title, log)
        lines = machine.boot(
            kernel.arch, kernel.cpu, image, initramfs, settings, BOOT_LIMIT_S, log
        )
        outcome = machine.collect(lines, report.add)
        report.finish(outcome, 1 + len(tests), "" if arguments.kernel else kernel.release)
        print("%s: Linux %s, console in %s" % (title, outcome.release, log))
        report.print_failures()
        return 1 if report.failures else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=kernels.KERNELS, help="which of Debian's kernels")
    parser.add_argument("--build", required=True, help="the build directory of meson")
    parser.add_argument("--meson", default="meson", help="the command that builds for arm64")
    parser.add_argument("--cgroups", choices=["v1", "v2"], default="v2")
    parser.add_argument("--refused", action="store_true", help="the kernel is too old for cgscope")
    parser.add_argument("--kernel", metavar="FILE", help="boot this one in place of Debian's")
    parser.add_argument("--tests", nargs="+", metavar="TEST", help="only these of the suite bpf")
    return parser.parse_args()


def main():
    # So that what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        return run(parse_arguments())
    except Unavailable as error:
        say("SKIPPED:", error)
        print("SKIP: %s" % error, file=sys.stderr)
        return EXIT_SKIP


if __name__ == "__main__":
    sys.exit(main())
