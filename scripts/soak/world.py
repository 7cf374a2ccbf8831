"""What the nemesis harms: Redis, Kafka and proxies, collect with its client, a stream into an embedded store, and two streams
into Redis that stand by for each other. And what must hold when everything is healed."""

import datetime
import json
import os
import threading
import time
from pathlib import Path

from .fold import TAGS, Fold
from .programs import Collector, Events, Program, run
from .proxy import Proxy
from .servers import Kafka, Redis, Wrong, listens, wait

DAY = 86_400_000
PARTITIONS = 4
# After healing everything is right within this time, or the run ends.
WHOLE_WITHIN = 120
REFUSED = 7


class World:
    def __init__(self, adprof, dir, servers, seed, rate):
        self.adprof, self.dir, self.servers, self.topic = str(adprof), Path(dir), servers, "soak"
        here = Path(__file__).parent
        (self.dir / "adprof.toml").write_text((here / "definitions.toml").read_text())
        self.kafka, self.redis = Kafka(self.dir / "servers"), Redis(self.dir / "redis")
        self.redis.start(keep=False)
        self.direct = os.environ["ADPROF_TEST_KAFKA"]
        behind, proxied = (os.environ[f"ADPROF_TEST_KAFKA_{name}"] for name in ("BEHIND", "PROXY"))
        self.to_kafka = Proxy(int(proxied.rsplit(":")[1]), int(behind.rsplit(":")[1]), seed)
        self.to_redis = Proxy(0, self.redis.port, seed + 1)
        self.proxies, self.flips_mended = [self.to_kafka, self.to_redis], 0
        self.tool("org.apache.kafka.tools.TopicCommand", "--create", "--topic", self.topic, "--partitions", str(PARTITIONS))
        self.events, self.fold = Events(seed), Fold(self.dir / "events")
        self.seed_history()
        kafka = ["-b", proxied, "-t", self.topic]
        # A property that has a stream notice a broker that is gone sooner.
        quick = ["-X", "socket.timeout.ms=5000"]
        stream = [self.adprof, "stream", *kafka, *quick]
        redis = ["--store", f"redis://127.0.0.1:{self.to_redis.port}", "--standby", "3s"]
        collect = [self.adprof, "collect", "--ack", "--log", "events/", *kafka, "--ship-timeout", "2s"]
        program = lambda name, argv: Program(name, argv, self.dir, self.dir / f"{name}.words")  # noqa: E731
        self.embedded = program("embedded", [*stream, "--store", "file:embedded"])
        self.pair = [program(name, [*stream, *redis, "--state", name]) for name in ("one", "two")]
        self.collector = Collector(
            "collect", collect, self.dir, self.dir / "collect.words", make=self.events.line, rate=rate
        )
        self.streams = [self.embedded, *self.pair]
        self.programs = [*self.streams, self.collector]
        self.over, self.trouble = threading.Event(), None
        self.keeper = threading.Thread(target=self.keep_running, daemon=True)
        self.keeper.start()

    def tool(self, *args, stdin=b""):
        script = [self.servers, "kafka-tool", str(self.dir / "servers"), args[0], "--bootstrap-server", self.direct]
        return run([*script, *args[1:]], self.dir, self.dir / "kafka-tool.words", stdin=stdin)[1]

    def seed_history(self):
        """Three days before today, for bases; and messages that no stream can take."""
        today = int(time.time() * 1000) // DAY
        name = lambda day: datetime.date.fromtimestamp(day * 86400).isoformat()  # noqa: E731
        self.days = [name(day) for day in range(today - 3, today)]
        lines = [self.events.line(day * DAY + i * 20_000)[1] for day in range(today - 3, today) for i in range(1000)]
        command = [self.adprof, "collect", "--log", "events/", "-b", self.direct, "-t", self.topic]
        code, _ = run(command, self.dir, self.dir / "collect.words", stdin="".join(lines).encode())
        bad = "".join(f'{{"bad":{n}}}\n' for n in range(REFUSED))
        self.tool("org.apache.kafka.tools.ConsoleProducer", "--topic", self.topic, stdin=bad.encode())
        if code != 0:
            raise Wrong(f"the history could not be collected: {code}")

    def keep_running(self):
        while not self.over.wait(0.05):
            try:
                for program in self.programs:
                    program.look()
            except (Wrong, OSError) as e:
                self.trouble = e
                return

    def check(self):
        if self.trouble:
            raise self.trouble

    def name_of(self, proxy):
        return "Kafka" if proxy is self.to_kafka else "Redis"

    def flipped(self):
        return sum(proxy.flipped for proxy in self.proxies)

    # ---- what must hold -------------------------------------------------------

    def whole(self):
        """Waits until every profile is what the fold says, and gives the seconds that took."""
        began = time.monotonic()
        self.collector.paused = True
        wait("the client has its acknowledgements", WHOLE_WITHIN, lambda: self.checked(not self.collector.waiting))
        places = {"Redis": self.of_redis, "the embedded store": self.of_embedded}
        differences = {}
        while places:
            self.check()
            self.fold.catch_up()
            for place, read in list(places.items()):
                since = int(time.time() * 1000) - 1500
                found = read()
                until = int(time.time() * 1000)
                differences[place] = self.fold.differences(found, since, until) if found is not None else None
                if differences[place] == []:
                    del places[place]
            if places and time.monotonic() - began > WHOLE_WITHIN:
                self.tell(differences)
                raise Wrong(f"after {WHOLE_WITHIN} s not whole: {', '.join(places)}")
            time.sleep(0.2)
        missing = {number for number in self.collector.acked} - self.fold.seen
        if missing:
            raise Wrong(f"{len(missing)} acknowledged events are not in the log: {sorted(missing)[:5]}")
        self.fold.forget(int(time.time() * 1000))
        return time.monotonic() - began

    def checked(self, holds):
        self.check()
        return holds

    def tell(self, differences):
        with open(self.dir / "differences.ndjson", "w", encoding="utf-8") as out:
            for place, names in differences.items():
                for name, found, expected in names or []:
                    line = {"place": place, "name": name, "found": found, "expected": expected}
                    out.write(json.dumps(line) + "\n")

    def of_redis(self):
        try:
            return self.redis.profiles(TAGS)
        except (OSError, ValueError):
            return None

    def of_embedded(self):
        found = {}
        for entity in ("user", "item", "minute"):
            command = [self.adprof, "export", "--store", "file:embedded", "--format", "ndjson", "--entity", entity]
            code, out = run(command, self.dir, self.dir / "export.words")
            if code != 0:
                return None
            for line in out.splitlines():
                profile = json.loads(line, parse_int=str, parse_float=str)
                found[name_of(profile)] = {code: text(value) for code, value in profile["tags"].items() if value is not None}
        return {name: tags for name, tags in found.items() if tags}

    def messages(self):
        """How many messages the topic has."""
        out = self.tool("org.apache.kafka.tools.GetOffsetShell", "--topic", self.topic).decode()
        return sum(int(line.rsplit(":", 1)[1]) for line in out.split())

    def end(self):
        """Everything stops in good order, and whoever holds the servers may stop them."""
        self.collector.over = True
        for program in self.programs:
            program.stop()
        self.over.set()

    def kill(self):
        self.over.set()
        self.keeper.join(5)
        for program in self.programs:
            program.wanted = False
            program.signal(9)
        if self.redis.child is not None:
            self.redis.kill()
        if not listens(self.kafka.port):
            # So that its own script finds it as it left it.
            self.kafka.start()


def name_of(profile):
    if "userId" in profile:
        return f"profile:{profile['userId']}"
    key = profile["key"]
    return f"i:{key}" if profile["entity"] == "item" else f"{profile['entity']}:{':'.join(key)}"


def text(value):
    return ("true" if value else "false") if isinstance(value, bool) else value
