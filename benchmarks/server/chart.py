"""Latency chart by percentile, with the scale of HdrHistogram: each step to the right is a ten times smaller share."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.server.histogram import Histogram
from router.simulator.results import chart as svg

_WIDTH, _HEIGHT = 860, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 56, 56
_COLOURS: Final = ("#1f5fa8", "#8a8a8a", "#c9a227")
_LOWEST_MS: Final = 0.1


class Curve(Struct, frozen=True):
    """A line of the chart."""

    name: str
    histogram: Histogram


class Mark(Struct, frozen=True):
    """A target: a latency at a percentile."""

    share: float
    ms: float
    name: str


def draw(path: Path, title: str, curves: Sequence[Curve], marks: Sequence[Mark]) -> None:
    """Write the chart as an SVG file."""
    count_max = max(curve.histogram.count for curve in curves)
    nines = math.ceil(math.log10(max(10, count_max)))
    top_ms = max(*(curve.histogram.max / 1e6 for curve in curves), *(mark.ms * 1.2 for mark in marks))
    decades = math.log10(10 ** math.ceil(math.log10(top_ms)) / _LOWEST_MS)

    def x_of(share: float) -> float:
        step = nines if share >= 1 else min(nines, -math.log10(1 - share))
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / nines

    def y_of(ms: float) -> float:
        height = math.log10(max(ms, _LOWEST_MS) / _LOWEST_MS) / decades
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * height

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 22, title, size=15, anchor="start"),
    ]
    for step in range(nines + 1):
        x, share = x_of(1 - 10**-step), 100 * (1 - 10.0**-step)
        parts.append(_line(x, _TOP, x, _HEIGHT - _BOTTOM))
        label = "0 %" if step == 0 else f"{share:.{max(0, step - 2)}f} %"
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, label))
    for step in range(round(decades) + 1):
        ms = _LOWEST_MS * 10**step
        y = y_of(ms)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y))
        parts.append(_text(_LEFT - 6, y + 4, f"{ms:g} ms", anchor="end"))
    parts.append(_text(_WIDTH / 2, _HEIGHT - 12, "share of contacts that were offered no later"))
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        points = _points(curve.histogram)
        line = " ".join(f"{x_of(share):.1f},{y_of(ms):.1f}" for share, ms in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        at = _LEFT + number * 250
        parts.append(_line(at, 40, at + 22, 40, colour=colour, width=3))
        parts.append(_text(at + 28, 44, curve.name, anchor="start"))
    for mark in marks:
        x, y = x_of(mark.share), y_of(mark.ms)
        parts.append(
            f'<path d="M{x - 6:.1f} {y - 8:.1f} h12 l-6 8 z" fill="#b3261e"/>'
            + _text(x + 9, y - 2, mark.name, anchor="start", colour="#b3261e")
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _points(histogram: Histogram) -> list[tuple[float, float]]:
    """Return the points of a curve, without those too close together to be visible."""
    found: list[tuple[float, float]] = []
    previous = -1.0
    for share, ns in histogram.points():
        step = -math.log10(max(1 - share, 1e-12))
        if step - previous >= 0.01:
            found.append((share, ns / 1e6))
            previous = step
    return found


def _line(x1: float, y1: float, x2: float, y2: float, *, colour: str = "#dddddd", width: int = 1) -> str:
    return svg.svg_line(x1, y1, x2, y2, colour, width=width)


def _text(x: float, y: float, content: str, *, anchor: str = "middle", colour: str = "#333333", size: int = 12) -> str:
    return svg.svg_text(x, y, content, anchor=anchor, size=size, fill=colour)
