"""A primary that dies before its replica has what it was told last: how long until a stream has told all of it again.

One sentinel decides. The replica stands still (SIGSTOP) while the last changes are published, so that it lacks them when
it becomes the primary.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

from . import report
from .process import remove, say, until
from .redis import Redis, ask, free_port

# Events whose changes the replica misses, and how many of their users are looked at.
LATE, LOOKED_AT = 300_000, 2_000
FIELDS = ["last_click_category", "last_active_ts"]


class Pair:
    """Two servers and a sentinel, which tells the address of the one that is the primary."""

    def __init__(self, bench):
        folders = [bench.dir / name for name in ("redis-one", "redis-two", "sentinel")]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        self.primary = Redis(folders[0])
        self.replica = Redis(folders[1], "--replicaof", "127.0.0.1", self.primary.port)
        self.port, conf = free_port(), folders[2] / "sentinel.conf"
        conf.write_text(
            f"port {self.port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {self.primary.port} 1\n"
            "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 6000\n",
            encoding="utf-8",
        )
        words = open(folders[2] / "sentinel.log", "ab")
        command = ["redis-server", str(conf), "--sentinel"]
        self.sentinel = bench.child(subprocess.Popen(command, cwd=folders[2], stdout=words, stderr=words))
        self.url = f"redis+sentinel://127.0.0.1:{self.port}/main/0"
        until("the sentinel knows the replica", lambda: "num-slaves,1," in self.told())

    def told(self):
        try:
            return ",".join(map(str, ask(self.port, "SENTINEL", "MASTER", "main"))) + ","
        except OSError:
            return ""

    def is_in_step(self):
        facts = dict(line.split(":", 1) for line in self.primary.ask("INFO", "replication").split() if ":" in line)
        replica = dict(fact.split("=") for fact in facts.get("slave0", "").split(",") if fact)
        return replica.get("state") == "online" and replica.get("offset") == facts["master_repl_offset"]

    def is_replaced(self):
        return f"port,{self.replica.port}," in self.told() and self.replica.ask("ROLE")[0] == "master"

    def swap(self):
        """The dead one comes back as the replica of the other."""
        self.primary, self.replica = self.replica, self.primary
        self.replica.start("--replicaof", "127.0.0.1", self.primary.port)

    def kill(self):
        for process in (self.sentinel, self.primary.server, self.replica.server):
            process.kill()
            process.wait()


def failover(bench, topic, metrics):
    """Rows of how long it takes, with the profiles of a topic."""
    pair, port = Pair(bench), free_port()
    remove(bench.dir / "failover-state")
    stream = bench.start(topic, "failover-state", "--metrics", port, at=pair.url)
    is_quiet = lambda: stands_still(bench, stream, metrics, port)
    named, whole, missed = [], [], []
    try:
        for turn in range(bench.args.runs):
            until("everything is published", lambda: is_quiet() and pair.primary.ask("DBSIZE") > 1)
            until("the replica is in step", pair.is_in_step)
            os.kill(pair.replica.server.pid, signal.SIGSTOP)
            # What is on its way to it would be read when it wakes.
            pair.primary.ask("CLIENT", "KILL", "TYPE", "REPLICA")
            copy = bench.dir / "late.ndjson"
            before = metrics(port)["adprof_consumed_total"]
            bench.send(topic, LATE, bench.args.users, "--seed", 1000 + turn, "--copy", copy)
            until("they are read", lambda: metrics(port)["adprof_consumed_total"] >= before + LATE)
            until("they are published", is_quiet)
            users = some_users(copy)
            want = shown(pair.primary, users)
            began = time.monotonic()
            pair.primary.kill()
            os.kill(pair.replica.server.pid, signal.SIGCONT)
            missed.append(sum(a != b for a, b in zip(want, shown(pair.replica, users))) / len(users))
            until("the sentinel has named the replica", pair.is_replaced)
            named.append(time.monotonic() - began)
            until("all is there again", lambda: shown(pair.replica, users) == want)
            whole.append(time.monotonic() - began)
            pair.swap()
    finally:
        stream.terminate()
        stream.wait()
        pair.kill()
    say(f"failover: the replica lacked the last change of {min(missed):.0%} to {max(missed):.0%} of the users looked at")
    if min(missed) == 0:
        raise SystemExit("bench: the replica lacked nothing: no failover was measured")
    what = f"kill -9 of a primary whose replica lacks the last change of {min(missed):.0%} or more of {LATE:,} events"
    return [
        [f"{what}, until the sentinel has named the replica", report.spread(named)],
        ["of the same, until every change is there again", report.spread(whole)],
    ]


def stands_still(bench, stream, metrics, port):
    """Whether the stream has read all and Redis has answered all; what it says is a tick old at most."""
    if stream.poll() is not None:
        raise SystemExit(f"bench: the stream ended with {stream.returncode}: see {bench.dir / 'stream.log'}")
    try:
        told = metrics(port)
    except OSError:  # it is beginning
        return False
    lag = sum(value for name, value in told.items() if name.startswith("adprof_lag_messages"))
    return told.get("adprof_consumed_total", 0) > 0 and lag == 0 and told.get("adprof_keys_waiting", 1) == 0


def some_users(copy: Path):
    with open(copy, encoding="utf-8") as lines:
        users = sorted({line.partition('"userId":"')[2].partition('"')[0] for line in lines})
    return users[:: max(1, len(users) // LOOKED_AT)]


def shown(redis, users):
    return redis.ask_all([("HMGET", f"profile:{user}", *FIELDS) for user in users])
