"""A TCP proxy with faults: cut, delay, drop in one direction, refuse, flip bits. One rule for all its connections."""

import random
import socket
import struct
import threading
import time

UP, DOWN = "up", "down"  # to the server, and back


class Proxy:
    def __init__(self, port, target, seed):
        self.target, self.random = target, random.Random(seed)
        self.flipped = 0
        self.pairs, self.lock = set(), threading.Lock()
        self.heal()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def heal(self):
        """No fault any more; connections that lost bytes are cut, since nothing can mend them."""
        lossy = getattr(self, "hole", None)
        self.delay, self.hole, self.refuse, self.flip = 0.0, None, False, 0.0
        if lossy:
            self.cut()

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            for end in pair:
                close(end)
        return len(pairs)

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if self.refuse:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=2)
            except OSError:
                close(client)
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
            for way, source, sink in ((UP, client, server), (DOWN, server, client)):
                threading.Thread(target=self.pump, args=(way, source, sink, pair), daemon=True).start()

    def pump(self, way, source, sink, pair):
        try:
            while data := source.recv(65536):
                if self.delay:
                    time.sleep(self.delay)
                if self.hole == way:
                    continue
                sink.sendall(self.damaged(data) if self.flip else data)
        except OSError:
            pass
        with self.lock:
            self.pairs.discard(pair)
        for end in pair:
            close(end)

    def damaged(self, data):
        data = bytearray(data)
        # Steps between faults, so that a fault in 10^5 bytes costs no number for each byte.
        at = int(self.random.expovariate(self.flip))
        while at < len(data):
            data[at] ^= 1 << self.random.randrange(8)
            self.flipped += 1
            at += 1 + int(self.random.expovariate(self.flip))
        return bytes(data)


def close(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
