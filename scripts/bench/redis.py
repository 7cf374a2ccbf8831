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


def packed(*words):
    """A command as it is sent."""
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Redis:
    def __init__(self, folder):
        self.port = free_port()
        self.folder, self.server, self.link = Path(folder), None, None
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        words = open(self.folder / "redis.log", "ab")
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
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
        if self.link is None:
            link = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.link = (link, link.makefile("rb"))
        self.link[0].sendall(packed(*words))
        return self.answer()

    def commands(self, file, each=500):
        """Writes into `file` what makes every HASH that stands here anew, in transactions of so many and in no order: that of a
        SCAN would be that of the server's own table.
        """
        hashes, cursor = [], None
        while cursor != "0":
            cursor, names = self.ask("SCAN", cursor or "0", "COUNT", each, "TYPE", "hash")
            if names:
                self.link[0].sendall(b"".join(packed("HGETALL", name) for name in names))
            hashes += [packed("HSET", name, *self.answer()) for name in names]
        random.Random(1).shuffle(hashes)
        with open(file, "wb") as out:
            for at in range(0, len(hashes), each):
                out.write(b"".join([packed("MULTI"), *hashes[at : at + each], packed("EXEC")]))

    def answer(self):
        line = self.link[1].readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if int(rest) < 0 else self.link[1].read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if not kind:
            self.link = None
            raise ConnectionError("the server has closed")
        return int(rest) if kind == b":" else rest.decode()
