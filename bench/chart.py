"""Draws bar charts as SVG: text and rectangles alone, colours that follow the reader's light or dark scheme."""
import collections
from xml.sax.saxutils import escape

# kind: "own", "peer" or "floor". shown: its value as a text.
Bar = collections.namedtuple("Bar", "label value shown kind")
# limits: values to mark with a line; notes: lines of text below.
Panel = collections.namedtuple("Panel", "title unit bars limits notes")

WIDTH, COLUMNS, MARGIN, GAP = 960, 2, 24, 28
LABEL, VALUE = 96, 64  # room left and right of the bars
HEAD, STEP, BAR, NOTE = 34, 22, 15, 17

STYLE = """
    svg { --ground: #ffffff; --ink: #1f2328; --faint: #59636e; --own: #0969da; --peer: #b6bfc8; --floor: #d8dee4; --limit: #bc4c00; }
    @media (prefers-color-scheme: dark) {
      svg { --ground: #0d1117; --ink: #e6edf3; --faint: #9198a1; --own: #4493f8; --peer: #59636e; --floor: #30363d; --limit: #f0883e; }
    }
    text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
    .title { font-size: 17px; font-weight: 600; }
    .panel { font-size: 14px; font-weight: 600; }
    .faint { fill: var(--faint); font-size: 12px; }
    .strong { font-weight: 600; }
    .value { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; stroke-linejoin: round; }
    .end { text-anchor: end; }
    .ground { fill: var(--ground); }
    .own { fill: var(--own); }
    .peer { fill: var(--peer); }
    .floor { fill: var(--floor); }
    .limit { stroke: var(--limit); stroke-width: 2; stroke-dasharray: 4 3; }
"""


def height(panel):
    return HEAD + STEP * len(panel.bars) + NOTE * len(panel.notes) + GAP


def text(x, y, words, classes=""):
    attribute = f' class="{classes}"' if classes else ""
    return f'<text x="{x:g}" y="{y:g}"{attribute}>{escape(words)}</text>'


def draw_panel(panel, left, top, width):
    """Horizontal bars, all to the scale of the longest one."""
    lines = [text(left, top + 14, panel.title, "panel"), text(left + width, top + 14, panel.unit, "faint end")]
    room = width - LABEL - VALUE
    scale = room / (max([bar.value for bar in panel.bars] + panel.limits) or 1)
    first, values = top + HEAD - 8, []
    for i, bar in enumerate(panel.bars):
        y = first + i * STEP
        strong = "strong" if bar.kind == "own" else ""
        lines.append(text(left + LABEL - 8, y + 12, bar.label, f"end {strong}".strip()))
        lines.append(f'<rect x="{left + LABEL:g}" y="{y:g}" width="{max(bar.value * scale, 1):.1f}" height="{BAR}" rx="2" class="{bar.kind}"/>')
        values.append(text(left + LABEL + bar.value * scale + 6, y + 12, bar.shown, f"value {strong}".strip()))
    bottom = first + len(panel.bars) * STEP
    for limit in panel.limits:
        x = left + LABEL + limit * scale
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{first - 3:g}" y2="{bottom - 4:g}" class="limit"/>')
    lines += values  # above the lines
    lines += [text(left, bottom + 10 + i * NOTE, note, "faint") for i, note in enumerate(panel.notes)]
    return lines


def draw(title, panels):
    """The whole chart: panels in columns, each put where the least is above it, in their order otherwise."""
    width = (WIDTH - 2 * MARGIN - GAP * (COLUMNS - 1)) / COLUMNS
    tops = [MARGIN + 66] * COLUMNS
    lines = []
    for start in range(0, len(panels), COLUMNS):
        beside = panels[start:start + COLUMNS]
        for column, panel in enumerate(beside):
            lines += draw_panel(panel, MARGIN + column * (width + GAP), tops[column], width)
        tops = [max(tops) + max(map(height, beside))] * COLUMNS
    legend = MARGIN + 42
    marks = [(f'<rect x="{MARGIN}" y="{legend - 11}" width="14" height="12" rx="2" class="own"/>', "Unlade"),
             (f'<rect x="{MARGIN + 90}" y="{legend - 11}" width="14" height="12" rx="2" class="peer"/>', "Debian's peers"),
             (f'<rect x="{MARGIN + 226}" y="{legend - 11}" width="14" height="12" rx="2" class="floor"/>', "bytes passed on without TLS: the kernel's part"),
             (f'<line x1="{MARGIN + 553}" x2="{MARGIN + 553}" y1="{legend - 12}" y2="{legend + 2}" class="limit"/>', "what Unlade is to stay below")]
    places = [20, 110, 246, 562]
    lines += [mark for mark, _ in marks] + [text(MARGIN + x, legend, words, "faint") for x, (_, words) in zip(places, marks)]
    total = max(tops) + MARGIN - GAP
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total:g}" width="{WIDTH}" height="{total:g}" role="img">',
        f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", f'<rect width="{WIDTH}" height="{total:g}" class="ground"/>',
        text(MARGIN, MARGIN + 12, title, "title"), *lines, "</svg>", ""])
