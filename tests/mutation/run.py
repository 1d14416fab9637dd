"""Mutation run: make single changes to the code, drawn at random with a seed, and count how many the tests notice.

    python -m tests.mutation.run --count 150 --seed 1
    python -m tests.mutation.run --count 20 --only engine/wait --only runtime
    python -m tests.mutation.run --record var/reach --report report.json
    python -m tests.mutation.run --record var/reach --again report.json

First, all fast tests run once, to record which test runs which line and how long it takes; ``--record`` keeps that for later runs.
Each change is then made in a copy of the project and tested in up to three stages, each until the first failure: the tests that
mirror the changed file, the fast tests of its package, and the fast tests of everything. In each, only the tests run that run the
changed line. A failure counts if it is certain: a test that takes long or does not end is tried a second time. A change that no
stage notices survives. The file ``known.txt`` lists changes that were read and make no difference that a user could notice; they
count neither as noticed nor as missed.
``--again`` takes only the changes that survived in an earlier report.
"""

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from enum import StrEnum
from itertools import count, takewhile
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct

from tests.mutation.changes import Change, all_changes, changed_text
from tests.mutation.plugin import RECORD, SELECTION, Failure, Record, Selection
from tests.mutation.process import TestProcesses
from tests.mutation.reach import Reach

ROOT: Final = Path(__file__).parents[2]
KNOWN: Final = Path(__file__).with_name("known.txt")

_COPIED: Final = ("src", "tests", "docs", "benchmarks", "config", "deploy", "examples")
_SLOW_FOLDERS: Final = frozenset(
    {"acceptance", "architecture", "benchmarks", "integration", "mutation", "packaging", "properties", "validation"}
)
_FAST_ALL_THE_SAME: Final = frozenset({"tests/packaging/test_generated_pages.py"})
_RECORD_TIMEOUT_S: Final = 3_600
# A test hangs that takes longer than in the record by this factor, after this allowance: a busy machine is not as slow as that.
_SLOWDOWN: Final = 20
_ALLOWANCE_S: Final = 20
# A failure of a longer test is tried a second time: it may depend on the time that the machine takes.
_SHORT_TEST_S: Final = 0.05
_UNSTABLE_TESTS_MAX: Final = 5
# Test files are loaded in batches that grow: most changes are noticed by a file close to the changed one.
_FIRST_BATCH: Final = 6
_BATCH_FACTOR: Final = 4


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


def found_again(changes: Sequence[Change], wanted: Iterable[Change]) -> list[Change]:
    """Return the changes of an earlier report; where a file was edited since, all of the same code in the same file."""
    wanted = set(wanted)
    same = wanted.intersection(changes)
    keys = {key_of(change) for change in wanted - same}
    return [change for change in changes if change in same or key_of(change) in keys]


def mirrored_tests(change: Change, tests: Path) -> list[Path]:
    """Return the test files that mirror a file, or else the nearest folder that does; none for a module of no package."""
    path = Path(change.path)
    folder = tests / path.parent
    stem = path.stem.strip("_") if path.stem != "__init__" else path.parent.name
    found = sorted(folder.glob(f"test_{stem}*.py")) if folder.is_dir() else []
    if found:
        return found
    while not folder.is_dir():
        folder = folder.parent
    return [folder] if folder != tests else []


def fast_tests(paths: Iterable[str]) -> list[str]:
    """Return those of the test files that are fast."""
    return sorted(path for path in paths if path.split("/")[1] not in _SLOW_FOLDERS or path in _FAST_ALL_THE_SAME)


def stages_of(change: Change, reach: Reach, root: Path, *, deepest: Stage) -> list[tuple[Stage, list[str]]]:
    """Return the stages with their test files, none of them twice."""
    tests = root / "tests"
    fast = fast_tests(reach.test_files)
    mirrored = [path.relative_to(root).as_posix() for path in mirrored_tests(change, tests)]
    files = {Stage.MIRROR: {path for path in fast if path in mirrored or path.startswith(tuple(f"{one}/" for one in mirrored))}}
    files[Stage.PACKAGE] = {path for path in fast if path.startswith(f"tests/{change.package}/")} - files[Stage.MIRROR]
    files[Stage.ALL] = set(fast) - files[Stage.MIRROR] - files[Stage.PACKAGE]
    stages = [Stage.MIRROR, Stage.PACKAGE, Stage.ALL]
    return [(stage, sorted(files[stage])) for stage in stages[: stages.index(deepest) + 1]]


class ProjectCopy:
    """A copy of the project in which changes are made, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy2(path, folder / path.name)
        self._notices: Counter[str] = Counter()
        """How often a test file noticed a change: these come first."""
        self._processes = self._stack.enter_context(TestProcesses(folder))

    def __enter__(self) -> "ProjectCopy":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def reach(self, record: Path) -> Reach:
        """Read which test runs which line, or run all fast tests once to record it."""
        if not record.exists():
            print("recording which test runs which line", flush=True)
            files = fast_tests(path.relative_to(self.folder).as_posix() for path in (self.folder / "tests").rglob("test_*.py"))
            self._processes.run(files, {RECORD: str(record.absolute())}, timeout_s=_RECORD_TIMEOUT_S)
        return Reach(msgspec.msgpack.decode(record.read_bytes(), type=Record), self.folder)

    def _failure(self, reach: Reach, wanted: Sequence[str], left_out: Iterable[str]) -> Failure | None:
        """Run files or single tests until the first failure, and return it; one that does not end is a failure, too."""
        files = tuple(dict.fromkeys(test.partition("::")[0] for test in wanted))
        left_out = frozenset(left_out)
        run = [test for path in files for test in reach.by_file.get(path, ()) if test not in left_out]
        longest_s = max(map(reach.seconds, run), default=reach.seconds(""))
        with TemporaryDirectory(prefix="mutation-run-") as folder:
            selection, result = Path(folder) / "selection.json", Path(folder) / "failure.json"
            selection.write_bytes(msgspec.json.encode(Selection(str(result), left_out, files)))
            code = self._processes.run(
                ["-x", "--timeout", str(int(_ALLOWANCE_S + _SLOWDOWN * longest_s)), *files],
                {SELECTION: str(selection)},
                timeout_s=_ALLOWANCE_S * 3 + _SLOWDOWN * sum(map(reach.seconds, run)),
            )
            if result.exists():
                return msgspec.json.decode(result.read_bytes(), type=Failure)
        # 5: no test was collected.
        return None if code in (0, 5) else Failure("", timed_out=code is None)

    def _is_noticed(self, reach: Reach, made: "MadeChange", files: Sequence[str], wanted: frozenset[str] | None) -> bool:
        """Run the tests that can notice the change, and return whether one failed because of it."""
        known = {test for path in files for test in reach.by_file[path]}
        left_out = set(reach.failed) | (known - wanted if wanted is not None else set())
        ordered = [path for path in files if not reach.by_file[path] or not left_out.issuperset(reach.by_file[path])]
        seconds = {path: sum(map(reach.seconds, set(reach.by_file[path]) - left_out)) for path in ordered}
        ordered.sort(key=lambda path: (-self._notices[path], -made.closeness(path), seconds[path]))
        size = _FIRST_BATCH
        while ordered:
            batch, ordered, size = ordered[:size], ordered[size:], size * _BATCH_FACTOR
            if self._is_noticed_by(reach, made, batch, left_out):
                return True
        return False

    def _is_noticed_by(self, reach: Reach, made: "MadeChange", files: Sequence[str], left_out: set[str]) -> bool:
        for _ in range(_UNSTABLE_TESTS_MAX):
            made.apply()
            failure = self._failure(reach, files, left_out)
            if failure is None:
                return False
            if self._is_certain(reach, made, failure, files, left_out):
                self._notices[failure.test.partition("::")[0]] += 1
                return True
            print(f"  not counted: {failure.test or 'a process of the tests'}", flush=True)
            left_out.add(failure.test)
        return False

    def _is_certain(
        self, reach: Reach, made: "MadeChange", failure: Failure, files: Sequence[str], left_out: Iterable[str]
    ) -> bool:
        """Return whether a failure is due to the change: not to a busy machine or to a test that fails now and then."""
        path = failure.test.partition("::")[0]
        known = reach.by_file.get(path, ())
        if failure.test in known:
            files, left_out = [path], [test for test in known if test != failure.test]
            lasts = failure.timed_out or reach.seconds(failure.test) > _SHORT_TEST_S or reach.starts_a_process(failure.test)
            if lasts and not failure.timed_out:
                return self._failure(reach, files, left_out) is not None
            if not lasts:
                return True
        elif failure.test:
            # A file that cannot be loaded, or a new test.
            files = [path]
        made.take_back()
        started_s = time.monotonic()
        passes = self._failure(reach, files, left_out) is None
        return passes and not (failure.timed_out and time.monotonic() - started_s > _ALLOWANCE_S / 2)

    def try_change(self, change: Change, reach: Reach, *, deepest: Stage) -> Trial:
        """Make a change, run the tests, and take it back."""
        made = MadeChange(self.folder / "src" / "router" / change.path, change)
        started_s = time.monotonic()
        wanted = reach.tests_of(change)
        try:
            for stage, files in stages_of(change, reach, self.folder, deepest=deepest):
                if self._is_noticed(reach, made, files, wanted):
                    return Trial(change, stage, round(time.monotonic() - started_s, 1))
            return Trial(change, Stage.SURVIVED, round(time.monotonic() - started_s, 1))
        finally:
            made.take_back()


class MadeChange:
    """A change in its file, which can be taken back.

    Python recognises by size and whole seconds of the time of change whether compiled code is that of a file. So each change has a
    second of its own, in the past, and the original text keeps its time.
    """

    _seconds = count(1_000_000_000)

    def __init__(self, path: Path, change: Change) -> None:
        self._path = path
        self._folders = change.path.split("/")[:-1]
        self._source = path.read_text(encoding="utf-8")
        self._changed = changed_text(self._source, change)
        self._time_ns = path.stat().st_mtime_ns
        self._changed_time_ns = next(self._seconds) * 1_000_000_000

    def closeness(self, test_file: str) -> int:
        """Return how many folders the changed file and a test file have in common."""
        pairs = zip(self._folders, test_file.split("/")[1:-1], strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def apply(self) -> None:
        """Write the changed text."""
        self._write(self._changed, self._changed_time_ns)

    def take_back(self) -> None:
        """Write the original text."""
        self._write(self._source, self._time_ns)

    def _write(self, text: str, time_ns: int) -> None:
        self._path.write_text(text, encoding="utf-8")
        os.utime(self._path, ns=(time_ns, time_ns))


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
    parser.add_argument("--record", type=Path, metavar="FILE", help="read which test runs which line; made if it does not exist")
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
        sample = found_again(changes, [trial.change for trial in before if trial.noticed is Stage.SURVIVED])
    print(f"{len(sample)} of {len(changes):,} changes, seed {options.seed}", flush=True)
    trials: list[Trial] = []
    with TemporaryDirectory(prefix="mutation-") as folder, ProjectCopy(Path(folder)) as project:
        reach = project.reach(options.record or Path(folder) / "record")
        for number, change in enumerate(sample, start=1):
            trial = project.try_change(change, reach, deepest=options.deepest)
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
