# SPDX-License-Identifier: BSD-2-Clause
"""One boot under qemu's software emulation, and what came over the console (see guest/init)."""

import collections
import os
import selectors
import shutil
import subprocess
import time

from debian import Unavailable

MARK = "@vm "

Architecture = collections.namedtuple("Architecture", "qemu package options console")

# KVM is left alone: it is not everywhere, and who has it would test another machine.
ARCHITECTURES = {
    "amd64": Architecture(
        "qemu-system-x86_64", "qemu-system-x86", ["-accel", "tcg"], "ttyS0"
    ),
    "arm64": Architecture(
        "qemu-system-aarch64", "qemu-system-arm", ["-accel", "tcg", "-M", "virt"], "ttyAMA0"
    ),
}


def need_qemu(arch):
    """The path of the emulator; Unavailable with the name of its package."""
    architecture = ARCHITECTURES[arch]
    path = shutil.which(architecture.qemu)
    if not path:
        raise Unavailable("no %s: install %s" % (architecture.qemu, architecture.package))
    return path


def boot(arch, cpu, kernel, initramfs, settings, timeout, console_log):
    """Yields the console's lines as they come; raises TimeoutError. @settings reach init's
    environment."""
    architecture = ARCHITECTURES[arch]
    words = ["console=" + architecture.console, "quiet", "panic=-1"]
    words += ["%s=%s" % setting for setting in settings.items()]
    command = [need_qemu(arch), *architecture.options, "-cpu", cpu, "-smp", "2", "-m", "1024"]
    command += ["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]
    command += ["-kernel", kernel, "-initrd", initramfs, "-append", " ".join(words)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process, open(console_log, "w", encoding="utf-8") as log:
        try:
            yield from lines_of(process.stdout, timeout, log)
        finally:
            process.kill()


def lines_of(pipe, timeout, log):
    """The lines from @pipe; @log gets them with the seconds since the start."""
    start = time.monotonic()
    rest = b""

    def decode(line):
        text = line.decode(errors="replace").rstrip("\r")
        log.write("%6.1f %s\n" % (time.monotonic() - start, text))
        log.flush()
        return text

    os.set_blocking(pipe.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0, start + timeout - time.monotonic())):
                raise TimeoutError
            data = pipe.read(65536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield decode(line)
    if rest:
        yield decode(rest)


class Result:
    """What one program of the guest printed and ended with; @status None: it never did."""

    def __init__(self, name):
        self.name = name
        self.status = None
        self.lines = []
        self.seconds = 0.0


class Outcome:
    """All of one boot."""

    def __init__(self):
        self.release = None  # of the kernel, if user space was reached
        self.results = []
        self.warnings = []  # the kernel's
        self.complete = False
        self.noise = []  # lines of nobody


def collect(lines, on_result):
    """The Outcome of a console's @lines. Calls @on_result with each result as it is there."""
    outcome = Outcome()
    current = None
    began = 0.0
    try:
        for line in lines:
            word, _, rest = line[len(MARK) :].partition(" ") if line.startswith(MARK) else 3 * ("",)
            if word == "begin":
                current = Result(rest)
                outcome.results.append(current)
                began = time.monotonic()
            elif word == "end" and current:
                current.status = int(rest.rpartition(" ")[2])
                current.seconds = time.monotonic() - began
                on_result(current)
                current = None
            elif word == "ready":
                outcome.release = rest
            elif word == "kernel":
                outcome.warnings.append(rest)
            elif word == "done":
                outcome.complete = True
            elif current:
                current.lines.append(line)
            else:
                outcome.noise.append(line)
    except TimeoutError:
        outcome.noise.append("(no end within the time limit)")
    if current:
        on_result(current)
    return outcome
