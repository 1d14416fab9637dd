"""Comparison of two benchmark runs: the verdicts, and the texts of errors."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.compare import FigureChange, figure_change, figure_changes, load_results, only_in_one
from benchmarks.figures import Figure, FiguresInvalid, Header, Result, save

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "compare.py"
HEADER = Header(
    commit="abc1234",
    date="2026-01-01T00:00:00Z",
    cpu="A",
    cores=2,
    memory_gib=8,
    kernel="K",
    python="CPython 3.11",
    versions={},
    disk="ext4",
    fsync_p50_ms=0.2,
    fsync_p99_ms=0.5,
    cpu_baseline_ms=8,
    load_before=0,
    form="short",
)


def figure(value: float, **fields: Any) -> Figure:
    return Figure(**{"id": "t", "title": "T", "unit": "µs", "better": "lower", "value": value, **fields})


def change_of(before: Figure, after: Figure, noise: float = 0.2) -> FigureChange:
    return figure_change("bench_x", before, after, noise)


def result_folder(folder: Path, *found: Figure, name: str = "bench_x", header: Header | None = HEADER) -> str:
    save(folder / f"{name}.json", Result(name=name, what="", figures=list(found), header=header))
    return str(folder)


def run_compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((sys.executable, str(SCRIPT), *arguments), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("before", "after", "better", "verdict"),
    [
        (10, 11.9, "lower", "="),
        (10, 12.1, "lower", "worse"),
        (10, 8.2, "lower", "better"),
        (10, 12.1, "higher", "better"),
        (10, 8.2, "higher", "worse"),
        (10, 20, "none", "changed"),
        (0, 0, "lower", "="),
        (0, 1, "lower", "changed"),
    ],
)
def test_a_change_greater_than_the_noise_is_judged_by_its_direction(before: float, after: float, better: Any, verdict: str) -> None:
    found = change_of(figure(before, better=better), figure(after, better=better))
    assert found.verdict == verdict


def test_the_wider_spread_of_the_repeats_is_the_noise() -> None:
    narrow = change_of(figure(10, spread=(10, 10.5)), figure(11, spread=(10.9, 11)))
    assert (narrow.verdict, round(narrow.noise, 3)) == ("worse", 0.05)
    wide = change_of(figure(10, spread=(10, 10.5)), figure(11, spread=(11, 13)))
    assert wide.verdict == "="


def test_a_change_that_the_baseline_shares_is_attributed_to_the_machine() -> None:
    assert change_of(figure(10, baseline=2), figure(20, baseline=4)).verdict == "machine"
    assert change_of(figure(10, baseline=2), figure(20, baseline=2.1)).verdict == "worse"
    # Half the speed on a machine with a quarter of the speed is not worse.
    assert change_of(figure(10, baseline=2), figure(20, baseline=8)).verdict == "machine"


def test_a_change_of_the_machine_speed_counts_as_noise() -> None:
    slow = msgspec.structs.replace(HEADER, cpu_baseline_ms=HEADER.cpu_baseline_ms * 1.6)
    for before, after in ((HEADER, slow), (slow, HEADER)):
        old = {"bench_x": Result(name="bench_x", what="", figures=[figure(10)], header=before)}
        for value, verdict in ((15, "="), (17, "worse"), (6.5, "="), (6, "better")):
            new = Result(name="bench_x", what="", figures=[figure(value)], header=after)
            assert figure_changes(old, {"bench_x": new}, 0.2)[0].verdict == verdict


def test_figures_with_different_titles_are_not_judged() -> None:
    assert change_of(figure(10), figure(99, title="T at ten times the size")).verdict == "other"


def test_scripts_and_figures_in_one_run_only_are_listed() -> None:
    before = {"bench_x": Result(name="bench_x", what="", figures=[figure(1), figure(1, id="gone")])}
    after = {
        "bench_x": Result(name="bench_x", what="", figures=[figure(1)]),
        "bench_new": Result(name="bench_new", what="", figures=[figure(1)]),
    }
    assert [change.before.id for change in figure_changes(before, after, 0.2)] == ["t"]
    assert list(only_in_one(before, after)) == ["only before, of bench_x: gone", "only after: bench_new"]


def test_folders_and_files_can_be_compared(tmp_path: Path) -> None:
    old, new = result_folder(tmp_path / "a", figure(10)), result_folder(tmp_path / "b", figure(20))
    both = run_compare(old, new)
    assert both.returncode == 0, both.stderr
    assert "2.00" in both.stdout and "worse" in both.stdout
    assert "fixed Python loop: 8.0 → 8.0 ms (1.00)" in both.stdout
    assert run_compare(old, f"{new}/bench_x.json", "--strict").returncode == 1
    assert run_compare(new, old, "--strict").returncode == 0


def test_different_machines_and_forms_are_noted(tmp_path: Path) -> None:
    other = msgspec.structs.replace(HEADER, cpu="B", form="full")
    old = result_folder(tmp_path / "a", figure(10))
    new = result_folder(tmp_path / "b", figure(10), header=other)
    out = run_compare(old, new).stdout
    assert "NOTE: the runs have different machines" in out
    assert "NOTE: the runs have different forms" in out
    assert "No header" in run_compare(old, result_folder(tmp_path / "c", figure(1), header=None)).stdout


def test_unreadable_arguments_exit_2_with_one_line(tmp_path: Path) -> None:
    good = result_folder(tmp_path / "a", figure(10))
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{")
    other = result_folder(tmp_path / "other", figure(10), name="bench_y")
    for arguments, text in (
        ((good, str(tmp_path / "empty")), "contains no results"),
        ((good, str(tmp_path / "bad.json")), "contains no figures"),
        ((good, "no-such-revision"), "not a folder, a file or a git revision"),
        ((good, other), "no script in common"),
        ((good, good, "--noise", "-1"), "--noise is a share"),
    ):
        done = run_compare(*arguments)
        assert done.returncode == 2
        assert text in done.stderr and "Traceback" not in done.stderr


def test_a_revision_stands_for_its_committed_reference_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = tmp_path / "benchmarks" / "results" / "reference"
    result_folder(reference, figure(10))

    def git(*arguments: str) -> None:
        author = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(("git", *author, *arguments), cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr("benchmarks.compare.HERE", tmp_path / "benchmarks")
    assert load_results("HEAD")["bench_x"].figures == [figure(10)]
    git("rm", "-r", "benchmarks")
    git("commit", "-m", "gone")
    assert list(load_results("HEAD~1")) == ["bench_x"]
    with pytest.raises(FiguresInvalid, match="no committed results"):
        load_results("HEAD")
