"""What moved between two runs: the verdicts, and errors that say what is wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.compare import FigureChange, figure_change, figure_changes, only_in_one, results
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
    cpu_yardstick_ms=8,
    load_before=0,
    form="short",
)


def a_figure(value: float, **fields: Any) -> Figure:
    return Figure(
        **{"id": "t", "title": "T", "unit": "µs", "better": "lower", "value": value, **fields}
    )


def judged(before: Figure, after: Figure, noise: float = 0.2) -> FigureChange:
    return figure_change("bench_x", before, after, noise)


def a_folder(
    at: Path, *found: Figure, name: str = "bench_x", header: Header | None = HEADER
) -> str:
    save(at / f"{name}.json", Result(name=name, what="", figures=list(found), header=header))
    return str(at)


def compared(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, str(SCRIPT), *arguments), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("before", "after", "better", "verdict"),
    [
        (10, 11.9, "lower", "="),
        (10, 12.1, "lower", "worse"),
        (10, 8.2, "lower", "better"),
        (10, 12.1, "higher", "better"),
        (10, 8.2, "higher", "worse"),
        (10, 20, "none", "moved"),
        (0, 0, "lower", "="),
        (0, 1, "lower", "moved"),
    ],
)
def test_a_move_beyond_the_noise_is_judged_by_its_direction(
    before: float, after: float, better: Any, verdict: str
) -> None:
    found = judged(a_figure(before, better=better), a_figure(after, better=better))
    assert found.verdict == verdict


def test_the_spread_of_repeats_is_the_noise_and_the_wider_one_counts() -> None:
    calm = judged(a_figure(10, spread=(10, 10.5)), a_figure(11, spread=(10.9, 11)))
    assert (calm.verdict, round(calm.noise, 3)) == ("worse", 0.05)
    rough = judged(a_figure(10, spread=(10, 10.5)), a_figure(11, spread=(11, 13)))
    assert rough.verdict == "="


def test_a_move_that_the_yardstick_made_too_is_the_machine_s() -> None:
    assert judged(a_figure(10, floor=2), a_figure(20, floor=4)).verdict == "machine"
    assert judged(a_figure(10, floor=2), a_figure(20, floor=2.1)).verdict == "worse"
    # Twice as slow on a machine four times as slow is no loss.
    assert judged(a_figure(10, floor=2), a_figure(20, floor=8)).verdict == "machine"


def test_how_far_the_machine_moved_between_the_runs_is_noise_too() -> None:
    slow = msgspec.structs.replace(HEADER, cpu_yardstick_ms=HEADER.cpu_yardstick_ms * 1.6)
    for before, after in ((HEADER, slow), (slow, HEADER)):
        old = {"bench_x": Result(name="bench_x", what="", figures=[a_figure(10)], header=before)}
        for value, verdict in ((15, "="), (17, "worse"), (6.5, "="), (6, "better")):
            new = Result(name="bench_x", what="", figures=[a_figure(value)], header=after)
            assert figure_changes(old, {"bench_x": new}, 0.2)[0].verdict == verdict


def test_figures_of_another_size_are_not_judged() -> None:
    assert judged(a_figure(10), a_figure(99, title="T at ten times the size")).verdict == "other"


def test_what_only_one_of_them_has_is_named() -> None:
    before = {
        "bench_x": Result(name="bench_x", what="", figures=[a_figure(1), a_figure(1, id="gone")])
    }
    after = {
        "bench_x": Result(name="bench_x", what="", figures=[a_figure(1)]),
        "bench_new": Result(name="bench_new", what="", figures=[a_figure(1)]),
    }
    assert [one.before.id for one in figure_changes(before, after, 0.2)] == ["t"]
    assert list(only_in_one(before, after)) == [
        "only before, of bench_x: gone",
        "only after: bench_new",
    ]


def test_two_folders_and_a_folder_with_a_file_are_compared(tmp_path: Path) -> None:
    old, new = a_folder(tmp_path / "a", a_figure(10)), a_folder(tmp_path / "b", a_figure(20))
    both = compared(old, new)
    assert both.returncode == 0, both.stderr
    assert "2.00" in both.stdout and "worse" in both.stdout
    assert "fixed piece of Python: 8.0 → 8.0 ms (1.00)" in both.stdout
    assert compared(old, f"{new}/bench_x.json", "--strict").returncode == 1
    assert compared(new, old, "--strict").returncode == 0


def test_two_machines_and_two_forms_are_pointed_out(tmp_path: Path) -> None:
    other = msgspec.structs.replace(HEADER, cpu="B", form="full")
    old = a_folder(tmp_path / "a", a_figure(10))
    new = a_folder(tmp_path / "b", a_figure(10), header=other)
    out = compared(old, new).stdout
    assert "NOTE: these are two machines" in out and "NOTE: these are two forms" in out
    assert "No header" in compared(old, a_folder(tmp_path / "c", a_figure(1), header=None)).stdout


def test_what_cannot_be_compared_is_said_in_a_line_and_exits_with_2(tmp_path: Path) -> None:
    good = a_folder(tmp_path / "a", a_figure(10))
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{")
    other = a_folder(tmp_path / "other", a_figure(10), name="bench_y")
    for arguments, said in (
        ((good, str(tmp_path / "empty")), "holds no results"),
        ((good, str(tmp_path / "bad.json")), "holds no figures"),
        ((good, "no-such-revision"), "no folder, no file and no git revision"),
        ((good, other), "nothing in common"),
        ((good, good, "--noise", "-1"), "--noise is a share"),
    ):
        done = compared(*arguments)
        assert done.returncode == 2
        assert said in done.stderr and "Traceback" not in done.stderr


def test_the_committed_reference_of_a_revision_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = tmp_path / "benchmarks" / "results" / "reference"
    a_folder(reference, a_figure(10))

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(("git", *who, *arguments), cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr("benchmarks.compare.HERE", tmp_path / "benchmarks")
    assert results("HEAD")["bench_x"].figures == [a_figure(10)]
    git("rm", "-r", "benchmarks")
    git("commit", "-m", "gone")
    assert list(results("HEAD~1")) == ["bench_x"]
    with pytest.raises(FiguresInvalid, match="no committed results"):
        results("HEAD")
