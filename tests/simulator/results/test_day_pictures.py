"""Pictures of a day: labels that can be read, and axes of which the values use most."""

import re
from itertools import pairwise

import pytest

from router.simulator.results.day_pictures import Picture, Series, nice_top, to_svg


def label_places(labels: list[str]) -> list[tuple[float, str]]:
    series = Series(name="submitted", values=[1.0] * len(labels), is_bars=True)
    svg = to_svg(Picture(key="k", title="t", summary="s", labels=labels, series=[series], shown=str))
    found = re.findall(r'<text x="([\d.]+)" y="\d+" text-anchor="middle">([^<]*)</text>', svg)
    return [(float(x), text) for x, text in found]


@pytest.mark.parametrize(("form", "most"), [("{:02}:00", 12), ("08 Feb {:02}:00", 8)])
@pytest.mark.parametrize("count", [1, 7, 24, 48, 96])
def test_labels_do_not_overlap(form: str, most: int, count: int) -> None:
    places = label_places([form.format(number) for number in range(count)])
    assert 1 <= len(places) <= most
    assert len(places) >= min(count, most) // 2
    for (left, text), (right, following) in pairwise(places):
        assert right - left >= 7 * (len(text) + len(following)) / 2, "a character is up to seven units wide"


def test_an_axis_ends_a_little_above_the_greatest_value() -> None:
    assert [nice_top(value) for value in (0, 1, 1.2, 3, 7, 10)] == [1, 1, 2, 5, 10, 10]
    assert [nice_top(value) for value in (11, 101, 166, 390, 505, 799, 801)] == [15, 150, 200, 400, 600, 800, 1000]
