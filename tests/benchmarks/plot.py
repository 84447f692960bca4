"""The figures as bars: an SVG, written by hand, since nothing else here would need a library for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from tests.benchmarks.measure import Series

WIDTH, BAR, GAP, LABEL, HEAD = 900, 18, 14, 260, 30
COLOURS = ("#9aa5b1", "#c9a24d", "#2f7d6b", "#7d4f9e")


def svg(measured: Mapping[str, Sequence[Series]]) -> str:
    """A group a case and number of connections, a bar a subject, keys a second."""
    parts, top = list[str](), GAP
    for title, found in measured.items():
        parts.append(f'<text x="{GAP}" y="{top + 14}" font-weight="bold">{escape(title)}</text>')
        top += HEAD
        longest = max((each.median("per_s") for each in found if each.rounds), default=1.0)
        subjects = list(dict.fromkeys(each.subject for each in found))
        for each in found:
            if each.rounds:
                colour = COLOURS[subjects.index(each.subject) % len(COLOURS)]
                parts += _bar(f"{each.subject} at {each.connections}", each.median("per_s"), longest, top, colour)
                top += BAR + 4
        top += GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _bar(label: str, value: float, longest: float, top: int, colour: str) -> Iterator[str]:
    width = (WIDTH - LABEL - 120) * value / longest
    yield f'<text x="{LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(label)}</text>'
    yield f'<rect x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
    yield f'<text x="{LABEL + width + 6:.1f}" y="{top + 13}">{value:,.0f}/s</text>'
