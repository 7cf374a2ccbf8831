"""A bar chart as SVG, written by hand: horizontal bars on a logarithmic axis, readable on light and on dark pages."""

import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, ROW, BAR, BOTTOM = 760, 150, 150, 64, 30, 20, 46
# The page decides about light or dark; these are told apart on both.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: 600; }
.small { font-size: 11px; fill: #57606a; }
.grid { stroke: #8c959f; stroke-opacity: .35; }
.bar { fill: #8c959f; }
.ours { fill: #1f883d; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9198a1; }
  .ours { fill: #3fb950; }
}
"""


def ticks(low, high):
    """1, 2, 5, 10, 20 … within the axis."""
    found, power = [], math.floor(math.log10(low))
    while 10.0**power <= high:
        found += [t for t in (10.0**power * f for f in (1, 2, 5)) if low <= t * 1.0000001 and t <= high * 1.0000001]
        power += 1
    return found


def bars(title, subtitle, values, ours):
    """The picture of {name: seconds}, the fastest on top; `ours` in another colour, the others with their ratio to it."""
    rows = sorted(values.items(), key=lambda item: item[1])
    # A bar on a logarithmic axis has no zero to start from: it starts at the tick below half of the shortest.
    low = 10.0 ** math.floor(math.log10(rows[0][1] / 2))
    high = rows[-1][1] * 1.05
    scale = (WIDTH - LEFT - RIGHT) / math.log(high / low)

    def x(seconds):
        return LEFT + math.log(seconds / low) * scale

    height = TOP + ROW * len(rows) + BOTTOM
    foot = TOP + ROW * len(rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
        f'<text class="small" x="12" y="44">{escape(subtitle)}</text>',
    ]
    for tick in ticks(low, high):
        out.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 6}" y2="{foot}"/>')
        out.append(f'<text class="small" x="{x(tick):.1f}" y="{foot + 16}" text-anchor="middle">{tick:g} s</text>')
    out.append(f'<text class="small" x="{LEFT}" y="{foot + 36}">seconds, logarithmic axis: equal steps are equal factors</text>')
    for n, (name, seconds) in enumerate(rows):
        y = TOP + ROW * n
        kind = "ours" if name == ours else "bar"
        ratio = "" if name == ours or ours not in values else f"  ({seconds / values[ours]:.1f} ×)"
        out.append(f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{x(seconds) - LEFT:.1f}" height="{BAR}" rx="2"/>')
        out.append(f'<text x="{x(seconds) + 8:.1f}" y="{y + 15}">{seconds:.3g} s{ratio}</text>')
    out.append("</svg>\n")
    return "\n".join(out)
