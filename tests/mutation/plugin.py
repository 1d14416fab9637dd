"""A plugin of pytest for the mutation run: it records which test runs which line, or runs chosen tests only.

It runs in the process of the tests, in a copy of the project. With ``MUTATION_RECORD`` it writes a record of the run to that file;
with ``MUTATION_SELECTION`` it reads a ``Selection`` and writes the first failure, if there is one, to the file that it names.
"""

import contextlib
import importlib
import os
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Generator
from hashlib import sha256
from pathlib import Path
from typing import Final

import coverage
import msgspec
import pytest
from msgspec import Struct

STARTS_A_PROCESS: Final = frozenset({"subprocess.Popen", "os.fork", "os.posix_spawn"})
RECORD: Final = "MUTATION_RECORD"
SELECTION: Final = "MUTATION_SELECTION"


class Record(Struct, frozen=True):
    """What a run of the unchanged project showed."""

    digests: dict[str, str]
    """SHA-256 of each file of ``src/router`` and of each test file, by its path below the project."""
    tests: list[str]
    """Identifiers of the tests; the other fields name a test by its place in this list."""
    seconds: list[float]
    failed: list[int]
    start_processes: list[int]
    """Tests that start a process, in which they may run every line."""
    at_import: dict[str, list[int]]
    """Lines by file that an import runs."""
    by_line: dict[str, dict[int, list[int]]]
    """Tests by file and line, from the collection of their file on."""


class Selection(Struct, frozen=True):
    """Tests to run in one process."""

    result: str
    """File for the ``Failure``."""
    left_out: frozenset[str]
    """Tests that are not run; every other test of the files is."""
    files: tuple[str, ...]
    """The order of the test files."""


class Failure(Struct, frozen=True):
    """The first test, or file of tests, that failed."""

    test: str
    timed_out: bool


class Recorder:
    """Record lines, times and started processes by test."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._root = Path.cwd()
        source = self._root / "src" / "router"
        self._coverage = coverage.Coverage(data_file=None, config_file=False, source=[str(source)])
        self._coverage.start()
        self._seconds: dict[str, float] = defaultdict(float)
        self._failed: set[str] = set()
        self._start_processes: set[str] = set()
        self._current = ""
        sys.addaudithook(self._note_event)
        router = importlib.import_module("router")
        for module in pkgutil.walk_packages(router.__path__, "router."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def _note_event(self, event: str, _: object) -> None:
        if event in STARTS_A_PROCESS and self._current:
            self._start_processes.add(self._current)

    def _switch(self, context: str) -> None:
        self._current = context
        self._coverage.switch_context(context)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, object, object]:
        """Count what the collection of a file runs for all its tests."""
        if isinstance(collector, pytest.File):
            self._switch(collector.nodeid)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Count what set-up, test and tear-down run for the test."""
        self._switch(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the time of a test."""
        self._seconds[report.nodeid] += report.duration
        if report.failed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write the record."""
        self._coverage.stop()
        tests = list(self._seconds)
        places: dict[str, list[int]] = defaultdict(list)
        for place, test in enumerate(tests):
            places[test].append(place)
            places[test.partition("::")[0]].append(place)
        data = self._coverage.get_data()
        at_import: dict[str, list[int]] = {}
        by_line: dict[str, dict[int, list[int]]] = {}
        for name in data.measured_files():
            path = Path(name).relative_to(self._root).as_posix()
            contexts = data.contexts_by_lineno(name)
            at_import[path] = [line for line, found in contexts.items() if "" in found]
            by_line[path] = {
                line: sorted({place for context in found for place in places.get(context, ())}) for line, found in contexts.items()
            }
        record = Record(
            digests=digests(self._root),
            tests=tests,
            seconds=[round(self._seconds[test], 3) for test in tests],
            failed=[places[test][0] for test in sorted(self._failed)],
            start_processes=sorted({place for context in self._start_processes for place in places.get(context, ())}),
            at_import=at_import,
            by_line=by_line,
        )
        self._target.write_bytes(msgspec.msgpack.encode(record))


class Selector:
    """Run the chosen tests, file by file, and write the first failure."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave tests out and order the others."""
        left_out = [item for item in items if item.nodeid in self._selection.left_out]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
        rank = {file: place for place, file in enumerate(self._selection.files)}
        chosen = [item for item in items if item.nodeid not in self._selection.left_out]
        items[:] = sorted(chosen, key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        result = Path(self._selection.result)
        if report.failed and not result.exists():
            result.write_bytes(msgspec.json.encode(Failure(report.nodeid, "from pytest-timeout" in report.longreprtext)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be loaded."""
        self._note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails."""
        self._note(report)


def digests(root: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of ``src/router`` and of each test file, by its path below the project."""
    paths = [*(root / "src" / "router").rglob("*.py"), *(root / "tests").rglob("test_*.py")]
    return {path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def pytest_configure(config: pytest.Config) -> None:
    """Begin to record or to select, as the environment says."""
    with contextlib.suppress(KeyError):
        config.pluginmanager.register(Recorder(Path(os.environ[RECORD])))
    with contextlib.suppress(KeyError):
        selection = msgspec.json.decode(Path(os.environ[SELECTION]).read_bytes(), type=Selection)
        config.pluginmanager.register(Selector(selection))
