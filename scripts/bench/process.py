"""One process, timed: wall seconds, and peak memory with that of its children.

The kernel's own figure (ru_maxrss) is exact but knows one process; where a process starts others, as PySpark and PyFlink
start a JVM, the memory of all is added up every 50 ms and the largest sum counts.
"""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Run:
    seconds: float
    peak_mib: float
    out: str
    err: str
    # What the engine says of its statement alone, without the start of Python or a JVM.
    statement: float | None = None
    version: str = ""


def say(words):
    print(words, file=sys.stderr, flush=True)


def until(what, holds, seconds=300):
    """Waits until `holds` and gives the seconds that took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            sys.exit(f"bench: not within {seconds} s: {what}")
        time.sleep(0.002)
    return time.monotonic() - began


def clean_environment():
    """Nothing of the caller's may redirect what is measured."""
    return {k: v for k, v in os.environ.items() if not k.startswith("ADPROF_") and k != "REDIS_URL"}


def resident(pid):
    """Resident bytes of `pid` and all that it started, right now."""
    total, todo = 0, [pid]
    while todo:
        pid = todo.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
            for task in os.listdir(f"/proc/{pid}/task"):
                todo += Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        except (OSError, IndexError):
            continue  # it ended between two looks
    return total


class Watch(threading.Thread):
    """Looks at a process and its children until told to stop."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.over = pid, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            self.peak = max(self.peak, resident(self.pid))


def run(command, cwd, stdin=None, stdout=None, children=False, limit=None, fails=True, over=False):
    """Runs `command` to its end and gives a `Run`; exits with its words when it fails, unless `fails` is false.

    `limit` names a control group that the process joins before it begins (bench/limit.py). `over`: what `stdout` holds is written
    over, page by page, and what is left of it behind the end is cut off afterwards.
    """
    said = Path(cwd) / "stderr"
    out = Path(stdout) if stdout else Path(cwd) / "stdout"
    how = "r+b" if over and out.exists() else "wb"
    with open(stdin or os.devnull, "rb") as source, open(out, how) as target, open(said, "wb") as words:
        start = time.perf_counter()
        child = subprocess.Popen(
            command, stdin=source, stdout=target, stderr=words, cwd=cwd, env=clean_environment(),
            preexec_fn=limit.join if limit else None,
        )  # fmt: skip
        watch = Watch(child.pid) if children else None
        if watch:
            watch.start()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if watch:
            watch.over.set()
            watch.join()
        if how == "r+b":
            # The place is shared with the child.
            target.truncate(os.lseek(target.fileno(), 0, os.SEEK_CUR))
    child.returncode = os.waitstatus_to_exitcode(status)
    err = said.read_text(errors="replace")
    if child.returncode != 0:
        message = f"{' '.join(map(str, command))}: exit code {child.returncode}\n{err[-4000:]}"
        if fails:
            sys.exit(f"bench: {message}")
        say(message)
        return None
    peak = max(usage.ru_maxrss * 1024, watch.peak if watch else 0)
    return Run(seconds, peak / 2**20, "" if stdout else out.read_text(errors="replace"), err)


def remove(path):
    """A file or a folder of files, outside of any timing."""
    path = Path(path)
    if path.is_dir():
        for inner in path.iterdir():
            remove(inner)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def apart(work, *arguments):
    """What `work` gives, done by a process of its own: Python that has grown would pass its size on to what it starts,
    and the kernel's peak of a child begins at the size of its parent."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put(work(*arguments)))
    child.start()
    child.join()
    if child.exitcode != 0:
        sys.exit(child.exitcode)
    return answers.get()


def lines_in(path):
    with open(path, "rb") as f:
        return sum(block.count(b"\n") for block in iter(lambda: f.read(1 << 20), b""))
