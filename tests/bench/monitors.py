# SPDX-License-Identifier: BSD-2-Clause
"""The monitors that cgscope is compared with, how each is started, and how it says it is ready."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Monitor:
    """One contender. `command` is None for no monitor; `wraps` means it runs the load itself, `slow`
    that it needs so much per call that a hundredth of the load must do."""

    def __init__(self, name, command, ready=None, wait_s=1.0, wraps=False, slow=False):
        self.name = name
        self.command = command
        self.ready = ready
        self.wait_s = wait_s
        self.wraps = wraps
        self.slow = slow

    @contextlib.contextmanager
    def running(self):
        if self.command is None or self.wraps:
            time.sleep(0.2)
            yield
            return
        with tempfile.TemporaryFile("w+b") as out:
            process = subprocess.Popen(self.command, stdout=out, stderr=out,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
            try:
                self.wait_until_ready(process, out)
                yield
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def wait_until_ready(self, process, out):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if process.poll() is not None:
                out.seek(0)
                raise RuntimeError(f"{self.name} ended at once: "
                                   + out.read().decode(errors="replace").strip()[-300:])
            if self.ready is None:
                break
            # pread: the offset is shared with the writer.
            if self.ready in os.pread(out.fileno(), 65536, 0):
                break
            time.sleep(0.05)
        time.sleep(self.wait_s)


def all_monitors(cgscope, floor):
    """Those that are installed here; the others are named on stderr, never left out in silence."""
    monitors = [
        Monitor("nothing", None),
        Monitor("empty raw_tp pair", [floor, "empty"], ready=b"attached", wait_s=0.2),
        Monitor("pair with two timestamps", [floor, "timestamps"], ready=b"attached", wait_s=0.2),
        Monitor("cgscope", [cgscope, "-i", "10"], wait_s=1.5),
        Monitor("cgscope -c (no match)", [cgscope, "-i", "10", "-c", "no-such-name"], wait_s=1.5),
    ]
    optional = [
        ("syscount -L", "syscount", ["-L", "-i", "1000"], None, 2.5),
        ("bpftrace script", "bpftrace", [os.path.join(HERE, "syscount.bt")], b"Attaching", 4.0),
        ("perf trace -s", "perf", ["trace", "-s", "-a"], None, 2.0),
    ]
    for name, program, arguments, ready, wait_s in optional:
        path = shutil.which(program)
        if path:
            monitors.append(Monitor(name, [path] + arguments, ready, wait_s,
                                    slow=program == "perf"))
        else:
            print(f"bench: {program} is not installed: \"{name}\" is left out", file=sys.stderr)
    strace = shutil.which("strace")
    if strace:
        monitors.append(Monitor("strace -c -f", [strace, "-c", "-f", "-o", os.devnull], wraps=True,
                                slow=True))
    else:
        print("bench: strace is not installed: \"strace -c -f\" is left out", file=sys.stderr)
    return monitors


@contextlib.contextmanager
def tracefs():
    """Most of the others need it; mounted for the time of the run where it is not."""
    where = "/sys/kernel/tracing"
    mounted = False
    if not os.path.exists(os.path.join(where, "events")):
        mounted = subprocess.run(["mount", "-t", "tracefs", "tracefs", where],
                                 check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", where], check=False)


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith(("model name", "CPU part")):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} CPUs, Linux {os.uname().release}"


def require_root():
    if os.geteuid() != 0:
        print("bench: needs root", file=sys.stderr)
        sys.exit(77)
