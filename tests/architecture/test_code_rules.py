"""Rules about sizes, names and calls that a machine can check; ``CONTRIBUTING.md`` gives the reasons.

One test per rule; a failure lists every place that breaks it.
"""

import ast
import functools
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "src" / "router"
SOURCES: Final = sorted(PACKAGE.rglob("*.py"))
CODE: Final = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
PAGES: Final = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]

FILE_LINES_MAX: Final = 600
FUNCTION_LINES_MAX: Final = 60
COLUMNS_MAX: Final = 132
PURE_PACKAGES: Final = {"model", "policy", "statistics", "engine"}
BANNED_MODULES: Final = {"utils", "util", "common", "misc", "helpers", "helper", "types", "base"}
BANNED_ENDINGS: Final = ("Manager", "Helper", "Impl", "Util", "Utils")
BANNED_BEGINNINGS: Final = ("Base", "Abstract")
# Boundaries that isolate a failing request, connection, job or subscriber. Elsewhere a clause for every exception may only
# clean up and raise again.
MAY_CATCH_EVERYTHING: Final = {
    "server/http/application.py",  # One request fails, and the connection goes on.
    "server/ws/websocket.py",  # One connection ends, with a trace; the others go on.
    "server/ws/connection.py",
    "server/ws/hub.py",  # A client that cannot be written to is closed alone; the others get the event.
    "server/http/submit_handler.py",  # A failing response must not fail the writer that completes it.
    "server/ws/write_buffer.py",
    "server/api/submit_customer.py",  # The customer of one contact cannot be read: it is logged, and the contact is routed.
    "server/api/request_watch.py",  # A view that fails is looked at again; polls and sockets go on.
    "journal/sqlite/journal.py",  # The exception of a job goes to the coroutine that waits for it.
    "runtime/command_queue.py",
    "runtime/event_feed.py",  # A failing subscriber is isolated, counted and restarted.
    "context/service.py",  # A failing operation is answered with its error; a failing store ends alone, and routing goes on.
    "records/service.py",  # A file of records that fails in any way is noted and opened again; routing and the start go on.
    "runtime/alert_runner.py",  # Alerts that cannot be evaluated are reported; routing and other workspaces go on.
    "runtime/shadow_runner.py",  # A shadow that fails must not end the router.
}
# Wall time enters through the writer's clock; the others check the expiry of a token or state when a report or span ends.
MAY_READ_THE_CLOCK: Final = {
    "runtime/clock.py",
    "journal/redis/preflight.py",  # Compares the clock of the store with the one of this machine.
    "telemetry/metrics_page.py",
    "telemetry/spans.py",
    "server/auth/credentials.py",
    "server/ws/connection.py",
    "client/reconnect.py",
    "demo/router_ahead.py",
}
CLOCKS: Final = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow"}
MAY_PRINT: Final = {"cli", "demo", "loadtest", "simulator"}
# Paths of one machine, and numbers of an issue tracker that a reader of the code cannot open.
FOREIGN_WORDS: Final = re.compile(r"/work/|/home/\w+|\bissue #?\d+")


def place(path: Path) -> str:
    """Return the path below the package, or below the root."""
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).as_posix()


def package_of(path: Path) -> str:
    """Return the first package below ``router`` that the file belongs to."""
    return place(path).partition("/")[0].removesuffix(".py")


@functools.cache
def trees() -> list[tuple[Path, str, ast.Module]]:
    return [(path, text, ast.parse(text)) for path in SOURCES for text in (path.read_text(encoding="utf-8"),)]


@functools.cache
def calls(tree: ast.AST) -> list[tuple[int, str]]:
    return [(node.lineno, ast.unparse(node.func)) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_a_file_has_at_most_600_lines_of_132_columns() -> None:
    broken = []
    for path in CODE:
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > FILE_LINES_MAX:
            broken.append(f"{place(path)}: {len(lines)} lines")
        broken += [
            f"{place(path)}:{number}: {len(line)} columns" for number, line in enumerate(lines, start=1) if len(line) > COLUMNS_MAX
        ]
    assert not broken


def test_a_function_has_at_most_60_lines() -> None:
    broken = []
    for path, _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # The docstring does not count.
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                if length > FUNCTION_LINES_MAX:
                    broken.append(f"{place(path)}: {node.name} has {length} lines")
    assert not broken


def test_no_module_or_class_has_a_name_without_meaning() -> None:
    broken = [place(path) for path in SOURCES if path.stem in BANNED_MODULES]
    for path, _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                name = node.name.lstrip("_")
                if name.endswith(BANNED_ENDINGS) or name.startswith(BANNED_BEGINNINGS):
                    broken.append(f"{place(path)}: {node.name}")
    assert not broken


def test_every_module_has_a_docstring() -> None:
    assert not [place(path) for path, text, tree in trees() if text.strip() and not ast.get_docstring(tree)]


def test_no_source_file_has_unfinished_code() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
    assert not [place(path) for path, text, _ in trees() if later.search(text)]


def test_no_exception_is_swallowed() -> None:
    broken = []
    for path, _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                broad = {"everything", "Exception", "BaseException"} & set(re.findall(r"\w+", caught))
                raises = isinstance(node.body[-1], ast.Raise)
                if broad and not raises and place(path) not in MAY_CATCH_EVERYTHING:
                    broken.append(f"{place(path)}:{node.lineno}: {caught}")
    assert not broken


def test_only_listed_modules_read_the_clock() -> None:
    assert not [
        f"{place(path)}:{line}: {call}"
        for path, _, tree in trees()
        if place(path) not in MAY_READ_THE_CLOCK
        for line, call in calls(tree)
        if call in CLOCKS
    ]


def test_only_the_command_line_prints() -> None:
    assert not [
        f"{place(path)}:{line}"
        for path, _, tree in trees()
        if package_of(path) not in MAY_PRINT
        for line, call in calls(tree)
        if call == "print"
    ]


def test_pure_packages_are_deterministic() -> None:
    broken = []
    for path, _, tree in trees():
        if package_of(path) not in PURE_PACKAGES:
            continue
        broken += [f"{place(path)}:{line}: {call}" for line, call in calls(tree) if call in ("hash", "id", "open", "input")]
        for node in ast.walk(tree):
            if isinstance(node, ast.For | ast.comprehension):
                source = ast.unparse(node.iter)
                literal = isinstance(node.iter, ast.Set | ast.SetComp)
                if literal or source.startswith(("set(", "frozenset(")):
                    broken.append(f"{place(path)}: iterates over the set {source}")
    assert not broken


def test_no_file_names_a_machine_or_an_issue_tracker() -> None:
    assert not [
        f"{place(path)}: {match[0]}"
        for path in [*CODE, *PAGES]
        if path != Path(__file__)
        for match in FOREIGN_WORDS.finditer(path.read_text(encoding="utf-8"))
    ]


def test_tests_use_no_mock_library() -> None:
    mocks = re.compile(r"^\s*(?:from|import)\s+(?:unittest\.mock|mock\b|pytest_mock)", re.MULTILINE)
    assert not [place(path) for path in CODE if mocks.search(path.read_text(encoding="utf-8"))]


def test_every_pattern_of_input_states_its_rule_in_words() -> None:
    """Without a rule, the sender of an invalid value is told "must be text", or shown the regular expression."""
    stated = {"ID_PATTERN", "CODE_PATTERN", "NAME_PATTERN", "SUBJECT_PATTERN", "SPAN_PATTERN", "DATE_PATTERN", "ZONE_PATTERN"}
    broken = []
    for path, _, tree in trees():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "Meta"):
                continue
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if "pattern" in given and given["pattern"] not in stated and "'rule'" not in given.get("extra", ""):
                broken.append(f"{place(path)}:{node.lineno}")
    assert not broken
