"""The same events in other clothes: what producers really write, derived line by line from a plain file.

Each variant keeps the facts, so adprof must answer the same; where it renames (ids, categories), `back` undoes it in the
output. Lines are built as text, since the text is what matters here.
"""

import json
import multiprocessing
import os
import re

ACCENTED = {"category": "Mode & Beauté — 時尚", "title": "Ärmelloses Kleid, größe 38, 連身裙"}
NESTED = (
    '"properties":{"device":{"os":"ios","version":17.2},"path":["/","/sale","/sale/7"],"ab":[1,2,3],"vip":false,'
    '"ref":null,"note":"x,y:{z}"}'
)
CONTEXT = '"context":{"page":{"url":"https://shop.example/a?b=c","refs":[{"a":[]}]}}'
FIRST = ("eventId", "userId", "eventType", "timestamp")


def fields(line):
    """The line as [(key, raw value)], in order; the raw value is its text."""
    return [(key, json.dumps(value, separators=(",", ":"))) for key, value in json.loads(line).items()]


def text(pairs, comma=",", colon=":"):
    return "{" + comma.join(f'"{key}"{colon}{value}' for key, value in pairs) + "}\n"


def mixed(line, n):
    """Four producers, interleaved: four orders of keys, and optional keys of their own."""
    pairs, producer = dict(fields(line)), n % 4
    extra = [
        [],
        [("platform", '"web"'), ("country", '"DE"')],
        [("appVersion", '"4.12.0"'), ("ip", '"203.0.113.7"'), ("screen", "1080")],
        [("locale", '"de-DE"'), ("consent", "true")],
    ][producer]
    keys = list(pairs)
    if producer == 1:
        keys = sorted(keys)
    elif producer == 2:
        keys = ["timestamp", "eventType", "userId", "eventId"] + [k for k in keys if k not in FIRST]
    elif producer == 3:
        keys = keys[::-1]
    found = [(key, pairs[key]) for key in keys]
    half = len(found) // 2
    return text(found[:half] + extra + found[half:])


def nested(line, _):
    """An object of six keys with lists and an object in it, before and among the needed fields."""
    pairs = [(k, v) for k, v in fields(line) if k != "properties"]
    return "{" + ",".join([NESTED, text(pairs[:2])[1:-2], CONTEXT, text(pairs[2:])[1:]])


def dressed(ensure_ascii):
    def variant(line, _):
        event = json.loads(line)
        if "category" in event:
            event["category"] = f'{event["category"]} {ACCENTED["category"]} "neu"'
        event["title"] = ACCENTED["title"] + ' "neu"'
        return json.dumps(event, ensure_ascii=ensure_ascii, separators=(",", ":")) + "\n"

    return variant


def non_ascii(line, _):
    event = json.loads(line)
    if "category" in event:
        event["category"] += f' {ACCENTED["category"]}'
    event["title"] = ACCENTED["title"]
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"


def uuid(line, _):
    """u-0001234 becomes a UUID whose last twelve digits say who it was."""
    return re.sub(r'"userId":"u-(\d+)"', lambda m: f'"userId":"{uuid_of(m[1])}"', line)


def uuid_of(number):
    mixed_up = int(number) * 0x9E3779B97F4A7C15 % 2**64
    digits = f"{mixed_up:016x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-8{digits[13:16]}-{int(number):012d}"


def long_ids(line, _):
    """User and event ids of 64 bytes; what they were stands in front."""
    def longer(m):
        filled = m[2] + "~" + f"{int.from_bytes(m[2].encode(), 'big') * 0x9E3779B97F4A7C15F39CC0605CEDC835:0128x}"[-64:]
        return f'"{m[1]}":"{filled[:64]}"'

    return re.sub(r'"(eventId|userId)":"([^"]+)"', longer, line)


def same(value):
    return value


def plain_category(value):
    return value and value.split(" ")[0]


def plain_uuid(user):
    return f"u-{int(user[24:]):07d}"


def plain_long(user):
    return user.split("~")[0]


# name: (what it is, the line's new text, the user's old name, the category's old name)
VARIANTS = {
    "mixed": ("four producers interleaved: four orders of keys, different optional keys", mixed, same, same),
    "nested": ("objects and lists before and among the needed fields", nested, same, same),
    "escapes": (r"`\"` and `\u00e9` in the category and another text", dressed(True), same, plain_category),
    "non-ascii": ("accents and Chinese in the category and another text", non_ascii, same, plain_category),
    "uuid": ("user ids are UUIDs (36 bytes)", uuid, plain_uuid, same),
    "long-ids": ("user and event ids of 64 bytes", long_ids, plain_long, same),
    "crlf": ("lines end in CR LF", lambda line, _: line[:-1] + "\r\n", same, same),
    "spaces": ("a space after colons and commas", lambda line, _: json.dumps(json.loads(line)) + "\n", same, same),
}


def part(name, source, target, start, end):
    """Rewrites the lines that begin in [start, end) of the source."""
    rewrite = VARIANTS[name][1]
    with open(source, "rb") as lines, open(target, "wb") as out:
        if start:
            lines.seek(start - 1)
            lines.readline()  # a line that begins before belongs to the part before
        n, at = 0, lines.tell()
        while at < end:
            line = lines.readline()
            if not line:
                break
            at += len(line)
            out.write(rewrite(line.decode(), n).encode())
            n += 1


def make(name, source, target):
    """Writes the variant of `source` to `target`, on all cores."""
    size, workers = os.path.getsize(source), len(os.sched_getaffinity(0))
    cuts = [size * n // workers for n in range(workers + 1)]
    parts = [f"{target}.{n}" for n in range(workers)]
    jobs = [
        multiprocessing.Process(target=part, args=(name, source, parts[n], cuts[n], cuts[n + 1])) for n in range(workers)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
        if job.exitcode != 0:
            raise SystemExit(f"bench: variant {name}: exit code {job.exitcode}")
    with open(target, "wb") as out:
        for path in parts:
            with open(path, "rb") as piece:
                while block := piece.read(1 << 20):
                    out.write(block)
            os.unlink(path)
