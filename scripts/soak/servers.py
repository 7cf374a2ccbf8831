"""The servers that are harmed: a Redis of one's own and the Kafka that scripts/servers.sh has started."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path


class Wrong(Exception):
    """What must not be: the run ends and everything is kept."""


def wait(what, seconds, holds):
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise Wrong(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class Link:
    """As much of a Redis client as is needed: commands in, answers out."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def ask(self, *commands):
        out = bytearray()
        for command in commands:
            out += b"*%d\r\n" % len(command)
            for part in command:
                part = part if isinstance(part, bytes) else str(part).encode()
                out += b"$%d\r\n%s\r\n" % (len(part), part)
        self.socket.sendall(out)
        return [self.answer() for _ in commands]

    def answer(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("the connection is gone")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Wrong(rest.decode())
        if kind == b":":
            return int(rest)
        n = int(rest)
        if n < 0:
            return None
        if kind == b"*":
            return [self.answer() for _ in range(n)]
        # Bits that were flipped may leave bytes that are no text: they are to be seen as a difference.
        return self.file.read(n + 2)[:-2].decode(errors="backslashreplace")


class Redis:
    def __init__(self, dir):
        self.dir, self.port, self.child, self.kept = Path(dir), free_port(), None, False
        self.dir.mkdir()

    def start(self, keep):
        """`keep`: whether writes are appended to a file, which is then also what it begins with."""
        self.kept = keep
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.dir), "--save", ""]
        command += ["--appendonly", "yes" if keep else "no", "--enable-debug-command", "yes"]
        log = open(self.dir / "log", "ab")
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait("redis-server answers", 30, self.answers)

    def answers(self):
        try:
            with Link(self.port) as link:
                return link.ask(["PING"]) == ["PONG"]
        except OSError:
            return False

    def ask(self, *command):
        with Link(self.port) as link:
            return link.ask(command)[0]

    def signal(self, name):
        self.child.send_signal(name)

    def kill(self):
        self.child.kill()
        self.child.wait()

    def forget_files(self):
        shutil.rmtree(self.dir / "appendonlydir", ignore_errors=True)
        self.forget_backup()

    def forget_backup(self):
        (self.dir / "dump.rdb").unlink(missing_ok=True)

    def profiles(self, prefixes):
        """Every HASH under these prefixes, as {name: {field: text}}."""
        with Link(self.port) as link:
            names, cursor = set(), "0"
            while True:
                cursor, found = link.ask(["SCAN", cursor, "COUNT", "1000"])[0]
                names.update(name for name in found if name.split(":", 1)[0] in prefixes)
                if cursor == "0":
                    break
            names = sorted(names)
            found = {}
            for start in range(0, len(names), 500):
                some = names[start : start + 500]
                for name, fields in zip(some, link.ask(*(["HGETALL", name] for name in some))):
                    # Gone since it was listed.
                    if fields:
                        found[name] = dict(zip(fields[::2], fields[1::2]))
            return found


class Kafka:
    """The broker of a folder of scripts/servers.sh. Started again it is still that script's to stop."""

    def __init__(self, servers):
        self.dir = Path(servers) / "kafka"
        self.port = int(os.environ["ADPROF_TEST_KAFKA"].rsplit(":")[1])
        self.argv = Path(f"/proc/{self.pid()}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")

    def pid(self):
        return int((self.dir / "pid").read_text().split()[0])

    def signal(self, name):
        os.kill(self.pid(), name)

    def kill(self):
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        wait("the broker is gone", 20, lambda: state_of(pid) in (None, "Z"))

    def start(self):
        log = open(self.dir / "log", "ab")
        child = subprocess.Popen(
            self.argv, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        born = Path(f"/proc/{child.pid}/stat").read_text().rsplit(") ", 1)[1].split()[19]
        (self.dir / "pid").write_text(f"{child.pid} {born}\n")
        wait("the broker listens", 60, lambda: listens(self.port))


def state_of(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    except OSError:
        return None
