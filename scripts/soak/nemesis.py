"""The nemesis: each fault a function that does harm to a `World` and says what it did. `heal` takes all of it back.

A fault takes at most some seconds; what lasts (a rule of a proxy, a server that is down) lasts until the next fault of its
kind or until `heal`.
"""

import random
import shutil
import signal
import time

from . import programs
from .programs import run
from .proxy import DOWN, UP

STOP, CONT, KILL, TERM = signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL, signal.SIGTERM


def stream_killed(world, r):
    program = r.choice(world.streams)
    program.signal(KILL)
    return program.name


def stream_told_to_stop(world, r):
    program = r.choice(world.streams)
    program.signal(TERM)
    return program.name


def stream_held_still(world, r):
    """Longer than a standby waits: it wakes up fenced."""
    program, seconds = r.choice(world.streams), r.uniform(0.5, 7)
    program.signal(STOP)
    time.sleep(seconds)
    program.signal(CONT)
    return f"{program.name} for {seconds:.1f} s"


def both_streams_killed(world, _):
    for program in world.pair:
        program.signal(KILL)
    return "the pair"


def disk_fails_the_stream(world, r):
    """It is started again by way of strace: one of its first syncs fails, and it has to stop."""
    program, n = r.choice(world.streams), r.randrange(1, 12)
    call = r.choice(["fdatasync", "pwrite64"])
    program.inject = f"{call}:error=EIO:when={n}"
    program.signal(KILL)
    return f"{program.name}, {call} {n}"


def stream_killed_at_a_call(world, r):
    program, n = r.choice(world.streams), r.randrange(1, 60)
    call = r.choice(["fdatasync", "pwrite64", "sendto", "sendmsg"])
    program.inject = f"{call}:signal=SIGKILL:when={n}"
    program.signal(KILL)
    return f"{program.name}, {call} {n}"


def collect_killed(world, _):
    world.collector.signal(KILL)


def collect_told_to_stop(world, _):
    world.collector.signal(TERM)


def disk_fails_collect(world, r):
    n = r.randrange(1, 20)
    world.collector.inject = f"fdatasync:error=EIO:when={n}"
    world.collector.signal(KILL)
    return f"fdatasync {n}"


def redis_killed(world, r):
    """What it begins with again: nothing, what it had appended to its file, or what an earlier file has."""
    keep = r.random() < 0.5
    world.redis.kill()
    if r.random() < 0.5:
        world.redis.forget_files()
    time.sleep(r.uniform(0, 3))
    world.redis.start(keep)
    return f"started again {'with' if keep else 'without'} its file"


def redis_emptied(world, _):
    world.redis.ask("FLUSHALL")


def redis_rewound(world, r):
    """An RDB file of some seconds ago takes the place of what is there: an old backup, or a failover that lost writes."""
    world.redis.ask("SAVE")
    kept = world.redis.dir / "kept.rdb"
    shutil.copy(world.redis.dir / "dump.rdb", kept)
    seconds = r.uniform(0.1, 6)
    time.sleep(seconds)
    world.redis.kill()
    world.redis.forget_files()
    shutil.copy(kept, world.redis.dir / "dump.rdb")
    world.redis.start(keep=False)
    return f"by {seconds:.1f} s"


def redis_swapped(world, r):
    world.redis.ask("SWAPDB", "0", "1")
    time.sleep(r.uniform(0, 4))
    if r.random() < 0.5:
        world.redis.ask("SWAPDB", "0", "1")


def redis_replica_of_an_empty_one(world, r):
    """REPLICAOF away and back: the data set is gone under connected clients."""
    other = type(world.redis)(world.dir / "other-redis")
    other.start(keep=False)
    world.redis.ask("REPLICAOF", "127.0.0.1", str(other.port))
    time.sleep(r.uniform(1, 4))
    world.redis.ask("REPLICAOF", "NO", "ONE")
    other.kill()
    shutil.rmtree(other.dir)


def redis_clients_killed(world, _):
    return world.redis.ask("CLIENT", "KILL", "TYPE", "normal")


def redis_held_still(world, r):
    seconds = r.uniform(0.5, 8)
    world.redis.signal(STOP)
    time.sleep(seconds)
    world.redis.signal(CONT)
    return f"{seconds:.1f} s"


def redis_takes_no_writes(world, r):
    seconds = r.uniform(0.5, 6)
    how = r.choice(["pause", "sleep", "memory"])
    if how == "pause":
        world.redis.ask("CLIENT", "PAUSE", str(int(seconds * 1000)), "WRITE")
        time.sleep(seconds)
    elif how == "sleep":
        world.redis.ask("DEBUG", "SLEEP", f"{seconds:.1f}")
    else:
        world.redis.ask("CONFIG", "SET", "maxmemory", "1")
        time.sleep(seconds)
        world.redis.ask("CONFIG", "SET", "maxmemory", "0")
    return f"{how}, {seconds:.1f} s"


def link_cut(world, r):
    proxy = r.choice(world.proxies)
    cut = 0
    for _ in range(r.randrange(1, 8)):
        cut += proxy.cut()
        time.sleep(r.uniform(0, 0.4))
    return f"{world.name_of(proxy)}, {cut} connections"


def link_slow(world, r):
    proxy = r.choice(world.proxies)
    proxy.delay = r.choice([0.005, 0.05, 0.3])
    time.sleep(r.uniform(1, 6))
    proxy.delay = 0.0
    return world.name_of(proxy)


def link_drops_one_way(world, r):
    proxy, seconds = r.choice(world.proxies), r.uniform(0.5, 9)
    proxy.hole = r.choice([UP, DOWN])
    told = f"{world.name_of(proxy)}, {proxy.hole}, {seconds:.1f} s"
    time.sleep(seconds)
    proxy.heal()
    return told


def link_refuses(world, r):
    proxy = r.choice(world.proxies)
    proxy.refuse = True
    proxy.cut()
    time.sleep(r.uniform(0.5, 5))
    proxy.refuse = False
    return world.name_of(proxy)


def bits_flipped(world, r):
    """Past TCP's own checksum, on the way to Redis and back: a changed value is a value (see `heal`)."""
    proxy, before = world.to_redis, world.flipped()
    # A command that Redis does not know, as it seems.
    programs.legal.add(2)
    proxy.flip = 10 ** -r.uniform(4, 5.5)
    time.sleep(r.uniform(1, 4))
    proxy.flip = 0.0
    return f"{world.flipped() - before} bits"


def broker_killed(world, r):
    world.kafka.kill()
    time.sleep(r.uniform(0, 5))
    world.kafka.start()


def broker_held_still(world, r):
    seconds = r.uniform(0.5, 10)
    world.kafka.signal(STOP)
    time.sleep(seconds)
    world.kafka.signal(CONT)
    return f"{seconds:.1f} s"


def night_gives_a_base(world, r):
    """By any state, in any order of the days, now and then killed."""
    state, day = r.choice(["embedded", "one", "two"]), r.choice(world.days)
    command = [world.adprof, "batch", "--log", "events", "--through", day, "--store", f"file:{state}"]
    if r.random() < 0.2:
        command = ["timeout", "--foreground", "-s", "KILL", f"{r.uniform(0.01, 0.3):.2f}", *command]
    code, _ = run(command, world.dir, world.dir / "batch.words")
    return f"{state} through {day}: {code}"


def state_made_anew(world, _):
    """`rebuild` of the embedded state from the log, and on from where the log ends in Kafka."""
    program = world.embedded
    program.wanted = False
    program.signal(CONT)
    program.signal(KILL)
    program.child is not None and program.child.wait()
    command = [world.adprof, "rebuild", "--log", "events", "--store", "file:embedded", "-b", world.direct, "-t", world.topic]
    code, _ = run(command, world.dir, world.dir / "rebuild.words")
    program.wanted = True
    return f"code {code}"


# How often each is chosen, by its effort: those that need long to recover from less often.
FAULTS = [
    (stream_killed, 6), (stream_told_to_stop, 4), (stream_held_still, 4), (both_streams_killed, 2),
    (disk_fails_the_stream, 3), (stream_killed_at_a_call, 4), (collect_killed, 4), (collect_told_to_stop, 2),
    (disk_fails_collect, 2), (redis_killed, 4), (redis_emptied, 3), (redis_rewound, 4), (redis_swapped, 2),
    (redis_replica_of_an_empty_one, 2), (redis_clients_killed, 3), (redis_held_still, 2), (redis_takes_no_writes, 3),
    (link_cut, 4), (link_slow, 2), (link_drops_one_way, 3), (link_refuses, 2), (bits_flipped, 2), (broker_killed, 1),
    (broker_held_still, 2), (night_gives_a_base, 3), (state_made_anew, 1),
]  # fmt: skip


def choose(r: random.Random, only=None):
    faults = [(fault, weight) for fault, weight in FAULTS if only is None or fault.__name__ in only]
    return r.choices([fault for fault, _ in faults], [weight for _, weight in faults])[0]


def heal(world):
    """Everything runs and nothing is disturbed. What bits flipped in Redis have changed is removed: a value that came
    changed is a value, and only TLS or a comparison would know."""
    for proxy in world.proxies:
        proxy.heal()
    for program in world.programs:
        program.signal(CONT)
    world.kafka.signal(CONT)
    world.redis.signal(CONT)
    world.redis.ask("CONFIG", "SET", "maxmemory", "0")
    if world.to_redis.flipped != world.flips_mended:
        world.flips_mended = world.to_redis.flipped
        for program in world.pair:
            program.signal(KILL)
        world.redis.ask("FLUSHALL")
        # A file of before would bring them back.
        world.redis.forget_backup()
