"""Tables for docs/benchmarks.md: rows of medians, and the part of the page between two marks."""

import statistics
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def human(n):
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.3g}"


def median(runs):
    return statistics.median(r.seconds for r in runs)


def statement(runs):
    """The median of the statements alone; of whole processes where there is no other clock."""
    return statistics.median(r.seconds if r.statement is None else r.statement for r in runs)


def spread(values):
    values = sorted(values)
    return f"{statistics.median(values):.3f} s ({values[0]:.3f}-{values[-1]:.3f})"


def whole(runs):
    return spread([r.seconds for r in runs])


def alone(runs):
    return spread([r.seconds if r.statement is None else r.statement for r in runs])


def peak(runs):
    return f"{max(r.peak_mib for r in runs):,.0f} MiB"


def table(head, rows):
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows])


def publish(name, text, write):
    """Prints the part, and with `write` puts it between its marks in docs/benchmarks.md."""
    print(text, flush=True)
    if not write:
        return
    page = DOCS / "benchmarks.md"
    shown = page.read_text(encoding="utf-8")
    before, start, rest = shown.partition(f"<!-- bench: {name} -->\n")
    _, end, after = rest.partition(f"<!-- end: {name} -->\n")
    if not end or shown.count(start) > 1:
        sys.exit(f"bench: docs/benchmarks.md: not one part marked `bench: {name}`")
    page.write_text(f"{before}{start}\n{text}\n\n{end}{after}", encoding="utf-8")
