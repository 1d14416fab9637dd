"""Pictures of a day by interval, as SVG inside a page: bars and lines over time.

Colours come from the style of the page (classes and variables), so that a picture follows its light or dark scheme. Each picture
has a title and a description for those who do not see it; the page has its figures in a table too.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from msgspec import Struct

_WIDTH: Final = 880
_HEIGHT: Final = 240
_LEFT: Final = 62
_RIGHT: Final = 14
_TOP: Final = 14
_BOTTOM: Final = 34
_LABELS_MAX: Final = 12
# Width of a character of a label, and the space between two labels.
_CHARACTER: Final = 7
_GAP: Final = 14
# Ends of an axis, whose fifths are marked: small ones have whole numbers of contacts there.
_STEPS: Final = (1, 2, 5)
_STEPS_FROM_10: Final = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)


class Series(Struct, frozen=True, kw_only=True):
    """Values of one line, or of bars, by interval; none: no value."""

    name: str
    values: Sequence[float | None]
    is_bars: bool = False


class Picture(Struct, frozen=True, kw_only=True):
    """One picture; all series have a value for each label."""

    key: str
    """Name of the picture in the page, unique."""
    title: str
    summary: str
    """What is to be seen, in a sentence."""
    labels: Sequence[str]
    """Beginning of each interval."""
    series: Sequence[Series]
    shown: Callable[[float], str]
    """Text of a value."""
    top: float | None = None
    """End of the vertical axis; none: from the greatest value."""


def to_svg(picture: Picture) -> str:
    """Return a picture as an SVG element."""
    top = picture.top or nice_top(max((v for one in picture.series for v in one.values if v is not None), default=0.0))
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="{picture.key}-t {picture.key}-d">',
        f'<title id="{picture.key}-t">{text(picture.title)}</title><desc id="{picture.key}-d">{text(picture.summary)}</desc>',
        *_axes(picture, top),
    ]
    for number, series in enumerate(picture.series):
        parts += _bars(series, top, number) if series.is_bars else _line(series, top, number)
    return "\n".join([*parts, "</svg>"])


def nice_top(value: float) -> float:
    """Return the end of an axis, at least the value: up to 10 it is 1, 2, 5 or 10, then there are more between powers of ten."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    steps = _STEPS if value <= 10 else _STEPS_FROM_10
    return next((step * power for step in steps if step * power >= value), 10 * power)


def text(words: str) -> str:
    """Return a text for a page, with characters that cannot be printed replaced."""
    return escape("".join(c if c.isprintable() else "?" for c in words))


def _x(index: float, count: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * index / max(1, count)


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * min(1.0, value / top)


def _axes(picture: Picture, top: float) -> list[str]:
    parts = []
    for fifth in range(6):
        y = _y(top * fifth / 5, top)
        parts.append(f'<line class="{"grid" if fifth else "axis"}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text(picture.shown(top * fifth / 5))}</text>')
    count = len(picture.labels)
    longest = max(map(len, picture.labels), default=1)
    fitting = (_WIDTH - _LEFT - _RIGHT) // (longest * _CHARACTER + _GAP)
    step = max(1, -(-count // max(1, min(_LABELS_MAX, fitting))))
    for index in range(0, count, step):
        x = _x(index, count)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{text(picture.labels[index])}</text>')
    return parts


def _bars(series: Series, top: float, number: int) -> list[str]:
    count = len(series.values)
    width = max(1.0, (_x(1, count) - _x(0, count)) * 0.7)
    return [
        f'<rect class="bar s{number}" x="{_x(index + 0.5, count) - width / 2:.1f}" y="{_y(value, top):.1f}" width="{width:.1f}" '
        f'height="{_y(0, top) - _y(value, top):.1f}"/>'
        for index, value in enumerate(series.values)
        if value is not None
    ]


def _line(series: Series, top: float, number: int) -> list[str]:
    count, path, pen_down = len(series.values), [], False
    dots = []
    for index, value in enumerate(series.values):
        if value is not None:
            x, y = _x(index + 0.5, count), _y(value, top)
            path.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
            dots.append(f'<circle class="dot s{number}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>')
        pen_down = value is not None
    return [f'<path class="line s{number}" d="{" ".join(path)}"/>', *dots] if path else []
