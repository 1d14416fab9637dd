"""The result format of the benchmarks: results survive a round trip, and invalid ones are rejected."""

from math import inf, nan
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import figures, machine
from benchmarks.figures import Figure, FiguresInvalid, Result, finish, format_number, load, parser, save


def figure(**fields: Any) -> Figure:
    return Figure(**{"id": "wait_ms", "title": "Wait", "value": 2.0, "unit": "ms", **fields})


def result_of(*found: Figure, **fields: Any) -> Result:
    return Result(name="bench_submit", what="Submits.", figures=list(found), **fields)


def test_a_result_survives_a_round_trip_through_its_file(tmp_path: Path) -> None:
    result = result_of(
        figure(better="lower", target=5, baseline=1.5, limit="load at 97 % of its core"),
        figure(id="rate.2", spread=(1, 3)),
        details={"rows": [1, 2]},
        pictures=["wait.svg"],
    )
    save(tmp_path / "new" / "bench_submit.json", result)
    assert load(tmp_path / "new" / "bench_submit.json") == result


@pytest.mark.parametrize(
    ("better", "value", "met"), [("lower", 5, True), ("lower", 5.1, False), ("higher", 5, True), ("higher", 4.9, False)]
)
def test_a_target_is_met_in_the_direction_of_the_figure(better: Any, value: float, met: bool) -> None:
    assert figure(better=better, target=5, value=value).met is met


def test_without_target_or_baseline_there_is_no_verdict_or_ratio() -> None:
    assert figure(better="lower").met is None
    assert figure().baseline_ratio is None
    assert figure(baseline=0.5).baseline_ratio == 4


@pytest.mark.parametrize(
    "broken",
    [
        result_of(),
        result_of(figure(), figure()),
        result_of(figure(id="Wait")),
        result_of(figure(value=nan)),
        result_of(figure(baseline=inf)),
        result_of(figure(spread=(1, inf))),
        result_of(figure(target=5)),
        result_of(figure(), pictures=["../wait.svg"]),
        result_of(figure(), pictures=["wait.png"]),
    ],
)
def test_an_invalid_result_is_not_written(broken: Result, tmp_path: Path) -> None:
    with pytest.raises(FiguresInvalid, match="bench_submit"):
        save(tmp_path / "bench_submit.json", broken)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"name": "x"}', b'{"name":"x","what":"","figures":[],"colour":1}'])
def test_invalid_content_is_rejected_with_the_name_of_the_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bench_x.json").write_bytes(content)
    with pytest.raises(FiguresInvalid, match=r"bench_x\.json contains no figures"):
        load(tmp_path / "bench_x.json")


def test_results_with_the_former_names_of_fields_are_read() -> None:
    header = machine.header("short")
    result = result_of(figure(baseline=2), header=header)
    text = msgspec.json.encode(result).decode()
    former = text.replace('"baseline"', '"floor"').replace("cpu_baseline_ms", "cpu_yardstick_ms")
    assert former != text
    assert figures.decode(former, "former.json") == result


def test_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FiguresInvalid, match="cannot be read"):
        load(tmp_path / "bench_x.json")


def test_repeats_give_their_median_or_their_best() -> None:
    fields: dict[str, Any] = {"id": "x", "title": "X", "unit": "µs"}
    median = Figure.of_repeats([3, 1, 9], **fields)
    assert (median.value, median.spread) == (3, (1, 9))
    low = Figure.of_repeats([3, 1, 9], best=True, better="lower", **fields)
    assert (low.value, low.spread) == (1, (1, 3))
    high = Figure.of_repeats([3, 1, 9], best=True, better="higher", **fields)
    assert (high.value, high.spread) == (9, (3, 9))
    alone = Figure.of_repeats([3], **fields)
    assert (alone.value, alone.spread) == (3, None)


def test_a_script_prints_its_figures_and_writes_its_file_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = parser("A script.").parse_args(["--quick", "--json", str(tmp_path / "r" / "a.json")])
    pictures = figures.save_picture(options, "wait.svg", "<svg/>")
    finish(result_of(figure(better="lower", target=1), pictures=pictures), options)
    assert options.quick
    assert "✗" in capsys.readouterr().out
    assert load(tmp_path / "r" / "a.json").pictures == ["wait.svg"]
    assert (tmp_path / "r" / "wait.svg").read_text() == "<svg/>"


def test_without_a_file_no_picture_is_written() -> None:
    assert figures.save_picture(parser("").parse_args([]), "wait.svg", b"<svg/>") == []


def test_numbers_are_shown_with_three_significant_digits() -> None:
    values = (0, 0.12345, 12.345, 123.45, 12_345.6)
    assert list(map(format_number, values)) == ["0", "0.123", "12.3", "123", "12,346"]
