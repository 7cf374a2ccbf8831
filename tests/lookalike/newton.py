"""The model of `segment lookalike` once more, from the profiles: newton.py REPORT HELD_OUT PROFILES SEED_IDS

Makes the features as docs/lookalike.md says, finds the weights by Newton's method with dense matrices, and prints by how
much weights, means and the intercept of the report differ at most. For stores of which no sample is taken.
"""

import json
import math
import sys
from collections import Counter

DAY = 86_400_000.0

report = json.load(open(sys.argv[1], encoding="utf-8"))
held = {json.loads(line)["userId"] for line in open(sys.argv[2], encoding="utf-8")}
profiles = {}
for line in open(sys.argv[3], encoding="utf-8"):
    profile = json.loads(line)
    profiles[profile["userId"]] = profile["tags"]
seed = set(open(sys.argv[4], encoding="utf-8").read().split())
users = [user for user in sorted(profiles) if user not in held]
labels = [user in seed for user in users]
AGES = {"seen"}


def slog(x):
    return math.copysign(math.log1p(abs(x)), x)


def moments(xs):
    mean = math.fsum(xs) / len(xs)
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in xs) / len(xs))
    skew = math.fsum((x - mean) ** 3 for x in xs) / len(xs) / deviation**3 if deviation else 0.0
    return mean, deviation, skew


def columns(code):
    """Names of features, and the values of each user."""
    values = [profiles[user].get(code) for user in users]
    there = [value for value in values if value is not None]
    missing = [float(value is None) for value in values]
    if isinstance(there[0], bool):
        return ["true", "missing"], [[float(v is True) for v in values], missing]
    if isinstance(there[0], (str, list)):
        words = [set() if v is None else {v} if isinstance(v, str) else set(v) for v in values]
        counts = Counter(word for own in words for word in own)
        known = sorted((w for w in counts if counts[w] > 1), key=lambda w: (-counts[w], w.encode()))[:32]
        made = [[float(word in own) for own in words] for word in known]
        made.append([float(bool(own - set(known))) for own in words])
        return ["=" + word for word in known] + ["other", "missing"], made + [missing]
    numbers = [v if v is None else (report["asOf"] - v) / DAY if code in AGES else float(v) for v in values]
    plain = moments([x for x in numbers if x is not None])
    logged = moments([slog(x) for x in numbers if x is not None])
    by_log = abs(plain[2]) > 1 and abs(plain[2]) > abs(logged[2])
    mean, deviation, _ = logged if by_log else plain
    scaled = [0.0 if x is None else ((slog(x) if by_log else x) - mean) / deviation for x in numbers]
    return ["log" if by_log else "number", "missing"], [scaled, missing]


def solved(matrix, right):
    """Gauss with pivots."""
    n = len(right)
    rows = [row[:] + [b] for row, b in zip(matrix, right)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(n):
            if r != i and rows[r][i]:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i])]
    return [rows[i][n] / rows[i][i] for i in range(n)]


names, features = [], []
for tag in report["tags"]:
    own, made = columns(tag["tag"])
    assert own == [f["feature"] for f in tag["features"]], (tag["tag"], own)
    names += own
    features += made
design = [[column[i] for column in features] + [1.0] for i in range(len(users))]
width = len(names)
at = [0.0] * (width + 1)
for _ in range(50):
    gradient = [report["l2"] * w for w in at[:-1]] + [0.0]
    hessian = [[report["l2"] * (i == j and i < width) for j in range(width + 1)] for i in range(width + 1)]
    for row, label in zip(design, labels):
        p = 1 / (1 + math.exp(-sum(w * x for w, x in zip(at, row))))
        some = [(j, x) for j, x in enumerate(row) if x]
        for j, x in some:
            gradient[j] += (p - label) * x
            for k, y in some:
                hessian[j][k] += p * (1 - p) * x * y
    step = solved(hessian, gradient)
    at = [w - s for w, s in zip(at, step)]
    if max(abs(s) for s in step) < 1e-12:
        break

others = [i for i, label in enumerate(labels) if not label]
means = [sum(column[i] for i in others) / len(others) for column in features]
real = report["seedUsers"] / report["otherUsers"]
taken = (len(users) - len(others)) / len(others)
intercept = at[-1] + math.log(real / taken) + sum(w * m for w, m in zip(at, means))
theirs = [f for tag in report["tags"] for f in tag["features"]]
print(json.dumps({
    "features": width,
    "weights": max(abs(a - f["weight"]) for a, f in zip(at, theirs)),
    "means": max(abs(m - f["mean"]) for m, f in zip(means, theirs)),
    "intercept": abs(intercept - report["intercept"]),
}))
