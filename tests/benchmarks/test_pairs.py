"""The tool that times two checkouts in alternating rounds: order, interval, verdicts, and a tiny run against itself."""

import random
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from benchmarks import pairs
from benchmarks.figures import load
from benchmarks.paired_rounds import run_rounds, sign_test_interval
from benchmarks.pairs import MEASURED, compare

ROOT = Path(__file__).parents[2]


def test_the_sides_are_measured_in_alternating_order() -> None:
    order: list[str] = []

    def measure(side: Path) -> dict[str, float]:
        order.append(side.name)
        return {"ws_per_s": float(len(order))}

    found = run_rounds({"base": Path("b"), "new": Path("n")}, 4, measure, note=lambda _: None)
    assert order == ["b", "n", "n", "b", "b", "n", "n", "b"]
    assert [one["ws_per_s"] for one in found["base"]] == [1, 4, 5, 8]
    assert [one["ws_per_s"] for one in found["new"]] == [2, 3, 6, 7]


@pytest.mark.parametrize(
    ("count", "rank"),
    # The table of the sign test: https://www.itl.nist.gov/div898/handbook/, two-sided 5 %.
    [(5, 0), (6, 1), (8, 1), (9, 2), (10, 2), (12, 3), (20, 6)],
)
def test_the_interval_is_that_of_the_sign_test(count: int, rank: int) -> None:
    values = [float(number) for number in range(1, count + 1)]
    random.Random(3).shuffle(values)
    expected = (float(rank), float(count - rank + 1)) if rank else None
    assert sign_test_interval(values) == expected


def test_the_interval_contains_the_median_as_often_as_it_says() -> None:
    generator = random.Random(1)
    trials, inside = 2_000, 0
    for _ in range(trials):
        interval = sign_test_interval([generator.lognormvariate(0.0, 0.5) for _ in range(10)])
        assert interval is not None
        inside += interval[0] <= 1 <= interval[1]
    assert 0.96 < inside / trials < 0.995, "97.9 % for ten rounds"


@pytest.mark.parametrize(
    ("name", "factor", "verdict"),
    [("ws_per_s", 1.2, "better"), ("ws_per_s", 0.8, "worse"), ("offer_p99_ms", 0.8, "better"), ("offer_p99_ms", 1.2, "worse")],
)
def test_a_verdict_follows_the_direction_of_the_figure(name: str, factor: float, verdict: str) -> None:
    """The machine is twice as fast in every other round; the ratios of the rounds do not notice."""
    base = [100.0, 200.0] * 5
    new = [value * factor * (1 + 0.01 * (number % 3)) for number, value in enumerate(base)]
    found = compare(name, base, new)
    assert found.verdict == verdict
    assert found.ratio == pytest.approx(median(after / before for before, after in zip(base, new, strict=True)))
    assert found.quartiles[0] <= found.ratio <= found.quartiles[1]


def test_noise_and_few_rounds_give_no_verdict() -> None:
    base = [100.0] * 10
    noisy = [100.0 + (10 if number % 2 else -10) for number in range(10)]
    assert compare("ws_per_s", base, noisy).verdict == "="
    few = compare("ws_per_s", base[:5], [130.0] * 5)
    assert (few.interval, few.verdict, few.ratio) == (None, "?", 1.3)


def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for base in (str(tmp_path), "no-such-revision"):
        monkeypatch.setattr(sys, "argv", ["pairs.py", base, str(ROOT)])
        assert pairs.main() == 2
        assert base in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["pairs.py", "a", "b", "--new-setting", "NOT_A_SETTING"])
    with pytest.raises(SystemExit):
        pairs.main()
    assert "write NAME=VALUE" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_tiny_run_against_itself_prints_every_figure(tmp_path: Path) -> None:
    file = tmp_path / "pairs.json"
    pair = (str(ROOT), str(ROOT), "--quick", "--rounds", "1", "--new-setting", "ROUTER__CONTEXT__ENABLED=false")
    command = [sys.executable, str(ROOT / "benchmarks" / "pairs.py"), *pair]
    done = subprocess.run([*command, "--json", str(file)], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    result = load(file)
    assert [figure.id for figure in result.figures] == [f"{name}.ratio" for name in MEASURED]
    assert all(figure.value > 0 and figure.unit == "ratio" for figure in result.figures)
    assert [len(result.details["rounds"][side]) for side in ("base", "new")] == [1, 1]
    for title, _, _ in MEASURED.values():
        assert title in done.stdout
