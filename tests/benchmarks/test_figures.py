"""The form in which every benchmark gives its figures: what is written is read back, and what breaks it is refused."""

from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures
from benchmarks.figures import (
    Figure,
    FiguresInvalid,
    Result,
    finish,
    format_number,
    load,
    parser,
    save,
)


def a_figure(**fields: Any) -> Figure:
    return Figure(**{"id": "wait_ms", "title": "Wait", "value": 2.0, "unit": "ms", **fields})


def a_result(*found: Figure, **fields: Any) -> Result:
    return Result(name="bench_door", what="The door.", figures=list(found), **fields)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = a_result(
        a_figure(better="lower", target=5, floor=1.5, limit="load at 97 % of its core"),
        a_figure(id="rate.2", spread=(1, 3)),
        details={"rows": [1, 2]},
        pictures=["wait.svg"],
    )
    save(tmp_path / "new" / "bench_door.json", result)
    assert load(tmp_path / "new" / "bench_door.json") == result


@pytest.mark.parametrize(
    ("better", "value", "met"),
    [("lower", 5, True), ("lower", 5.1, False), ("higher", 5, True), ("higher", 4.9, False)],
)
def test_a_target_is_met_on_its_side(better: Any, value: float, met: bool) -> None:
    assert a_figure(better=better, target=5, value=value).met is met


def test_a_figure_without_target_meets_none_and_one_without_yardstick_has_no_ratio() -> None:
    assert a_figure(better="lower").met is None
    assert a_figure().to_floor is None
    assert a_figure(floor=0.5).to_floor == 4


@pytest.mark.parametrize(
    "broken",
    [
        a_result(),
        a_result(a_figure(), a_figure()),
        a_result(a_figure(id="Wait")),
        a_result(a_figure(value=nan)),
        a_result(a_figure(floor=inf)),
        a_result(a_figure(spread=(1, inf))),
        a_result(a_figure(target=5)),
        a_result(a_figure(), pictures=["../wait.svg"]),
        a_result(a_figure(), pictures=["wait.png"]),
    ],
)
def test_what_breaks_the_form_is_not_written(broken: Result, tmp_path: Path) -> None:
    with pytest.raises(FiguresInvalid, match="bench_door"):
        save(tmp_path / "bench_door.json", broken)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff", b'{"name": "x"}', b'{"name":"x","what":"","figures":[],"colour":1}'],
)
def test_what_is_no_result_is_refused_with_the_name_of_the_file(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "bench_x.json").write_bytes(content)
    with pytest.raises(FiguresInvalid, match=r"bench_x\.json holds no figures"):
        load(tmp_path / "bench_x.json")


def test_a_file_that_is_not_there_is_said_to_be_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FiguresInvalid, match="cannot be read"):
        load(tmp_path / "bench_x.json")


def test_repeats_give_their_median_or_the_one_least_disturbed() -> None:
    fields: dict[str, Any] = {"id": "x", "title": "X", "unit": "µs"}
    median = Figure.of_repeats([3, 1, 9], **fields)
    assert (median.value, median.spread) == (3, (1, 9))
    low = Figure.of_repeats([3, 1, 9], best=True, better="lower", **fields)
    assert (low.value, low.spread) == (1, (1, 3))
    high = Figure.of_repeats([3, 1, 9], best=True, better="higher", **fields)
    assert (high.value, high.spread) == (9, (3, 9))
    alone = Figure.of_repeats([3], **fields)
    assert (alone.value, alone.spread) == (3, None)


def test_a_script_prints_its_figures_and_writes_the_file_and_the_pictures_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = parser("A script.").parse_args(["--quick", "--json", str(tmp_path / "r" / "a.json")])
    pictures = figures.save_picture(asked, "wait.svg", "<svg/>")
    finish(a_result(a_figure(better="lower", target=1), pictures=pictures), asked)
    assert asked.quick
    assert "✗" in capsys.readouterr().out
    assert load(tmp_path / "r" / "a.json").pictures == ["wait.svg"]
    assert (tmp_path / "r" / "wait.svg").read_text() == "<svg/>"


def test_without_a_file_no_picture_is_drawn() -> None:
    assert figures.save_picture(parser("").parse_args([]), "wait.svg", b"<svg/>") == []


def test_numbers_are_shown_with_the_figures_that_count() -> None:
    values = (0, 0.12345, 12.345, 123.45, 12_345.6)
    assert list(map(format_number, values)) == ["0", "0.123", "12.3", "123", "12,346"]
