"""Random definition sets and random events; the same seed gives the same ones.

A set is a few tags of one entity: aggregations over events, and tags derived from them. Many sets stand in one definition file,
each with its number in front of its codes, so that one statement computes all of an entity.
"""

import json
import random

FIELDS = {
    "properties.duration": "int",
    "properties.score": "double",
    "properties.price": "decimal",
    "properties.title": "string",
    "properties.vip": "bool",
    "properties.seen": "datetime",
    "rank": "int",
    "note": "string",
}
FIXED = {
    "eventId": "string",
    "userId": "string",
    "eventType": "string",
    "category": "string",
    "itemId": "string",
    "amount": "decimal",
    "timestamp": "datetime",
}
TYPES = ["bool", "int", "decimal", "double", "string", "datetime"]
WORDS = ["", "a", "ab", "aB", "sports", "Sports", "12", "-3", "+7", " x ", "é", "日本語", "！", "😀", "a%b", "a_b", "x'y", "b\\c",
         "true", "F", " 42 ", "1e3", "a\nb", "it's", "\"q\"", "Ω", "zz top"]
PATTERNS = ["%", "a%", "%b", "%o%", "_", "__", "a_b", "s%s", "%日%", "", "ab", "!%%", "%!_%", "_%_", "%\\%", "%'%", "%😀"]
INTS = [0, 1, -1, 2, 7, -12, 100, 999999, 2**53 + 1, 2**63 - 1, -(2**63)]
DECIMALS = ["0.0", "0.000001", "-0.5", "0.5", "1.5", "150.75", "-2.5", "0.333333", "99.999999", "123456789.987654", "-1000.0"]
DOUBLES = ["0e0", "5e-1", "-5e-1", "1.5e0", "2e0", "1e-1", "-1.5075e2", "1e3", "2.5e0", "1e300", "1e-300"]
NOW = 1_731_296_325_000
HOUR = 3_600_000


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


class Expressions:
    """Random expressions over names of known types."""

    def __init__(self, rng, names, as_of=False):
        self.rng, self.names, self.as_of = rng, names, as_of

    def of(self, ty, depth):
        rng = self.rng
        if depth == 0 or rng.random() < 0.2:
            return self.leaf(ty)
        if rng.random() < 0.2:
            return self.choice(ty, depth - 1)
        return getattr(self, ty)(depth - 1)

    def leaf(self, ty):
        rng = self.rng
        names = [name for name, known in self.names.items() if known == ty]
        if ty == "datetime" and self.as_of and rng.random() < 0.4:
            return "as_of()"
        if names and rng.random() < 0.75:
            return rng.choice(names)
        if rng.random() < 0.06:
            return "NULL"
        if ty == "bool":
            return rng.choice(["TRUE", "FALSE"])
        if ty == "int":
            return str(rng.choice(INTS) if rng.random() < 0.3 else rng.randint(-12, 12))
        if ty == "decimal":
            return rng.choice(DECIMALS)
        if ty == "double":
            return rng.choice(DOUBLES)
        if ty == "datetime":
            return rng.choice(["TIMESTAMP '2024-11-11 03:38:45'", "TIMESTAMP '2024-11-10T00:00:00.001Z'", "DATE '2024-11-09'"])
        return quoted(rng.choice(WORDS))

    def choice(self, ty, depth):
        rng, of = self.rng, self.of
        pick = rng.randrange(6)
        if pick == 0:
            return f"CASE WHEN {of('bool', depth)} THEN {of(ty, depth)} WHEN {of('bool', depth)} THEN {of(ty, depth)} ELSE {of(ty, depth)} END"
        if pick == 1:
            other = rng.choice(["int", "string", "decimal", "bool"])
            return f"CASE {of(other, depth)} WHEN {of(other, depth)} THEN {of(ty, depth)} WHEN {of(other, 0)} THEN {of(ty, depth)} END"
        if pick == 2:
            return f"COALESCE({of(ty, depth)}, {of(ty, depth)}, {of(ty, 0)})"
        if pick == 3:
            return f"NULLIF({of(ty, depth)}, {of(ty, depth)})"
        name = rng.choice(["GREATEST", "LEAST"])
        return f"{name}({', '.join(of(ty, depth if i == 0 else 0) for i in range(rng.randint(1, 3)))})"

    def bool(self, depth):
        rng, of = self.rng, self.of
        ty = rng.choice(TYPES)
        lists = [(name, ty[5:-1]) for name, ty in self.names.items() if ty.startswith("list<")]
        if lists and rng.random() < 0.4:
            name, ty = rng.choice(lists)
            return f"CONTAINS({name}, {of(ty, depth)})"
        comparison = rng.choice(["=", "<>", "<", "<=", ">", ">="])
        pick = rng.randrange(13)
        if pick == 0:
            return f"({of('bool', depth)} AND {of('bool', depth)} AND {of('bool', depth)})"
        if pick == 1:
            return f"({of('bool', depth)} OR {of('bool', depth)})"
        if pick == 2:
            return f"(NOT ({of('bool', depth)}))"
        if pick == 3:
            return f"(({of(ty, depth)}) IS {rng.choice(['', 'NOT '])}NULL)"
        if pick == 4:
            return f"(({of('bool', depth)}) IS {rng.choice(['TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE'])})"
        if pick == 5:
            items = ", ".join(of(ty, rng.choice([0, depth])) for _ in range(3))
            return f"(({of(ty, depth)}) {rng.choice(['', 'NOT '])}IN ({items}))"
        if pick == 6:
            return f"(({of(ty, depth)}) {rng.choice(['', 'NOT '])}BETWEEN ({of(ty, depth)}) AND ({of(ty, depth)}))"
        if pick in (7, 8):
            escape = rng.choice(["", " ESCAPE '!'"])
            return f"(({of('string', depth)}) {rng.choice(['', 'NOT '])}LIKE {quoted(rng.choice(PATTERNS))}{escape})"
        if pick == 9:
            a, b = rng.choice(["int", "decimal", "double"]), rng.choice(["int", "decimal", "double"])
            return f"({of(a, depth)} {comparison} {of(b, depth)})"
        if pick == 10:
            return f"CAST({of(rng.choice(['int', 'decimal', 'string', 'double']), depth)} AS BOOLEAN)"
        return f"(({of(ty, depth)}) {comparison} ({of(ty, depth)}))"

    def int(self, depth):
        rng, of = self.rng, self.of
        lists = [name for name, ty in self.names.items() if ty.startswith("list<")]
        if lists and rng.random() < 0.4:
            return f"LEN({rng.choice(lists)})"
        pick = rng.randrange(11)
        if pick < 4:
            return f"(({of('int', depth)}) {'+-*%'[pick]} ({of('int', depth)}))"
        if pick == 4:
            return f"(-({of('int', depth)}))"
        if pick == 5:
            return f"{rng.choice(['ABS', 'FLOOR', 'CEIL'])}({of('int', depth)})"
        if pick == 6:
            return f"LENGTH({of('string', depth)})"
        if pick == 7:
            return f"ROUND({of('int', depth)}, {rng.randint(-3, 2)})"
        if pick == 8:
            return f"(({of('datetime', 0)}) - ({of('datetime', 0)}))"
        return f"CAST({of(rng.choice(['string', 'decimal', 'double', 'bool', 'datetime']), depth)} AS BIGINT)"

    def decimal(self, depth):
        rng, of = self.rng, self.of
        pick = rng.randrange(9)
        if pick < 4:
            return f"(({of('decimal', depth)}) {'+-%*'[pick]} ({of(rng.choice(['decimal', 'int']), min(depth, 1))}))"
        if pick == 4:
            a = rng.choice(["decimal", "int"])
            return f"(({of(a, depth)}) / ({of(rng.choice(['decimal', 'int']), min(depth, 1))}))"
        if pick == 5:
            return f"{rng.choice(['ABS', 'FLOOR', 'CEIL', '-'])}({of('decimal', depth)})"
        if pick == 6:
            return f"ROUND({of('decimal', depth)}, {rng.randint(-2, 7)})"
        return f"CAST({of(rng.choice(['int', 'bool', 'double']), depth)} AS DECIMAL(38,6))"

    def double(self, depth):
        rng, of = self.rng, self.of
        pick = rng.randrange(7)
        if pick < 4:
            return f"(({of('double', depth)}) {'+-*/'[pick]} ({of(rng.choice(['double', 'decimal', 'int']), min(depth, 1))}))"
        if pick == 4:
            return f"{rng.choice(['ABS', 'FLOOR', 'CEIL', 'ROUND', '-'])}({of('double', depth)})"
        if pick == 5:
            return f"ROUND({of('double', depth)}, {rng.randint(-1, 3)})"
        if rng.random() < 0.3:
            return f"BUCKET('exp1', {of('string', min(depth, 1))})"
        return f"CAST({of(rng.choice(['int', 'decimal', 'bool']), depth)} AS DOUBLE)"

    def string(self, depth):
        rng, of = self.rng, self.of
        pick = rng.randrange(8)
        if pick == 0:
            return f"(({of('string', depth)}) || ({of('string', depth)}))"
        if pick == 1:
            return f"CONCAT({of('string', depth)}, {of('string', 0)}, {of('string', 0)})"
        if pick == 2:
            return f"{rng.choice(['TRIM', 'LTRIM', 'RTRIM'])}({of('string', depth)})"
        if pick == 3:
            return f"{rng.choice(['TRIM', 'LTRIM', 'RTRIM'])}({of('string', depth)}, {quoted(rng.choice(['a', ' x', 'ab', 'é', '']))})"
        if pick == 4:
            length = rng.choice(["", f", {rng.randint(-1, 4)}"])
            return f"SUBSTRING({of('string', depth)}, {rng.randint(-4, 4)}{length})"
        if pick == 5:
            return f"{rng.choice(['LOWER', 'UPPER'])}({of('string', depth)})"
        return f"CAST({of(rng.choice(['int', 'bool', 'decimal']), depth)} AS VARCHAR)"

    def datetime(self, depth):
        rng, of = self.rng, self.of
        if rng.random() < 0.5:
            return f"(({of('datetime', 0)}) {rng.choice('+-')} ({of('int', 0)}))"
        return f"CAST({of('int', depth)} AS TIMESTAMP)"


class Entity:
    """A random way to key events; of users where it has no parts."""

    def __init__(self, name, parts=(), retain=None):
        self.name, self.parts, self.retain = name, parts, retain

    @staticmethod
    def random(rng, number):
        # Most events have what the first part is made of.
        parts = [key_part(rng, rng.random() < 0.7) for _ in range(rng.choice([1, 1, 2, 2, 3]))]
        retain = rng.choice([None, None, "90s", "1h", "36h", "7d", "60d"])
        return Entity(rng.choice([f"e{number}", f"an-entity.{number}"]), parts, retain)

    def columns(self):
        if not self.parts:
            return ["userId"]
        return [self.name] if len(self.parts) == 1 else [f"{self.name}_{n + 1}" for n in range(len(self.parts))]

    def written(self):
        key = toml(self.parts[0]) if len(self.parts) == 1 else "[" + ", ".join(map(toml, self.parts)) + "]"
        lines = ["[[entity]]", f"name = {json.dumps(self.name)}", f"key = {key}"]
        return "\n".join([*lines, f"retain = {json.dumps(self.retain)}"] if self.retain else lines) + "\n\n"


SPANS = ["1s", "90s", "15m", "1h", "36h", "7d", "60d"]


def key_part(rng, plain):
    if plain:
        return rng.choice(["itemId", "category", "userId", "eventType", "rank", "properties.vip", "properties.tags[]", "labels[]",
                           "tumble(timestamp, '1m')", "tumble(timestamp, '1d')", "hop(timestamp, '1h', '20m')"])
    instants = Expressions(rng, FIXED | FIELDS).of("datetime", rng.choice([0, 0, 1]))
    pick = rng.randrange(7)
    if pick == 0:
        return f"tumble({instants}, {quoted(rng.choice(['1s', '7m', '1d', '3w']))})"
    if pick == 1:
        size, step = rng.choice([("1h", "20m"), ("5s", "1s"), ("2d", "1d"), ("9w", "3w"), ("1s", "1ms"), ("30m", "30m")])
        return f"hop({instants}, {quoted(size)}, {quoted(step)})"
    return Expressions(rng, FIXED | FIELDS).of(rng.choice(["string", "string", "int", "bool", "datetime"]), rng.choice([0, 1, 2]))


USERS = Entity("user")


def there(number, entity):
    """A tag that has a value for each key that is there, and none for one that is forgotten."""
    return "\n".join(["[[tag]]", f'code = "s{9000 + number}_there"', f"entity = {json.dumps(entity.name)}", 'value = "count(*)"', ""])


def one_set(rng, number, entity):
    """[(code, lines of TOML)], the types of the tags."""
    tags, types = [], {}
    fields = FIXED | FIELDS
    for i in range(rng.randint(1, 2)):
        code = f"s{number}_a{i}"
        inner = Expressions(rng, fields)
        name = rng.choice(["count(*)", "count", "sum", "avg", "min", "max", "first", "last", "last", "count_distinct", "several"])
        depth = rng.choice([0, 0, 1, 2, 3])
        if name == "count(*)":
            value, ty = name, "int"
        elif name in ("sum", "avg"):
            arg = rng.choice(["int", "decimal", "decimal", "double"])
            ty = "int" if (name, arg) == ("sum", "int") else "decimal"
            # A sum of ints beyond 64 bits is an error in an engine.
            value = f"{name}({'(' + inner.of('int', depth) + ') % 1000000' if arg == 'int' else inner.of(arg, depth)})"
            if arg == "double":
                value = f"{name}({inner.of('double', min(depth, 1))})"
        elif name == "several":
            arg = rng.choice(TYPES)
            value, ty = f"{rng.choice(['first_k', 'last_k'])}({inner.of(arg, depth)}, {rng.randint(1, 4)})", f"list<{arg}>"
        else:
            arg = rng.choice([ty for ty in TYPES if ty != "bool" or name not in ("min", "max")])
            value = f"{name}({inner.of(arg, depth)})"
            ty = "int" if name.startswith("count") else arg
        lines = [f"code = {json.dumps(code)}", f"value = {toml(value)}"]
        if rng.random() < 0.6:
            lines.append(f"where = {toml(inner.of('bool', rng.choice([1, 1, 2, 3])))}")
        if rng.random() < 0.5:
            lines.append(f"window = {json.dumps(rng.choice(SPANS[: SPANS.index(entity.retain) + 1 if entity.retain else None]))}")
            if rng.random() < 0.3 and entity.retain not in SPANS[:4]:
                lines[-1] = 'window = "6h"'
                lines.append(f"resolution = {json.dumps(rng.choice(['1h', '15m', '10s']))}")
        tags.append((code, lines))
        types[code] = ty
    for i in range(rng.choice([0, 1, 1, 2])):
        code = f"s{number}_d{i}"
        ty = rng.choice(TYPES)
        value = Expressions(rng, dict(types), as_of=True).of(ty, rng.choice([1, 2, 3]))
        tags.append((code, [f"code = {json.dumps(code)}", f"value = {toml(value)}"]))
        types[code] = ty
    return [(code, [*lines, f"entity = {json.dumps(entity.name)}"] if entity.parts else lines) for code, lines in tags]


def toml(text):
    return json.dumps(text, ensure_ascii=False)


def fields():
    """The declarations of fields."""
    blocks = [f"[[field]]\npath = {json.dumps(path)}\ntype = {json.dumps(ty)}\n\n" for path, ty in FIELDS.items()]
    return "".join(blocks)


def definitions(rng, sets, entities):
    """A definition file of so many sets, of users and of the entities."""
    lines = []
    for number in range(sets):
        entity = rng.choice([USERS, USERS, *entities])
        for _, tag in one_set(rng, number, entity):
            lines += ["[[tag]]", *tag, ""]
    tags = [there(number, entity) for number, entity in enumerate(entities)]
    return fields() + "".join(entity.written() for entity in entities) + "\n".join([*tags, *lines])


def events(rng, n):
    """Two logs of the same events: with duplicates of another body, of which the first counts, and without such.

    Both have ties in time, missing fields, fields of another type than declared, duplicates that are equal, and events of
    several users with one id and instant.
    """
    users = ["u1", "u2", "ü-3", "用户4", "u 5", "u6"]
    made = []
    for i in range(n):
        at = NOW - rng.choice([0, 1, 999, rng.randrange(5_000), rng.randrange(2 * HOUR), rng.randrange(48 * HOUR), rng.randrange(70 * 24 * HOUR)])
        if made and rng.random() < 0.3:
            at = rng.choice(made)["timestamp"]
        event = {"eventId": f"e{rng.choice(['', 'é', '！', '😀', 'Z'])}{i}", "userId": rng.choice(users)}
        event |= {"eventType": rng.choice(["click", "purchase", "view", "größe"]), "timestamp": at}
        if rng.random() < 0.2:
            event["tenantId"] = rng.choice(["t1", "t2"])
        if rng.random() < 0.7:
            event["category"] = rng.choice(WORDS)
        if rng.random() < 0.4:
            event["itemId"] = rng.choice(["i-1", "i-2", "", None])
        if rng.random() < 0.6:
            event["amount"] = Raw(rng.choice([*DECIMALS, "1e2", "0", "-7", "9223372036854.775807", "1234567890.123456", "2.50"]))
        if rng.random() < 0.7:
            event["properties"] = properties(rng)
        if rng.random() < 0.4:
            event["rank"] = rng.choice([1, 2, -5, "3", None, Raw("4.0"), 2**63 - 1, True])
        if rng.random() < 0.4:
            event["note"] = rng.choice([*WORDS, *EDGES, 5, False, None, ["a"], {"b": 1}])
        if rng.random() < 0.3:
            event["labels"] = items(rng)
        made.append(event)
    for event in rng.sample(made, n // 10):
        other = rng.choice([user for user in users if user != event["userId"]])
        made.append(event | {"userId": other, "category": rng.choice(WORDS), "rank": rng.choice([1, 63, 64, -2])})
    again = rng.sample(made, n // 5)
    changed = []
    for event in rng.sample(made, n // 10):
        changed.append(event | {"category": rng.choice(WORDS), "amount": Raw("77.7")})
    # Time is at its end from the first line on: no duplicate is beyond the horizon of `stream`.
    last = {"eventId": "last", "userId": "u1", "eventType": "view", "timestamp": NOW}
    conflicting, equal = made + again + changed, made + again
    rng.shuffle(conflicting)
    rng.shuffle(equal)
    return ["".join(line(event) for event in [last, *those]) for those in (conflicting, equal)]


# Texts at the edges of what can be a part of a key.
EDGES = ["x" * 1024, "x" * 1025, "é" * 512, "é" * 513, "a\u007f", "\u0085", "\u2028", "a\tb", "~", "\u00a0"]


def items(rng):
    """A JSON array, or what is none."""
    if rng.random() < 0.1:
        return rng.choice(["text", 5, None, True, {"a": 1}])
    odd = [*EDGES, "1", 1, -7, "true", True, False, None, Raw("1.0"), Raw("1e2"), Raw("-0"), 2**63 - 1, -(2**63), 2**63, 2**64 + 5,
           -(2**63) - 1, "9223372036854775808", "]", "[", "\\", '\\"', ",", "{", [], {}, ["a"], {"x": ["]", '"']}, [[1, {"y": "}"}], "b"]]
    return [rng.choice(rng.choice([WORDS, odd])) for _ in range(rng.randrange(7))]


def properties(rng):
    found = {}
    for name, good, bad in [
        ("duration", [0, 5, -3, 12345, 2**62], ["5", True, Raw("1.5"), Raw("1e2"), None, [1]]),
        ("score", [Raw("0.5"), Raw("-1.25"), 3, Raw("1e-7"), Raw("0.1"), Raw("1.7976931348623157e308")], ["1.5", None, {}]),
        ("price", [Raw("1.50"), Raw("0.1"), 7, Raw("9876543210.123456"), Raw("1e2")], ["2.5", Raw("0.1234567"), True, None]),
        ("title", WORDS, [5, True, None, ["a"]]),
        ("vip", [True, False], ["true", 1, None]),
        ("seen", [NOW, NOW - HOUR, 0], ["x", None]),
    ]:
        if rng.random() < 0.6:
            found[name] = rng.choice(good if rng.random() < 0.8 else bad)
    if rng.random() < 0.5:
        found["tags"] = items(rng)
    return found if rng.random() < 0.95 else rng.choice([5, "text", None, []])


class Raw:
    """A number as it is written."""

    def __init__(self, text):
        self.text = text


def line(event):
    return written(event) + "\n"


def written(value):
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def generator(seed, round_number):
    return random.Random(f"{seed}/{round_number}")
