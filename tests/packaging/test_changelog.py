"""The tables of renamed names in the changelog agree with the code, as long as the version is not released."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from router.protocol.problem_types import PROBLEMS

REPOSITORY: Final = Path(__file__).parents[2]
SOURCES: Final = REPOSITORY / "src" / "router"
# Parts of names that no source file spells as a word of its own.
NOT_IN_SOURCES: Final = {"v1", "ROUTER"}


def unreleased() -> str:
    _, found, rest = (REPOSITORY / "CHANGELOG.md").read_text().partition("\n## Unreleased\n")
    assert found
    return rest.split("\n## ")[0]


def tables() -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield (heading, column names, cells) for each row of the tables under "Renamed"."""
    _, found, renamed = unreleased().partition("\n### Renamed\n")
    assert found
    for chapter in renamed.split("\n#### ")[1:]:
        heading, _, text = chapter.partition("\n")
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        columns = [cell.strip() for cell in rows[0].strip("|").split("|")]
        for row in rows[1:]:
            cells = [cell.strip() for cell in row.strip("|").split(" | ")]
            if row != rows[0]:
                yield heading, columns, cells


def module_paths(cell: str) -> Iterator[str]:
    """Yield the dotted names of a cell, with ``a.{b,c}`` written out."""
    for name in re.findall(r"`([^`]+)`", cell):
        head, brace, rest = name.partition("{")
        if brace:
            yield from (f"{head}{one}" for one in rest.rstrip("}").split(","))
        else:
            yield name


def test_every_new_name_occurs_in_the_sources() -> None:
    words = set()
    for path in [*SOURCES.rglob("*.py"), REPOSITORY / "config" / "router.yaml"]:
        words |= set(re.findall(r"\w+", path.read_text()))
    missing = []
    for heading, columns, cells in tables():
        if columns[-1] != "new" or heading.startswith("Packages"):
            continue
        for name in re.findall(r"`([^`]+)`", cells[-1]):
            for part in filter(None, re.split(r"__|--|\W+", name)):
                known = {part, part.lower(), part.removesuffix("_total"), part.replace("-", "_")}
                if not known & words | {part} & NOT_IN_SOURCES:
                    missing.append(f"{heading}: {name}")
    assert not missing


def test_every_new_module_exists() -> None:
    missing = []
    for heading, _, cells in tables():
        if heading.startswith("Packages") and "benchmarks" not in cells[-1]:
            parent = ""
            for name in module_paths(cells[-1]):
                # A name without its package stands behind one with it.
                full = name if "." in name or not parent else f"{parent}.{name}"
                parent = full.rpartition(".")[0] or parent
                path = SOURCES / full.replace(".", "/")
                if not path.is_dir() and not path.with_suffix(".py").is_file():
                    missing.append(full)
    assert not missing


def test_no_old_event_tag_problem_code_or_metric_is_left() -> None:
    text = "\n".join(
        path.read_text()
        for path in SOURCES.rglob("*.py")
        if path.name not in ("format_1.py", "schemas.py")  # Names of journal format 1, for the migration; names of fields.
    )
    chapters = ("Event tags", "Doctor findings")
    old = [
        name
        for heading, _, cells in tables()
        if heading in chapters or (heading.startswith("Codes") and len(cells) == 2)
        for name in re.findall(r"`([^`]+)`", cells[0])
    ]
    assert len(old) >= 28
    assert not [name for name in old if f'"{name}"' in text]


def test_the_new_titles_are_those_of_the_problems() -> None:
    titles = {
        cells[0].strip("`"): cells[-1]
        for heading, _, cells in tables()
        if heading.startswith("Codes") and len(cells) == 3 and cells[0] != "code"
    }
    assert len(titles) >= 40
    assert titles == {code: PROBLEMS[code].title for code in titles}
