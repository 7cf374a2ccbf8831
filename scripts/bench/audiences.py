"""bench.audiences: the part `segments` of bench.live: a stream that keeps 500 live segments current next to the same stream
without, and the memory that memberships take."""

from . import report
from .process import remove, run
from .turns import in_turn

SEGMENTS = 500
TAGS = """
[[tag]]
code = "clicks_1h_count"
value = "count(*)"
where = "eventType = 'click'"
window = "1h"
[[tag]]
code = "last_click_category"
value = "last(category)"
where = "eventType = 'click'"
[[tag]]
code = "last_active_ts"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "spent"
value = "sum(amount)"
where = "eventType = 'purchase'"
[[tag]]
code = "views_1d"
value = "count(*)"
where = "eventType = 'view'"
window = "1d"
"""


def rules(n):
    """Rules as audiences are: thresholds, categories, behaviour, relative dates, segments of segments."""
    for i in range(n):
        category, step = f"category-{i % 20}", 1 + i // 20
        yield (
            f"clicks_1h_count >= {1 + i // 5}",
            f"spent >= {10 * step} AND last_click_category = '{category}'",
            f"count(*) FILTER (WHERE eventType = 'click' AND category = '{category}') OVER (RANGE '1d' PRECEDING) >= {step}",
            f"last_active_ts > ago('{5 * (1 + i // 5)}m') AND views_1d BETWEEN {step} AND {3 * step}",
            f"in_segment('s{i - 3}') AND NOT in_segment('s{i - 4}')",
        )[i % 5]


def definitions(bench, name, rules, schedule):
    path = bench.dir / f"{name}.toml"
    segments = (f'[[segment]]\ncode = "s{i}"\nschedule = "{schedule}"\nrule = "{rule}"\n' for i, rule in enumerate(rules))
    path.write_text(TAGS + "".join(segments), encoding="utf-8")
    return path


def segments(bench):
    args = bench.args
    topic = bench.topic("segments", args.events, args.users)
    files = {
        "none": ("the same tags, no segment is live", definitions(bench, "none", rules(SEGMENTS), "daily"), ()),
        "live": (f"{SEGMENTS} live segments", definitions(bench, "live", rules(SEGMENTS), "live"), ()),
        "told": ("and enters and leaves told into a log", bench.dir / "live.toml", ("--derived", f"{bench.dir / 'derived'}/")),
    }

    def job(name):
        _, path, more = files[name]
        remove(bench.dir / "file-state")
        remove(bench.dir / "derived")
        return run(bench.stream(topic, "file-state", "-e", "-d", path, *more), bench.dir)

    runs = in_turn({name: lambda name=name: job(name) for name in files}, args.runs)
    rows = []
    for name, (words, *_) in files.items():
        rate, slower = args.events / report.median(runs[name]), report.median(runs[name]) / report.median(runs["none"])
        rows.append([words, report.whole(runs[name]), report.human(rate), f"{slower:.2f}", report.peak(runs[name])])
    head = ["embedded store", "time", "events/s", "times the time", "peak memory"]
    text = f"{bench.about()}\n- input: {args.events:,} events of {args.users:,} users\n\n{report.table(head, rows)}"
    report.publish("live-segments", f"{text}\n\n{memberships(bench)}", args.write_docs)


def memberships(bench, users=100_000):
    """What users who are in all of many segments take, and what those who are in none do."""
    topic = bench.topic("everybody", users, users)
    found = {}
    for name, rule in (("without", None), ("nobody", "last_active_ts < 0"), ("everybody", "last_active_ts > 0")):
        path = definitions(bench, name, [rule] * SEGMENTS if rule else [], "live")
        found[name] = bench.watched(topic, "file-state", users, "-d", path)
    each = {name: (found[name].rest - found["without"].rest) / found[name].users for name in ("nobody", "everybody")}
    return (
        f"A user who is in none of {SEGMENTS} segments takes {max(0, each['nobody']):.0f} bytes more than without segments, "
        f"one who is in all of them {each['everybody']:,.0f}."
    )
