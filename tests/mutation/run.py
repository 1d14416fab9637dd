"""Mutation run: make single changes to the code, drawn at random with a seed, and count how many the tests notice.

    python -m tests.mutation.run --count 150 --seed 1
    python -m tests.mutation.run --count 20 --only engine/wait --only runtime
    python -m tests.mutation.run --again report.json

Each change is made in a copy of the project and tested in up to three stages, each until the first failure: the tests that mirror
the changed file, the fast tests of its package, and the fast tests of everything. A change that no stage notices survives. The file
``known.txt`` lists changes that were read and make no difference that a user could notice; they count neither as noticed nor as
missed.
``--again`` takes only the changes that survived in an earlier report.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct

from tests.mutation.changes import Change, all_changes, changed_text

ROOT: Final = Path(__file__).parents[2]
KNOWN: Final = Path(__file__).with_name("known.txt")

_COPIED: Final = ("src", "tests", "docs", "benchmarks", "config", "deploy", "examples")
_SLOW_FOLDERS: Final = (
    "acceptance",
    "benchmarks",
    "integration",
    "mutation",
    "properties",
    "validation",
    "packaging",
    "architecture",
)
# Loading them takes longer than most of the tests.
_PLUGINS_LEFT_OUT: Final = ("cacheprovider", "xdist", "cov", "schemathesis", "hypothesispytest")
_STAGE_TIMEOUT_S: Final = {"mirror": 240, "package": 600, "all": 1_800}


class Stage(StrEnum):
    """What noticed a change."""

    MIRROR = "mirror"
    """The tests that mirror the changed file."""
    PACKAGE = "package"
    """The other fast tests of its package."""
    ALL = "all"
    """The fast tests of everything."""
    SURVIVED = "survived"


class Trial(Struct, frozen=True):
    """A change and what noticed it."""

    change: Change
    noticed: Stage
    took_s: float


def known_changes() -> frozenset[str]:
    """Return the summaries of the reviewed changes, without their line numbers."""
    lines = KNOWN.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def key_of(change: Change) -> str:
    """Return the text by which ``known.txt`` names a change: its summary without the line number, which moves."""
    return change.summary.replace(f":{change.line}:", ":", 1)


def drawn(changes: Sequence[Change], *, count: int, seed: int, only: Sequence[str]) -> list[Change]:
    """Draw changes without repetition; ``only`` keeps those whose path begins with one of the texts."""
    wanted = [change for change in changes if not only or change.path.startswith(tuple(only))]
    return sorted(Random(seed).sample(wanted, min(count, len(wanted))))


def mirrored_tests(change: Change, tests: Path) -> list[Path]:
    """Return the test files that mirror a file, or else the nearest folder that does."""
    path = Path(change.path)
    folder = tests / path.parent
    stem = path.stem.strip("_") if path.stem != "__init__" else path.parent.name
    found = sorted(folder.glob(f"test_{stem}*.py")) if folder.is_dir() else []
    if found:
        return found
    while not folder.is_dir():
        folder = folder.parent
    return [folder]


def stages_of(change: Change, tests: Path, *, deepest: Stage) -> list[tuple[Stage, list[str]]]:
    """Return the stages with the arguments of pytest."""
    mirrored = mirrored_tests(change, tests)
    stages = [(Stage.MIRROR, [str(path) for path in mirrored])]
    package = tests / change.package
    if deepest is not Stage.MIRROR and package.is_dir() and package not in mirrored:
        stages.append((Stage.PACKAGE, [str(package)]))
    if deepest is Stage.ALL:
        stages.append((Stage.ALL, [*(f"--ignore={tests / name}" for name in _SLOW_FOLDERS), str(tests)]))
    return stages


class ProjectCopy:
    """A copy of the project in which changes are made, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy2(path, folder / path.name)

    def is_noticed(self, arguments: Sequence[str], *, timeout_s: float) -> bool:
        """Run tests and return whether one failed, also by not ending in time."""
        plugins = [text for name in _PLUGINS_LEFT_OUT for text in ("-p", f"no:{name}")]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", *plugins, "--timeout", "60", *arguments]
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            # 5: no test was collected.
            return process.wait(timeout_s) not in (0, 5)
        except subprocess.TimeoutExpired:
            return True
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def try_change(self, change: Change, *, deepest: Stage) -> Trial:
        """Make a change, run the tests, and take it back."""
        path = self.folder / "src" / "router" / change.path
        source = path.read_text(encoding="utf-8")
        started_s = time.monotonic()
        path.write_text(changed_text(source, change), encoding="utf-8")
        try:
            for stage, arguments in stages_of(change, self.folder / "tests", deepest=deepest):
                if self.is_noticed(arguments, timeout_s=_STAGE_TIMEOUT_S[stage]):
                    return Trial(change, stage, round(time.monotonic() - started_s, 1))
            return Trial(change, Stage.SURVIVED, round(time.monotonic() - started_s, 1))
        finally:
            path.write_text(source, encoding="utf-8")


def table(trials: Iterable[Trial], known: frozenset[str]) -> str:
    """Return the scores by package as a Markdown table."""
    counts: dict[str, Counter[str]] = {}
    for trial in trials:
        missed = trial.noticed is Stage.SURVIVED
        verdict = "known" if missed and key_of(trial.change) in known else trial.noticed.value
        for name in (trial.change.package, "all packages"):
            counts.setdefault(name, Counter())[verdict] += 1
    lines = ["| package | changes | noticeable | by mirrored tests | by its package | by all fast tests | missed | score |"]
    lines.append(f"|{'---|' * 8}")
    for name in sorted(counts, key=lambda one: (one == "all packages", one)):
        one = counts[name]
        total = sum(one.values())
        noticeable = total - one["known"]
        noticed = [one[stage.value] for stage in (Stage.MIRROR, Stage.PACKAGE, Stage.ALL)]
        share = f"{sum(noticed) / noticeable:.1%}".replace("%", " %") if noticeable else "–"
        cells = [name, total, noticeable, *noticed, one[Stage.SURVIVED.value], share]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines)


def arguments_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation.run", description="Count which single changes the tests notice."
    )
    parser.add_argument("--count", type=int, default=150, help="number of changes to draw (default 150)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the draw (default 1)")
    parser.add_argument("--only", action="append", default=[], metavar="PATH", help="only files below this path of src/router")
    parser.add_argument("--deepest", type=Stage, choices=[*Stage][:3], default=Stage.ALL, help="last stage of tests (default all)")
    parser.add_argument("--again", type=Path, metavar="REPORT", help="only the changes that survived in this report")
    parser.add_argument("--report", type=Path, help="write all trials as JSON")
    parser.add_argument("--score-min", type=float, default=0.0, help="exit with 1 below this share of the noticeable changes")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials, print each that survives and the table, and return the exit code."""
    options = arguments_of(argv)
    known = known_changes()
    changes = list(all_changes(ROOT / "src" / "router"))
    sample = drawn(changes, count=options.count, seed=options.seed, only=options.only)
    if options.again is not None:
        before = msgspec.json.decode(options.again.read_bytes(), type=list[Trial])
        survived = {key_of(trial.change) for trial in before if trial.noticed is Stage.SURVIVED}
        sample = [change for change in changes if key_of(change) in survived]
    print(f"{len(sample)} of {len(changes):,} changes, seed {options.seed}", flush=True)
    trials: list[Trial] = []
    with TemporaryDirectory(prefix="mutation-") as folder:
        project = ProjectCopy(Path(folder))
        for number, change in enumerate(sample, start=1):
            trial = project.try_change(change, deepest=options.deepest)
            trials.append(trial)
            mark = "known" if key_of(change) in known and trial.noticed is Stage.SURVIVED else trial.noticed.value
            print(f"{number}/{len(sample)} {mark} {trial.took_s:.0f} s {change.summary}", flush=True)
            if options.report is not None:
                options.report.write_bytes(msgspec.json.format(msgspec.json.encode(trials)))
    print(f"\n{table(trials, known)}")
    missed = [trial for trial in trials if trial.noticed is Stage.SURVIVED and key_of(trial.change) not in known]
    noticeable = sum(trial.noticed is not Stage.SURVIVED for trial in trials) + len(missed)
    return int(noticeable > 0 and 1 - len(missed) / noticeable < options.score_min)


if __name__ == "__main__":
    sys.exit(main())
