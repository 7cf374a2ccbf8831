"""A Redis server of our own, on a free port and without persistence, that may be killed; and its answers."""

import random
import socket
import subprocess
import time
from pathlib import Path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, *words):
    """The answer of whoever listens there to one command, by a connection of its own."""
    link = Link(port)
    try:
        return link.ask(*words)
    finally:
        link.close()


def packed(*words):
    """A command as it is sent."""
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Link:
    """A connection to a Redis."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, commands):
        self.socket.sendall(b"".join(packed(*words) for words in commands))

    def ask(self, *words):
        self.send([words])
        return self.answer()

    def answer(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if int(rest) < 0 else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if not kind:
            raise ConnectionError("the server has closed")
        return int(rest) if kind == b":" else rest.decode()


class Redis:
    """`more`: words of its command line."""

    def __init__(self, folder, *more):
        self.port = free_port()
        self.folder, self.server, self.link = Path(folder), None, None
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start(*more)

    def start(self, *more):
        words = open(self.folder / "redis.log", "ab")
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *more]
        self.server = subprocess.Popen(list(map(str, command)), cwd=self.folder, stdout=words, stderr=words)
        self.link = None
        for _ in range(1000):
            try:
                return self.ask("PING")
            except OSError:
                time.sleep(0.01)
        raise SystemExit("bench: redis-server does not answer")

    def kill(self):
        self.server.kill()
        self.server.wait()

    def ask(self, *words):
        """The answer to one command: text, number, None, or a list of these."""
        return self.ask_all([words])[0]

    def ask_all(self, commands):
        """The answers to several, sent at once. A second time by a new connection: a sentinel cuts clients off when roles change."""
        for last in (False, True):
            if self.link is None:
                self.link = Link(self.port)
            try:
                self.link.send(commands)
                return [self.link.answer() for _ in commands]
            except OSError:
                self.link = None
                if last:
                    raise

    def commands(self, file, each=500):
        """Writes into `file` what makes every HASH that stands here anew, in transactions of so many and in no order: that of a
        SCAN would be that of the server's own table.
        """
        hashes, cursor = [], None
        while cursor != "0":
            cursor, names = self.ask("SCAN", cursor or "0", "COUNT", each, "TYPE", "hash")
            answers = self.ask_all([("HGETALL", name) for name in names])
            hashes += [packed("HSET", name, *answer) for name, answer in zip(names, answers)]
        random.Random(1).shuffle(hashes)
        with open(file, "wb") as out:
            for at in range(0, len(hashes), each):
                out.write(b"".join([packed("MULTI"), *hashes[at : at + each], packed("EXEC")]))
