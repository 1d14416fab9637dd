"""Every benchmark is found, says what it does, and a failing one fails the whole but not the others."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import machine, run
from benchmarks.figures import load

SCRIPTS = run.scripts([])
GOOD = """
import sys
sys.path.insert(0, {root!r})
from benchmarks.figures import Figure, Result, finish, parser
QUICK_BUDGET_S: int = 7
asked = parser("Good.").parse_args()
finish(Result(name="bench_good", what="", figures=[Figure(id="x", title="X", value=float(asked.quick), unit="")]), asked)
"""
ROOT = str(Path(__file__).parents[2])


def a_script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    return folder / f"{name}.py"


def is_alive(pid: int) -> bool:
    """Neither gone, nor dead and not yet buried by whoever adopted it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def test_there_are_benchmarks_and_no_two_of_one_name() -> None:
    stems = [one.stem for one in SCRIPTS]
    assert {"bench_engine", "bench_append", "bench_rules", "bench_throughput"} <= set(stems)
    assert len(stems) == len(set(stems)), "results are files of these names"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_takes_the_options_of_all_and_says_what_it_measures(script: Path) -> None:
    done = subprocess.run(
        (sys.executable, str(script), "--help"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout and "--json" in done.stdout
    assert len(done.stdout) > 400, "a sentence or two on what is measured"


def test_the_short_forms_fit_into_ten_minutes() -> None:
    assert sum(map(run.quick_budget_s, SCRIPTS)) <= run.WHOLE_BUDGET_S


def test_names_pick_folders_and_scripts() -> None:
    assert [one.stem for one in run.scripts(["bench_rules"])] == ["bench_rules"]
    assert "bench_plans" in [one.stem for one in run.scripts(["engine"])]
    with pytest.raises(LookupError, match="nothing"):
        run.scripts(["engine", "nothing"])


def test_a_script_s_budget_is_what_its_source_says(tmp_path: Path) -> None:
    good = a_script(tmp_path, "bench_good", GOOD.format(root=ROOT))
    assert run.quick_budget_s(good) == 7
    assert run.quick_budget_s(a_script(tmp_path, "bench_mute", "x = 1")) == run.QUICK_BUDGET_S


def test_a_result_gets_the_header_and_a_failure_leaves_none(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    head = machine.header("short")
    good = a_script(tmp_path, "bench_good", GOOD.format(root=ROOT))
    assert run.measure(good, results, head) is None
    found = load(results / "bench_good.json")
    assert found.header == head and found.figures[0].value == 1
    a_script(tmp_path, "bench_good", "raise SystemExit(3)")
    assert run.measure(good, results, head) == "exit code 3"
    assert not (results / "bench_good.json").exists()
    assert "cannot be read" in (
        run.measure(a_script(tmp_path, "bench_mute", ""), results, head) or ""
    )


def test_one_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    text = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen((sys.executable, '-c', 'import time; time.sleep(60)'))\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    assert run.run_one(a_script(tmp_path, "bench_long", text), [], 2) == "not done after 2 s"
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):  # A process that was killed takes a moment to go.
        if not is_alive(pid):
            break
        time.sleep(0.1)
    assert not is_alive(pid)


def test_a_failing_benchmark_fails_the_whole_and_the_others_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = a_script(tmp_path / "a", "bench_bad", "raise SystemExit(1)")
    good = a_script(tmp_path / "b", "bench_good", GOOD.format(root=ROOT))
    results = tmp_path / "results"
    results.mkdir()
    (results / "bench_gone.json").write_text("of a script that is no more")
    monkeypatch.setattr(run, "scripts", lambda names: [bad, good])
    monkeypatch.setattr(sys, "argv", ["run.py", "--results", str(results)])
    assert run.main() == 1
    out = capsys.readouterr().out
    assert "bench_bad: exit code 1" in out and "1 done, 1 failed" in out
    assert "bench_bad failed" in (results / "report.md").read_text()
    assert load(results / "bench_good.json").name == "bench_good"
    assert not (results / "bench_gone.json").exists()


def test_a_name_of_no_benchmark_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "nothing"])
    assert run.main() == 2
