"""A control group with a limit of memory, version 2 or 1, that a process joins before it begins. Needs root."""

import os
import sys
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def size_of(text):
    """Bytes of a size such as 1G."""
    text = text.strip().upper().removesuffix("B")
    return int(float(text[:-1]) * UNITS[text[-1]]) if text[-1:] in UNITS else int(text)


class Limit:
    """All processes in it together have no more than `limit` bytes, the pages of files they read and write included."""

    def __init__(self, limit):
        name = f"adprof-bench-{os.getpid()}"
        if (ROOT / "cgroup.controllers").exists():
            if "memory" not in (ROOT / "cgroup.subtree_control").read_text().split():
                (ROOT / "cgroup.subtree_control").write_text("+memory")
            self.path, files = ROOT / name, {"memory.max": limit, "memory.swap.max": 0}
        elif (ROOT / "memory" / "memory.limit_in_bytes").exists():
            self.path, files = ROOT / "memory" / name, {"memory.limit_in_bytes": limit}
        else:
            raise OSError("there is no memory controller")
        self.path.mkdir()
        try:
            for file, value in files.items():
                # A kernel without swap accounting has no file for it.
                if (self.path / file).exists():
                    (self.path / file).write_text(str(value))
        except OSError:
            self.path.rmdir()
            raise

    def join(self):
        """Puts the calling process in; its children are born in it."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        """Its processes are over; the kernel may take a moment to notice."""
        for _ in range(50):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)
        print(f"bench: {self.path}: cannot be removed", file=sys.stderr)


def limited(text):
    """A `Limit`, or None and why in one line."""
    if os.geteuid() != 0:
        return None, "it needs root to make a control group"
    try:
        return Limit(size_of(text)), ""
    except OSError as e:
        return None, f"no control group to be had: {e}"
