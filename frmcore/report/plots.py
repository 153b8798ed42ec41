"""Small plots as inline SVG: they take the page's colours, scale with it, and print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 200, 54, 22, 10
_SVG: Final = Markup(
    '<svg class="plot" viewBox="0 0 {w} {h}" role="img" aria-label="{label}"><title>{label}</title>{inner}</svg>'
)


class Series(NamedTuple):
    """One line: `points` share the x axis; None breaks it. css: a class of the page's style."""

    name: str
    css: str
    points: Sequence[float | None]


def lines(label: str, ticks: Sequence[str], series: Sequence[Series], *, part: bool = False, faded: int = 0) -> Markup:
    """Lines over evenly spaced ticks. part: the axis is 0 to 100 %. faded: how many ticks at the end are not to be
    believed yet."""
    most = (
        1.0 if part else max((value for each in series for value in each.points if value is not None), default=0) or 1.0
    )
    places = [_across(i, len(ticks)) for i in range(len(ticks))]
    inner = [_axes(most, part), _ends(ticks), _fade(places, faded)]
    for each in series:
        inner += [_line(each, places, most), _dots(each, places, most)]
    return _SVG.format(w=WIDTH, h=HEIGHT, label=label, inner=Markup("").join(inner)) + legend(series)


def curve(label: str, points: Sequence[tuple[float, float]], x: str, y: str) -> Markup:
    """A line through (x, y), both 0 to 1."""
    shown = " ".join(f"{_x(a):.1f},{_y(b, 1.0):.1f}" for a, b in points)
    line = Markup('<polyline class="a" points="{}"/>').format(shown)
    names = Markup('<text x="{}" y="{}" text-anchor="end">{} 100%</text><text x="{}" y="{}">{}</text>').format(
        WIDTH - 6, HEIGHT - 6, x, LEFT + 6, TOP + 10, y
    )
    return _SVG.format(w=WIDTH, h=HEIGHT, label=label, inner=_axes(1.0, True) + line + names)


def legend(series: Sequence[Series]) -> Markup:
    items = [Markup('<span class="key {}">{}</span>').format(each.css, each.name) for each in series]
    return Markup('<p class="legend">{}</p>').format(Markup(" ").join(items)) if len(series) > 1 else Markup("")


def bar(part: float | None) -> Markup:
    """A bar of 0 to 1, for a table's cell."""
    if part is None:
        return Markup("")
    return Markup('<svg class="bar" viewBox="0 0 60 8" aria-hidden="true"><rect class="rest" width="60" height="8"/>'
                  '<rect class="done" width="{:.1f}" height="8"/></svg>').format(60 * min(max(part, 0), 1))  # fmt: skip


def _x(part: float) -> float:
    return LEFT + (WIDTH - LEFT - 6) * part


def _across(i: int, count: int) -> float:
    return _x(i / (count - 1) if count > 1 else 0.5)


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / most


def _axes(most: float, part: bool) -> Markup:
    rows = []
    for share in (0, 0.5, 1):
        at = _y(share * most, most)
        shown = f"{share:.0%}" if part else f"{share * most:,.0f}" if most >= 2 else f"{share * most:.1f}"
        rows.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                           '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>')
                    .format(LEFT, WIDTH - 6, at, at, LEFT - 5, at + 4, shown))  # fmt: skip
    return Markup("").join(rows)


def _ends(ticks: Sequence[str]) -> Markup:
    if not ticks:
        return Markup("")
    first = Markup('<text x="{}" y="{}">{}</text>').format(LEFT, HEIGHT - 6, ticks[0])
    return first + Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH - 6, HEIGHT - 6, ticks[-1])


def _fade(places: Sequence[float], faded: int) -> Markup:
    if not faded:
        return Markup("")
    start = places[-faded]
    return Markup(
        '<rect class="young" x="{:.1f}" y="{}" width="{:.1f}" height="{}">'
        "<title>labels are still under way</title></rect>"
    ).format(start, TOP, max(WIDTH - 6 - start, 3), HEIGHT - BOTTOM - TOP)


def _line(each: Series, places: Sequence[float], most: float) -> Markup:
    parts: list[list[str]] = [[]]
    for x, value in zip(places, each.points, strict=True):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(f"{x:.1f},{_y(value, most):.1f}")
    return Markup("").join(
        Markup('<polyline class="{}" points="{}"/>').format(each.css, " ".join(part)) for part in parts if len(part) > 1
    )


def _dots(each: Series, places: Sequence[float], most: float) -> Markup:
    """A point without neighbours would be no line."""
    if sum(value is not None for value in each.points) > 40:
        return Markup("")
    shown = [(x, value) for x, value in zip(places, each.points, strict=True) if value is not None]
    dot = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2"/>')
    return Markup("").join(dot.format(escape(each.css), x, _y(value, most)) for x, value in shown)
