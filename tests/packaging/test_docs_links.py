"""Consistency of the documentation: links, named files, and the tests listed for each invariant."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "benchmarks").rglob("*.md")])

_CODE: Final = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
# `src/router/engine/engine.py`, `tests/properties/`, `docs/reference/routing.md`: paths as pages name them.
_NAMED: Final = re.compile(r"`((?:src|tests|docs|config|benchmarks|changes)/[\w./*-]*[\w/*])(?:::[\w]+)?`")
# `engine/matching/match.py`, `server/api/`: modules and packages, named from the root of the package.
_MODULE: Final = re.compile(
    r"`((?:" + "|".join(path.name for path in sorted((REPOSITORY / "src" / "router").iterdir())) + r")/[\w./-]*)`"
)
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _prose(page: Path) -> str:
    return _CODE.sub("", page.read_text())


def _links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield (path, anchor) of the page's links to files of the repository."""
    for target in _LINK.findall(_prose(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = _HEADING.findall(_prose(page))
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def _name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_points_to_an_existing_file_and_heading(page: Path) -> None:
    broken = []
    for path, anchor in _links(page):
        target = (page.parent / path).resolve() if path else page
        is_ours = target.is_relative_to(REPOSITORY)
        if not is_ours or not target.exists():
            broken.append(path)
        elif anchor and target.suffix == ".md" and anchor not in _anchors(target):
            broken.append(f"{path}#{anchor}")
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_file_named_in_a_page_exists(page: Path) -> None:
    named = set(_NAMED.findall(_prose(page)))
    assert not [path for path in sorted(named) if not any(REPOSITORY.glob(path.rstrip("/")))]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_module_named_in_a_page_exists(page: Path) -> None:
    roots = (REPOSITORY / "src" / "router", page.parent)
    named = set(_MODULE.findall(_prose(page)))
    assert not [path for path in sorted(named) if not any((root / path).exists() for root in roots)]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_page_contains_a_local_path(page: Path) -> None:
    assert not re.findall(r"/(?:home|root|work|Users)/[\w.-]+", page.read_text())


def test_every_page_is_reachable_from_the_index() -> None:
    readme = REPOSITORY / "docs" / "README.md"
    seen, waiting = {readme}, [readme]
    while waiting:
        page = waiting.pop()
        for path, _ in _links(page):
            target = (page.parent / path).resolve()
            if target.is_dir():
                target = target / "README.md"
            if target.suffix == ".md" and target.exists() and target not in seen:
                seen.add(target)
                waiting.append(target)
    pages = [page for page in PAGES if page.is_relative_to(REPOSITORY / "docs")]
    assert not [_name(page) for page in pages if page not in seen]


def _invariants() -> Iterator[tuple[str, list[Path]]]:
    """Yield (number, test files named in its row) from docs/reference/invariants.md."""
    page = (REPOSITORY / "docs" / "reference" / "invariants.md").read_text()
    named, found, _ = page.partition("\n## Not promised by this version")
    assert found
    for line in named.splitlines():
        if row := re.match(r"\| (I\d+) \|", line):
            paths = re.findall(r"\]\(\.\./\.\./(tests/[\w/.]+)\)", line)
            yield row.group(1), [REPOSITORY / path for path in paths]


def _names(text: str, number: str) -> bool:
    """Return whether a test's text names an invariant, by itself or within a range such as I7-I23."""
    if re.search(rf"\b{number}\b", text):
        return True
    ranges = re.findall(r"\bI(\d+)\s*[-–]\s*I(\d+)\b", text)
    return any(int(first) <= int(number[1:]) <= int(last) for first, last in ranges)


def test_every_invariant_has_a_row_with_a_test_that_names_it() -> None:
    invariants = dict(_invariants())
    assert len(invariants) >= 36
    for number, paths in invariants.items():
        assert paths, f"{number} has no test"
        for path in paths:
            assert path.is_file(), path
            assert _names(path.read_text(), number), f"{path} does not name {number}"


def test_every_invariant_named_in_a_test_has_a_row() -> None:
    page = (REPOSITORY / "docs" / "reference" / "invariants.md").read_text()
    rows = set(re.findall(r"^\| (I\d+) \|", page, re.MULTILINE))
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        if path != Path(__file__):
            for number in re.findall(r"\bI\d{1,2}\b", path.read_text()):
                assert number in rows, f"{path} names {number}"
