"""Whether engines gave the same values: user by user, tag by tag, in exact decimals.

A profile is {"userId": …, "tags": {…}} or {"userId": …, TAG: …}; null and absent are the same, and so are 5, 5.0 and 5.00.
Every user comes once. Users are dealt into buckets by a hash, so that any number of them fits in memory.
"""

import json
import sys
import zlib
from decimal import Decimal
from pathlib import Path

SHOWN = 10


def files_of(path):
    """The files of an output: itself, or the part files in it, hidden ones (Spark's checksums) left out."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith((".", "_")))


def canonical(value):
    """One text for equal values: 5, 5.0 and 5.00 are one number, and no number is a text."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return json.dumps(value, sort_keys=True, default=str)


def profile(line):
    """(user, one text of all her tags in order)."""
    patch = json.loads(line, parse_float=Decimal)
    user = patch.pop("userId")
    tags = patch.get("tags", patch)
    kept = sorted((code, canonical(value)) for code, value in tags.items() if value is not None)
    return user, "\t".join(f"{code}={value}" for code, value in kept)


def bucket_of(user, buckets):
    return zlib.crc32(user.encode()) % buckets


class Buckets:
    """An output, dealt into files of canonical lines."""

    def __init__(self, source, folder, buckets):
        self.folder, self.count, self.users = Path(folder), buckets, 0
        self.folder.mkdir(parents=True)
        targets = [open(self.folder / str(n), "w", encoding="utf-8", newline="\n") for n in range(buckets)]
        try:
            for path in files_of(source):
                with open(path, "rb") as lines:
                    for line in lines:
                        user, text = profile(line)
                        targets[bucket_of(user, buckets)].write(f"{user}\t{text}\n")
                        self.users += 1
        finally:
            for target in targets:
                target.close()

    def bucket(self, n):
        """{user: her tags}; a user that comes twice is an error."""
        found = {}
        with open(self.folder / str(n), encoding="utf-8", newline="\n") as lines:
            for line in lines:
                user, _, text = line.rstrip("\n").partition("\t")
                if user in found:
                    sys.exit(f"bench: {self.folder.name}: user {user} comes twice")
                found[user] = text
        return found

    def remove(self):
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()


def differences(a, b):
    """Lines that say where `b` differs from `a`, at most `SHOWN`, and how many there are."""
    shown, total = [], 0
    for n in range(a.count):
        left, right = a.bucket(n), b.bucket(n)
        if left == right:
            continue
        for user in sorted(left.keys() | right.keys()):
            if left.get(user) != right.get(user):
                total += 1
                if len(shown) < SHOWN:
                    shown.append(f"{user}:\n  {a.folder.name}: {left.get(user)}\n  {b.folder.name}: {right.get(user)}")
    return shown, total


def all_equal(outputs, folder, buckets=1):
    """Exits with the differences unless every output of {name: path} equals the first; gives the number of users."""
    folder = Path(folder)
    (first, path), *rest = outputs.items()
    reference = Buckets(path, folder / first, buckets)
    for name, path in rest:
        other = Buckets(path, folder / name, buckets)
        shown, total = differences(reference, other)
        if total:
            sys.exit(
                "\n".join(shown) + f"\nbench: {total} users differ between {first} and {name}; a figure would mean nothing"
            )
        print(f"  {name}: {other.users:,} users equal to {first}'s", file=sys.stderr, flush=True)
        other.remove()
    reference.remove()
    return reference.users
