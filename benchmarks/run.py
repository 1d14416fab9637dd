"""Run every ``benchmarks/*/bench_*.py``, one after the other; write their figures and a report.

    python benchmarks/run.py [--full] [--results DIR] [NAME ...]

A name selects a folder (``engine``) or a script (``bench_plans``). Without ``--full`` each script runs in its short form. Results
are ``DIR/bench_*.json`` with a header (machine, disk, commit, versions), their pictures, and ``DIR/report.md``; DIR defaults to
``benchmarks/results``. A script declares the time limit of its short form as ``QUICK_BUDGET_S = 45``; a script that takes twice as
long is terminated. If a benchmark fails, the others still run. Exit: 0; 1 if a benchmark failed; 2 if no benchmark has a given
name.
"""

import argparse
import ast
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import figures, report
from benchmarks.machine import header

HERE: Final = Path(__file__).parent
QUICK_BUDGET_S: Final = 50
"""For a script that declares none."""
TOTAL_BUDGET_S: Final = 720
"""All short forms together; a test checks it."""
FULL_BUDGET_S: Final = 1800
"""The long form of one script; terminates only scripts that hang."""
RESULTS: Final = HERE / "results"


def scripts(names: list[str], here: Path = HERE) -> list[Path]:
    """Return the scripts with these names, all without names. Raises LookupError with a name that matches none."""
    found = sorted(here.glob("*/bench_*.py"))
    for name in names:
        if not any(name in (script.parent.name, script.stem) for script in found):
            raise LookupError(name)
    return [script for script in found if not names or script.parent.name in names or script.stem in names]


def quick_budget_s(script: Path) -> int:
    """Return the time limit of the script's short form, read from its source without running it."""
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        value = getattr(node, "value", None)
        if names == ["QUICK_BUDGET_S"] and isinstance(value, ast.Constant):
            return int(str(value.value))
    return QUICK_BUDGET_S


def run_one(script: Path, arguments: list[str], limit_s: float) -> str | None:
    """Run a script in its own process group, so that its servers end with it; return the error, if any."""
    process = subprocess.Popen((sys.executable, str(script), *arguments), start_new_session=True)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return f"not done after {limit_s:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return None if code == 0 else f"exit code {code}"


def measure(script: Path, results: Path, head: figures.Header) -> str | None:
    """Run one benchmark and write its results file; return the error, if any."""
    file = results / f"{script.stem}.json"
    file.unlink(missing_ok=True)  # A file of an earlier run must not pass for a result of this one.
    quick = head.form == "short"
    budget_s = quick_budget_s(script) if quick else FULL_BUDGET_S
    arguments = [*(["--quick"] if quick else []), "--json", str(file)]
    print(f"\n=== {script.parent.name}/{script.name}, at most {budget_s} s", flush=True)
    started = perf_counter()
    failure = run_one(script, arguments, 2 * budget_s if quick else budget_s)
    took_s = perf_counter() - started
    if failure is None:
        try:
            found = figures.load(file)
            figures.save(file, msgspec.structs.replace(found, header=head, seconds=round(took_s)))
        except figures.FiguresInvalid as error:
            failure = str(error).replace(f"{results}/", "")  # Local paths do not belong in a report.
    if failure is not None:
        file.unlink(missing_ok=True)
    over = ", OVER ITS BUDGET" if took_s > budget_s else ""
    print(f"--- {script.stem}: {failure or 'done'}, {took_s:.0f} s{over}", flush=True)
    return failure


def remove_stale_results(results: Path, chosen: list[Path]) -> None:
    """Delete the results of scripts that no longer exist: they would appear in the report of a complete run."""
    stems = {script.stem for script in chosen}
    for file in results.glob("bench_*.json"):
        if file.stem not in stems:
            file.unlink()


def main() -> int:
    """Run the selected benchmarks and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="engine, journal, bench_plans …; default: all")
    parser.add_argument("--full", action="store_true", help="run the long form of each")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args()
    try:
        chosen = scripts(options.names)
    except LookupError as error:
        print(f"no benchmark has the name {error.args[0]}", file=sys.stderr)
        return 2
    options.results.mkdir(parents=True, exist_ok=True)
    if not options.names:
        remove_stale_results(options.results, chosen)
    head = header("full" if options.full else "short")
    for name, value in report.header_rows(head):
        print(f"{name:24}{value}")
    if not options.full:
        total_s = sum(map(quick_budget_s, chosen))
        print(f"{'budget':24}{total_s} s for {len(chosen)} benchmarks", flush=True)
    started = perf_counter()
    failures = {script.stem: measure(script, options.results, head) for script in chosen}
    failed = {name: failure for name, failure in failures.items() if failure is not None}
    page = report.write(options.results, failed)
    print(f"\n{len(chosen) - len(failed)} done, {len(failed)} failed, {perf_counter() - started:.0f} s; {page}")
    for name, failure in failed.items():
        print(f"  {name}: {failure}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
