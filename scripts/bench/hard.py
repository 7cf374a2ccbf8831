"""A small file in which engines that only seem to agree would not: what generated events never show.

Whole hours as timestamps, so that many events of a user are equally late and window edges are hit exactly; ids of several
lengths, so that the order of ids matters; events after the as-of; clicks and views without a category; refunds, sums of zero,
amounts written 5, 5.0 and 5.00; the same user and event id under two tenants, which are two events; duplicates far apart.
"""

import json
import random

HOUR = 3_600_000


def write(source, target, lines=20_000):
    """Derives the file from the first events of `source`; the same input gives the same bytes."""
    rng, kept = random.Random(7), []
    with open(source, encoding="utf-8") as events, open(target, "w", encoding="utf-8") as out:
        for n, line in zip(range(lines), events):
            event = json.loads(line)
            # Spread over the month and a day beyond its end; few users, so that each has many.
            event["timestamp"] = event["timestamp"] // HOUR * HOUR + rng.randrange(31 * 24) * HOUR
            event["userId"] = f"u-{rng.randrange(100)}"
            event["eventId"] = f"e-{n * 7919 % 100_003}"
            if rng.random() < 0.5:
                event["eventType"] = rng.choice(["click", "click", "view", "purchase"])
            if rng.random() < 0.1:
                event.pop("category", None)
            event.pop("amount", None)
            if event["eventType"] == "purchase":
                event["amount"] = "AMOUNT"
            amount = rng.choice(["5", "5.0", "5.00", "-5", "0.01", "99.99", "100", "0.1", "0.2", "12345678.9"])
            text = json.dumps(event).replace('"AMOUNT"', amount)
            out.write(text + "\n")
            kept.append(text)
            if rng.random() < 0.05:
                out.write(rng.choice(kept) + "\n")
            if rng.random() < 0.05:
                out.write(f'{{"tenantId": "t{rng.randrange(2)}", {text[1:]}\n')
