"""What the figures depend on: machine, versions, input, day."""

import os
import platform
import subprocess
import time


def cpu():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "unknown CPU")
    except OSError:
        return "unknown CPU"


def first_line(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split("\n")[0]


def machine():
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    return f"- machine: {len(os.sched_getaffinity(0))} cores of {cpu()}, {memory:.0f} GiB, Linux {kernel}"


def load():
    """The load before the first run: a busy machine makes all figures worse, and not by the same factor."""
    return os.getloadavg()[0]


def versions(adprof, more=()):
    return "- versions: " + ", ".join([first_line([adprof, "--version"]), *more])


def day(runs, before):
    """When, from how many runs (`None`: one, told as it went), and how busy the machine was."""
    of = f"median (least-most) of {runs} runs after one to warm up" if runs else "one run"
    return f"- {time.strftime('%Y-%m-%d')}; {of}; load of the machine before the first: {before:.1f}"
