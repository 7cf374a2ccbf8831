"""The figures of `segment lookalike` once more, from the lists it writes: oracle.py REPORT HELD_OUT

Prints recall, lift with its interval and AUC, by counting pair by pair.
"""

import json
import math
import sys

Z = 1.959963984540054

report = json.load(open(sys.argv[1], encoding="utf-8"))
held = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
figures = report["heldOut"]
weight = {True: figures["seedWeight"], False: 1}

seeds = [one["logit"] for one in held if one["seed"]]
others = [one["logit"] for one in held if not one["seed"]]
people = sum(weight[one["seed"]] for one in held)
size = math.floor(report["size"] * people / (report["seedUsers"] + report["otherUsers"]) + 0.5)
size = min(max(size, 1), math.floor(people))

# The chance of each of the seed to be among the first `size`, where equals stand in random order.
recall = 0.0
for own in seeds:
    above = sum(weight[one["seed"]] for one in held if one["logit"] > own)
    equal = sum(weight[one["seed"]] for one in held if one["logit"] == own)
    recall += min(1.0, max(0.0, (size - above) / equal)) / len(seeds)

n = len(seeds)
middle = (recall + Z * Z / (2 * n)) / (1 + Z * Z / n)
half = Z / (1 + Z * Z / n) * math.sqrt(recall * (1 - recall) / n + Z * Z / (4 * n * n))
random = size / people
auc = sum(1.0 if own > other else 0.5 if own == other else 0.0 for own in seeds for other in others)
print(json.dumps({
    "size": size,
    "recall": recall,
    "lift": recall / random,
    "liftLow": max(middle - half, 0.0) / random,
    "liftHigh": min(middle + half, 1.0) / random,
    "auc": auc / (len(seeds) * len(others)),
}))
