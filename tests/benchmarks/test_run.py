"""The runner finds every benchmark, enforces time limits, and continues after a failure."""

import runpy
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
options = parser("Good.").parse_args()
finish(Result(name="bench_good", what="", figures=[Figure(id="x", title="X", value=float(options.quick), unit="")]), options)
"""
ROOT = str(Path(__file__).parents[2])


def write_script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    return folder / f"{name}.py"


def is_alive(pid: int) -> bool:
    """Return whether the process runs: it exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def test_benchmarks_are_found_and_their_names_are_unique() -> None:
    stems = [script.stem for script in SCRIPTS]
    assert {"bench_engine", "bench_append", "bench_rules", "bench_throughput"} <= set(stems)
    assert len(stems) == len(set(stems)), "results are files of these names"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_script_has_the_common_options_and_describes_its_measurement(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, which imports what the scripts share once; a run of each by itself is in their own tests."""
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert "--quick" in told and "--json" in told
    assert len(told) > 400, "one or two sentences on what is measured"


def test_the_short_forms_take_at_most_twelve_minutes() -> None:
    assert sum(map(run.quick_budget_s, SCRIPTS)) <= run.TOTAL_BUDGET_S


def test_names_select_folders_and_scripts() -> None:
    assert [script.stem for script in run.scripts(["bench_rules"])] == ["bench_rules"]
    assert "bench_plans" in [script.stem for script in run.scripts(["engine"])]
    with pytest.raises(LookupError, match="unknown"):
        run.scripts(["engine", "unknown"])


def test_the_budget_of_a_script_is_read_from_its_source(tmp_path: Path) -> None:
    good = write_script(tmp_path, "bench_good", GOOD.format(root=ROOT))
    assert run.quick_budget_s(good) == 7
    assert run.quick_budget_s(write_script(tmp_path, "bench_without_budget", "x = 1")) == run.QUICK_BUDGET_S


def test_a_result_gets_the_header_and_a_failure_leaves_no_file(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    head = machine.header("short")
    good = write_script(tmp_path, "bench_good", GOOD.format(root=ROOT))
    assert run.measure(good, results, head) is None
    found = load(results / "bench_good.json")
    assert found.header == head and found.figures[0].value == 1
    write_script(tmp_path, "bench_good", "raise SystemExit(3)")
    assert run.measure(good, results, head) == "exit code 3"
    assert not (results / "bench_good.json").exists()
    assert "cannot be read" in (run.measure(write_script(tmp_path, "bench_without_budget", ""), results, head) or "")


def test_a_hanging_script_is_terminated_with_its_child_processes(tmp_path: Path) -> None:
    text = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen((sys.executable, '-c', 'import time; time.sleep(60)'))\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    assert run.run_one(write_script(tmp_path, "bench_hanging", text), [], 2) == "not done after 2 s"
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):  # A killed process takes a moment to end.
        if not is_alive(pid):
            break
        time.sleep(0.1)
    assert not is_alive(pid)


def test_after_a_failure_the_other_benchmarks_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = write_script(tmp_path / "a", "bench_bad", "raise SystemExit(1)")
    good = write_script(tmp_path / "b", "bench_good", GOOD.format(root=ROOT))
    results = tmp_path / "results"
    results.mkdir()
    (results / "bench_removed.json").write_text("of a script that was removed")
    monkeypatch.setattr(run, "scripts", lambda names: [bad, good])
    monkeypatch.setattr(sys, "argv", ["run.py", "--results", str(results)])
    assert run.main() == 1
    out = capsys.readouterr().out
    assert "bench_bad: exit code 1" in out and "1 done, 1 failed" in out
    assert "bench_bad failed" in (results / "report.md").read_text()
    assert load(results / "bench_good.json").name == "bench_good"
    assert not (results / "bench_removed.json").exists()


def test_an_unknown_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "unknown"])
    assert run.main() == 2
