"""Bar charts of figures as SVG. Like the simulator's charts they are written directly: the same figures give the same bytes.

A chart needs no font, script or other file. The colours are distinguishable with colour blindness, and every bar shows its number.
"""

from collections.abc import Sequence
from math import log10
from typing import Final

from msgspec import Struct

from benchmarks.figures import Figure, format_number
from router.simulator.results import chart as svg

_WIDTH: Final = 1100
_LEFT: Final = 430
_RIGHT: Final = 130
_ROW_HEIGHT: Final = 24
_GOOD, _BAD, _PLAIN = "#0072b2", "#d55e00", "#0072b2"
_DECADES: Final = 1.0
"""Half the width of the chart of targets: from a tenth to ten times the target."""
_LABEL_SHOWN_MAX: Final = 62


class Bar(Struct, frozen=True, kw_only=True):
    """One bar with its label and value."""

    label: str
    value: float
    unit: str
    colour: str = _PLAIN


class Panel(Struct, frozen=True, kw_only=True):
    """Bars of one unit on one scale that begins at zero."""

    title: str
    bars: tuple[Bar, ...]


def bars(title: str, panels: Sequence[Panel]) -> bytes:
    """Return a chart of panels, one below the other."""
    parts: list[str] = []
    top = 60.0
    for panel in panels:
        parts.append(svg.svg_text(24, top + 14, panel.title, size=15, weight="bold"))
        top += 28
        longest = max([bar.value for bar in panel.bars] + [0.0]) or 1.0
        for bar in panel.bars:
            width = (_WIDTH - _LEFT - _RIGHT) * max(0.0, bar.value) / longest
            parts += _row(top, bar, _LEFT, width)
            top += _ROW_HEIGHT
        top += 22
    return _document(title, top, parts)


def chart_of_targets(title: str, figures: Sequence[tuple[str, Figure]]) -> bytes:
    """Return a chart of the distance of each figure from its target, on a logarithmic scale; better is to the right.

    ``figures``: pairs of a script's name and a figure with a target.
    """
    middle = _LEFT + (_WIDTH - _LEFT - _RIGHT) / 2
    half = (_WIDTH - _LEFT - _RIGHT) / 2
    top = 84.0
    parts = [
        svg.svg_text(middle - 8, 64, "← worse than the target", anchor="end", fill="#666"),
        svg.svg_text(middle + 8, 64, "better →", fill="#666"),
    ]
    for name, figure in figures:
        share = max(-_DECADES, min(_DECADES, _margin(figure))) / _DECADES
        width = max(1.5, abs(share) * half)
        colour = _GOOD if figure.met else _BAD
        label = f"{name.removeprefix('bench_')}: {figure.title}"
        bar = Bar(label=label, value=figure.value, unit=figure.unit, colour=colour)
        parts += _row(top, bar, middle if figure.met else middle - width, width)
        top += _ROW_HEIGHT
    for tick, label in ((-1, "10×"), (-0.5, "3.2×"), (0, "target"), (0.5, "3.2×"), (1, "10×")):
        x = middle + tick * half
        dash = "" if tick == 0 else ' stroke-dasharray="2 3"'
        parts.append(
            f'<line x1="{x:.1f}" y1="72" x2="{x:.1f}" y2="{top + 4:.1f}" stroke="{"#222" if tick == 0 else "#bbb"}"{dash}/>'
        )
        parts.append(svg.svg_text(x, top + 20, label, anchor="middle", fill="#666"))
    return _document(title, top + 34, parts)


def _margin(figure: Figure) -> float:
    """Return by how many powers of ten the figure is better than its target."""
    assert figure.target is not None
    better, worse = figure.value, figure.target
    if figure.better == "lower":
        better, worse = worse, better
    if better <= 0 or worse <= 0:
        return _DECADES if figure.met else -_DECADES
    return log10(better / worse)


def _row(top: float, bar: Bar, x: float, width: float) -> list[str]:
    label = bar.label
    if len(label) > _LABEL_SHOWN_MAX:
        label = label[: _LABEL_SHOWN_MAX - 1] + "…"
    number = f"{format_number(bar.value)} {bar.unit}"
    return [
        f"<g><title>{svg.xml_safe(bar.label)}: {svg.xml_safe(number)}</title>",
        svg.svg_text(_LEFT - 10, top + 12, label, anchor="end", size=12),
        f'<rect x="{x:.1f}" y="{top:.1f}" width="{max(width, 0.5):.1f}" height="16" fill="{bar.colour}"/>',
        svg.svg_text(_WIDTH - _RIGHT + 8, top + 12, number, size=12),
        "</g>",
    ]


def _document(title: str, height: float, parts: Sequence[str]) -> bytes:
    size = f'viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" height="{height:.0f}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        'font-family="Helvetica, Arial, Liberation Sans, sans-serif" font-size="13" fill="#222">',
        f"<title>{svg.xml_safe(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#fff"/>',
        svg.svg_text(24, 34, title, size=19, weight="bold"),
    ]
    return ("\n".join([*head, *parts, "</svg>"]) + "\n").encode()
