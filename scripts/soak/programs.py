"""The programs under test, kept running: whoever ends is started again, and an end that must not be ends the run."""

import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

from .servers import Wrong

# Done; no Redis or Kafka; the disk failed; fenced or locked out; Redis is a replica; killed or told to end.
legal = {0, 69, 74, 75, 77, -signal.SIGKILL, -signal.SIGTERM}
PAUSE = 0.3


class Program:
    def __init__(self, name, argv, dir, log):
        self.name, self.argv, self.dir, self.log = name, argv, dir, log
        self.child, self.wanted, self.ends, self.inject = None, True, collections.Counter(), None
        self.ended = 0.0

    def start(self):
        argv = self.argv
        if self.inject:
            # The one system call of this start fails; the next start is without.
            how, self.inject = self.inject, None
            call = how.split(":")[0]
            argv = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={how}", *argv]
        words = open(self.log, "ab")
        words.write(f"-- {time.time():.1f} {' '.join(argv)}\n".encode())
        words.flush()
        self.child = subprocess.Popen(
            argv, cwd=self.dir, stdin=subprocess.PIPE, stdout=self.output(), stderr=words, env=clean(), start_new_session=True
        )

    def output(self):
        return subprocess.DEVNULL

    def look(self):
        """Starts it (again) when it should run and does not."""
        if self.child is not None and self.child.poll() is not None:
            code = self.child.returncode
            self.ends[code] += 1
            self.child, self.ended = None, time.monotonic()
            # A program under strace that was killed leaves 128 + the signal to strace's own end.
            if code not in legal and code - 128 not in (signal.SIGKILL, signal.SIGTERM):
                raise Wrong(f"{self.name} ended with {code}: see the end of {self.log}")
        if self.child is None and self.wanted and time.monotonic() - self.ended > PAUSE:
            self.start()

    def signal(self, name):
        child = self.child
        if child is not None and child.poll() is None:
            # With strace before it, both. Whoever watches may see its end in between.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, name)

    def stop(self, limit=30):
        """Ends it for good; it must not take longer than `limit` seconds."""
        self.wanted = False
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self.child is not None:
            try:
                self.child.wait(limit)
            except subprocess.TimeoutExpired as e:
                raise Wrong(f"{self.name} does not end within {limit} s of SIGTERM") from e
            self.look()


class Collector(Program):
    """`collect --ack` and its client: it sends at a steady rate, and again what nobody acknowledged."""

    def __init__(self, *args, make, rate):
        super().__init__(*args)
        self.make, self.rate = make, rate
        self.waiting, self.acked, self.paused = collections.deque(), [], True
        self.lock = threading.Lock()
        self.over = False
        threading.Thread(target=self.feed, daemon=True).start()

    def output(self):
        return subprocess.PIPE

    def start(self):
        super().start()
        with self.lock:
            # What comes twice counts once.
            self.again = list(self.waiting)
            self.sent = 0
        threading.Thread(target=self.hear, args=(self.child,), daemon=True).start()

    def hear(self, child):
        known = 0
        for line in child.stdout:
            try:
                lines = json.loads(line)["lines"]
            except ValueError:
                return  # killed within the line
            with self.lock:
                for _ in range(lines - known):
                    self.acked.append(self.waiting.popleft()[0])
            known = lines

    def feed(self):
        """20 times a second."""
        while not self.over:
            began = time.monotonic()
            child = self.child
            if child is not None and child.poll() is None:
                with self.lock:
                    lines = self.again if self.sent == 0 else []
                    self.sent = 1
                    if not self.paused and len(self.waiting) < 20 * self.rate:
                        new = [self.make() for _ in range(self.rate // 20)]
                        self.waiting.extend(new)
                        lines = lines + new
                try:
                    child.stdin.write("".join(line for _, line in lines).encode())
                    child.stdin.flush()
                except (OSError, ValueError):
                    pass  # it is gone: they are sent again
            time.sleep(max(0.0, 0.05 - (time.monotonic() - began)))


def clean():
    """Nothing of the caller's may redirect what is tested."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ADPROF_") and k != "REDIS_URL"}
    return {**kept, "NO_COLOR": "1", "TZ": "UTC"}


class Events:
    """Events of made-up people: 2,000 users, 300 items; late ones, duplicates, and some of days before."""

    KINDS = ("view", "view", "click", "click", "click", "purchase")

    def __init__(self, seed):
        self.random, self.next, self.last = random.Random(seed), 0, None

    def line(self, received=None):
        """(number, line), received now or at a given instant."""
        r = self.random
        if self.last and received is None and r.random() < 0.02:
            return self.last
        now = int(time.time() * 1000) if received is None else received
        late = r.random()
        ts = now - r.randrange(3_600_000 if late < 0.02 else 120_000 if late < 0.1 else 300)
        n, self.next = self.next, self.next + 1
        # Some users are much busier than others.
        user = r.randrange(20) if r.random() < 0.2 else r.randrange(2000)
        event = {
            "eventId": f"e{n}", "userId": f"u{user}", "eventType": r.choice(self.KINDS), "timestamp": ts,
            "itemId": f"i{int(r.random() ** 2 * 300)}", "category": f"c{r.randrange(12)}",
        }  # fmt: skip
        if event["eventType"] == "purchase":
            event["amount"] = r.randrange(1, 20_000) / 100
        if received is not None:
            event["receivedAt"] = received
        self.last = (n, json.dumps(event) + "\n")
        return self.last


def run(argv, dir, log, stdin=b"", limit=120):
    """A program that ends by itself; its exit code and stdout."""
    done = subprocess.run(argv, cwd=dir, input=stdin, capture_output=True, timeout=limit, env=clean())
    with open(log, "ab") as words:
        words.write(f"-- {time.time():.1f} {' '.join(map(str, argv))}: {done.returncode}\n".encode() + done.stderr)
    if done.returncode in (70, 101) or done.returncode < 0:
        raise Wrong(f"`{' '.join(map(str, argv))}` ended with {done.returncode}: see {Path(log)}")
    return done.returncode, done.stdout
