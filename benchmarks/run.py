"""Runs every ``benchmarks/*/bench_*.py``, one after the other; writes their figures and a report.

    python benchmarks/run.py [--full] [--results DIR] [NAME ...]

Names pick some: a folder (``core``) or a script (``bench_plans``). Without ``--full`` each runs in its short form. Results are
``DIR/bench_*.json`` with a header (machine, disk, commit, versions), their pictures, and ``DIR/report.md``; DIR is
``benchmarks/results`` unless told. A script states what its short form may take as ``QUICK_BUDGET_S = 45``; one that takes twice as
long is ended. A benchmark that fails makes the whole fail; the others still run. Exit: 0, 1 where one failed, 2 where none is
called so.
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
"""Of a script that states none."""
WHOLE_BUDGET_S: Final = 600
FULL_BUDGET_S: Final = 1800
"""The long form of one script; there the limit only ends what hangs."""
RESULTS: Final = HERE / "results"


def scripts(names: list[str], here: Path = HERE) -> list[Path]:
    """Those that are called so; all, where no name is given. Raises LookupError with a name that calls none."""
    found = sorted(here.glob("*/bench_*.py"))
    for name in names:
        if not any(name in (one.parent.name, one.stem) for one in found):
            raise LookupError(name)
    return [one for one in found if not names or one.parent.name in names or one.stem in names]


def quick_budget_s(script: Path) -> int:
    """What the script's short form may take, from its source: the script is not run for it."""
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [one.id for one in targets if isinstance(one, ast.Name)]
        value = getattr(node, "value", None)
        if names == ["QUICK_BUDGET_S"] and isinstance(value, ast.Constant):
            return int(str(value.value))
    return QUICK_BUDGET_S


def run_one(script: Path, arguments: list[str], limit_s: float) -> str | None:
    """Run it in a process group of its own, so that its servers end with it; what went wrong."""
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
    """Run one benchmark and put its figures among the results; what went wrong."""
    file = results / f"{script.stem}.json"
    file.unlink(missing_ok=True)  # What an earlier run left is no figure of this one.
    quick = head.form == "short"
    budget_s = quick_budget_s(script) if quick else FULL_BUDGET_S
    arguments = [*(["--quick"] if quick else []), "--json", str(file)]
    print(f"\n=== {script.parent.name}/{script.name}, at most {budget_s} s", flush=True)
    began = perf_counter()
    wrong = run_one(script, arguments, 2 * budget_s if quick else budget_s)
    took_s = perf_counter() - began
    if wrong is None:
        try:
            found = figures.load(file)
            figures.save(file, msgspec.structs.replace(found, header=head, seconds=round(took_s)))
        except figures.FiguresInvalid as error:
            wrong = str(error).replace(f"{results}/", "")  # A report names no machine's folders.
    if wrong is not None:
        file.unlink(missing_ok=True)
    over = ", OVER ITS BUDGET" if took_s > budget_s else ""
    print(f"--- {script.stem}: {wrong or 'done'}, {took_s:.0f} s{over}", flush=True)
    return wrong


def remove_stale_results(results: Path, chosen: list[Path]) -> None:
    """Results of scripts that are no more would stand in the report of a whole run."""
    stems = {one.stem for one in chosen}
    for file in results.glob("bench_*.json"):
        if file.stem not in stems:
            file.unlink()


def main() -> int:
    """Run them and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="core, journal, bench_plans …; none: all")
    parser.add_argument("--full", action="store_true", help="the long form of each")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args()
    try:
        chosen = scripts(options.names)
    except LookupError as error:
        print(f"no benchmark is called {error.args[0]}", file=sys.stderr)
        return 2
    options.results.mkdir(parents=True, exist_ok=True)
    if not options.names:
        remove_stale_results(options.results, chosen)
    head = header("full" if options.full else "short")
    for name, value in report.header_rows(head):
        print(f"{name:24}{value}")
    if not options.full:
        whole_s = sum(map(quick_budget_s, chosen))
        print(f"{'budget':24}{whole_s} s for {len(chosen)} benchmarks", flush=True)
    began = perf_counter()
    wrong = {one.stem: measure(one, options.results, head) for one in chosen}
    failed = {name: what for name, what in wrong.items() if what is not None}
    page = report.write(options.results, failed)
    print(
        f"\n{len(chosen) - len(failed)} done, {len(failed)} failed, {perf_counter() - began:.0f} s; {page}"
    )
    for name, what in failed.items():
        print(f"  {name}: {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
