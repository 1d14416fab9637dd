"""SVG chart of a comparison: distribution of waits, service level by interval, occupancy by interval.

Each policy has the same colour in all three panels. The SVG is generated without a charting library, so that the same comparison
gives the same bytes; it needs no embedded font, script or other file.
The helpers for SVG elements position lines and text to a tenth of a pixel; the benchmarks use them too.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape

from msgspec import Struct

from router.simulator.results.comparison import Comparison
from router.simulator.results.day_profile import QUANTILE_STEPS, DayProfile

_WIDTH: Final = 1100

_LEFT: Final = 78

_RIGHT: Final = 28

_PANEL_HEIGHT: Final = 210

_PANEL_PITCH: Final = 300

_LEGEND_COLUMNS: Final = 4

_NAME_SHOWN_MAX: Final = 26

# Colour-blind safe palette of Okabe and Ito, dark colours first; dashes distinguish the lines in black and white.
_COLOURS: Final = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555", "#e69f00", "#56b4e9", "#000000",
)  # fmt: skip

_DASHES: Final = ("", "9 4", "3 3", "12 3 3 3", "1 3", "6 6", "14 4", "9 3 1 3")

# The axis ends at the 99th percentile; the longest waits would compress the rest of the curve.
_WAITS_SHOWN: Final = 0.99

_DOTS_MAX: Final = 50

_SECONDS_STEPS: Final = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600,
)  # fmt: skip

_HOURS_STEPS: Final = (0.5, 1, 2, 4, 6, 12, 24, 48, 96, 168)

_Point = tuple[float, float]

_Line = list[_Point | None]
"""Points of a curve; none: the curve is interrupted."""


class _Panel(Struct, frozen=True, kw_only=True):
    """Coordinate system of one panel; the vertical axis is a share, 0 to 1."""

    title: str
    x_title: str
    """Title of the horizontal axis, with its unit."""
    y_title: str
    x_from: float
    x_to: float
    x_step: float
    x_label: Callable[[float], str]
    lines: list[_Line]
    marks: tuple[tuple[float, str], ...] = ()
    """Vertical lines at a value, with a label."""
    dots: bool = False


def comparison_chart(comparison: Comparison) -> bytes:
    """Return the comparison as an SVG document."""
    names = [one.name for one in comparison.policies]
    legend_rows = -(-len(names) // _LEGEND_COLUMNS)
    top = 62 + 22 * legend_rows
    panels = (_waits(comparison), *_by_interval(comparison))
    height = top + _PANEL_PITCH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="Helvetica, Arial, Liberation Sans, sans-serif" font-size="13" fill="#222">',
        f"<title>{xml_safe(comparison.name)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        svg_text(_LEFT, 32, comparison.name, size=19, weight="bold"),
        *_legend(names),
    ]
    for index, panel in enumerate(panels):
        parts += _draw_panel(panel, top + 34 + index * _PANEL_PITCH)
    return ("\n".join([*parts, "</svg>"]) + "\n").encode()


# --- data -----------------------------------------------------------------------------------------------------------


def _waits(comparison: Comparison) -> _Panel:
    curves = [one.profile.wait_quantiles_s for one in comparison.policies]
    cut = round(_WAITS_SHOWN * QUANTILE_STEPS)
    longest_s = max([1.0, *(curve[cut] for curve in curves if curve)])
    lines: list[_Line] = []
    for curve in curves:
        points = [(wait_s, step / QUANTILE_STEPS) for step, wait_s in enumerate(curve)]
        lines.append([(0.0, 0.0), *points] if points else [])
    thresholds_s = {one.report.service_level.threshold_s for one in comparison.policies}
    marks = [
        (float(threshold_s), "threshold")
        for threshold_s in thresholds_s
        if len(thresholds_s) == 1 and threshold_s is not None and threshold_s <= longest_s
    ]
    return _Panel(
        title="Waits of answered contacts, cumulative",
        x_title="wait in seconds, up to the longest 99th percentile",
        y_title="share of answered",
        x_from=0,
        x_to=longest_s,
        x_step=_step(longest_s, _SECONDS_STEPS),
        x_label=lambda value: f"{value:g}",
        lines=lines,
        marks=tuple(marks),
    )


def _by_interval(comparison: Comparison) -> Iterable[_Panel]:
    courses = [one.profile for one in comparison.policies]
    minutes = courses[0].interval_s / 60
    width = f"{minutes:g} minutes" if minutes < 60 else f"{minutes / 60:g} hours"
    choices: tuple[tuple[str, str, Callable[[DayProfile], Sequence[float | None]]], ...] = (
        ("Service level of contacts that arrived in the interval", "answered in time", lambda c: c.service_level),
        ("Occupancy", "share of time busy", lambda c: c.occupancy),
    )
    from_h = courses[0].from_s % 86_400 / 3600
    to_h = from_h + len(courses[0].contacts) * minutes / 60
    for title, up, values_of in choices:
        yield _Panel(
            title=f"{title}, by {width}",
            x_title="time of the day in hours" if to_h <= 24 else "hours since the first midnight",
            y_title=up,
            x_from=from_h,
            x_to=to_h,
            x_step=_step(to_h - from_h, _HOURS_STEPS),
            x_label=lambda value: f"{int(value)}:{round(value % 1 * 60):02d}",
            lines=[
                [
                    None if value is None else (from_h + (index + 0.5) * minutes / 60, value)
                    for index, value in enumerate(values_of(course))
                ]
                for course in courses
            ],
            dots=len(courses[0].contacts) <= _DOTS_MAX,
        )


def _step(span: float, steps: Sequence[float]) -> float:
    """Return the smallest step that gives at most twelve ticks; above the largest, a multiple of it."""
    for step in steps:
        if span / step <= 12:
            return step
    return steps[-1] * -(-span // (12 * steps[-1]))


# --- drawing --------------------------------------------------------------------------------------------------------


def _draw_panel(panel: _Panel, top: float) -> list[str]:
    inner = _WIDTH - _LEFT - _RIGHT
    bottom = top + _PANEL_HEIGHT

    def x_of(value: float) -> float:
        return _LEFT + inner * (value - panel.x_from) / (panel.x_to - panel.x_from)

    def y_of(share: float) -> float:
        return bottom - _PANEL_HEIGHT * share

    parts = [svg_text(_LEFT, top - 12, panel.title, size=15, weight="bold")]
    for fifth in range(6):
        y = y_of(fifth / 5)
        parts.append(svg_line(_LEFT, y, _WIDTH - _RIGHT, y, "#ddd" if fifth else "#222"))
        parts.append(svg_text(_LEFT - 8, y + 4, f"{fifth * 20} %", anchor="end"))
    tick = -(-panel.x_from // panel.x_step)
    while tick * panel.x_step <= panel.x_to:
        x = x_of(tick * panel.x_step)
        parts.append(svg_line(x, bottom, x, bottom + 5, "#222"))
        parts.append(svg_text(x, bottom + 19, panel.x_label(tick * panel.x_step), anchor="middle"))
        tick += 1
    parts.append(svg_text(_LEFT + inner / 2, bottom + 38, panel.x_title, anchor="middle"))
    middle = top + _PANEL_HEIGHT / 2
    parts.append(f'<g transform="rotate(-90 20 {middle:.1f})">{svg_text(20, middle, panel.y_title, anchor="middle")}</g>')
    for value, word in panel.marks:
        x = x_of(value)
        parts.append(svg_line(x, top, x, bottom, "#999", dash="2 3"))
        parts.append(svg_text(x + 5, bottom - 7, f"{word} {value:g} s", fill="#666"))
    # Clip the tail of the waits, with a margin of half a dot.
    area = f'x="{_LEFT - 3}" y="{top - 3:.0f}" width="{inner + 6}" height="{_PANEL_HEIGHT + 6}"'
    parts.append(f'<clipPath id="at{top:.0f}"><rect {area}/></clipPath>')
    parts.append(f'<g clip-path="url(#at{top:.0f})">')
    for index, line in enumerate(panel.lines):
        points = [None if p is None else (x_of(p[0]), y_of(p[1])) for p in line]
        parts += _curve(points, index, dots=panel.dots)
    return [*parts, "</g>"]


def _curve(points: _Line, index: int, *, dots: bool) -> list[str]:
    """Draw a curve in the colour of its policy, interrupted where values are missing."""
    colour, dash = _COLOURS[index % len(_COLOURS)], _DASHES[index % len(_DASHES)]
    path, pen_down = [], False
    for point in points:
        if point is not None:
            path.append(f"{'L' if pen_down else 'M'}{point[0]:.1f} {point[1]:.1f}")
        pen_down = point is not None
    if not path:
        return []
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    found = [f'<path d="{" ".join(path)}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>']
    if dots:
        found += [
            f'<circle cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="2.6" fill="{colour}"/>' for point in points if point is not None
        ]
    return found


def _legend(names: Sequence[str]) -> list[str]:
    width = (_WIDTH - _LEFT - _RIGHT) / _LEGEND_COLUMNS
    parts = []
    for index, name in enumerate(names):
        row, column = divmod(index, _LEGEND_COLUMNS)
        x, y = _LEFT + column * width, 58 + row * 22
        colour, dash = _COLOURS[index % len(_COLOURS)], _DASHES[index % len(_DASHES)]
        short = name if len(name) <= _NAME_SHOWN_MAX else f"{name[: _NAME_SHOWN_MAX - 1]}…"
        label = svg_text(x + 42, y, short)
        line = svg_line(x, y - 4, x + 34, y - 4, colour, dash=dash, width=2.5)
        parts.append(f"<g><title>{xml_safe(name)}</title>{line}{label}</g>")
    return parts


def svg_line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dash: str = "", width: float = 1) -> str:
    """Return a straight line."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'


def svg_text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, weight: str = "normal", fill: str = "#222"
) -> str:  # fmt: skip
    """Return a text element."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{fill}">{xml_safe(words)}</text>'
    )


def xml_safe(words: str) -> str:
    """Escape text for XML and replace characters that cannot be printed, for which XML has no escape."""
    return escape("".join(c if c.isprintable() else "?" for c in words))
