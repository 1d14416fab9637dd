"""Prose and names use the words of the field: a list of words that the project does not use, in any file.

Identifiers are split into words, so ``has_guest`` counts like "guest". A line that needs a word in its ordinary sense says so in
a trailing comment, ``plain-words: reason``.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
WORDS: Final = (
    # Pronoun riddles; people are "they", software is "it".
    *("nobody", "somebody", "everybody", "anybody", "whoever", "whom", "anew"),
    *("his", "him", "he", "herself", "himself", "she", "hers"),
    # Metaphors for parts that have a standard name.
    *("corridor", "house", "room", "rooms", "hands", "helping", "helpings", "standing"),
    *("departures", "goodbye", "farewell", "crowd", "affair", "guest", "keeper", "ballast"),
)
UNUSED_WORDS: Final = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
KEPT: Final = "plain-words:"
FOLDERS: Final = ("src", "docs", "config", "benchmarks", "tests")
ENDINGS: Final = {".py", ".md", ".js", ".html", ".yaml", ".yml", ".toml", ".scenario"}
# This list itself, and the table of renamed things.
EXEMPT: Final = {"test_plain_words.py", "CHANGELOG.md"}


def split_identifiers(text: str) -> str:
    """Return the text with snake_case and CamelCase names cut into words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text.replace("_", " "))


def texts() -> Iterator[Path]:
    """Yield every text file that a person writes: recorded benchmark results are not among them."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            recorded = path.is_relative_to(ROOT / "benchmarks" / "results")
            if path.suffix in ENDINGS and path.name not in EXEMPT and not recorded:
                yield path
    for path in sorted(ROOT.iterdir()):
        written = path.suffix in ENDINGS or path.name in ("Makefile", "Dockerfile")
        if path.is_file() and written and path.name not in EXEMPT:
            yield path


def unused_words(text: str) -> list[tuple[int, str]]:
    """Return the line number and word of every listed word in the text, except on lines that keep one for a reason."""
    return [
        (number, found)
        for number, line in enumerate(text.splitlines(), start=1)
        if KEPT not in line
        for found in UNUSED_WORDS.findall(split_identifiers(line))
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("the agent has no free capacity", []),
        ("nobody qualifies", ["nobody"]),
        ("class GuestList:", ["Guest"]),
        ("def free_hands():", ["hands"]),
        ("house style  # plain-words: a name of another project", []),
        ("another, other, these", []),
    ],
)
def test_words_are_found_in_prose_and_identifiers(line: str, found: list[str]) -> None:
    assert [word for _, word in unused_words(line)] == found


def test_every_file_uses_the_words_of_the_field() -> None:
    assert not [
        f"{path.relative_to(ROOT).as_posix()}:{number}: {word}"
        for path in texts()
        for number, word in unused_words(path.read_text(encoding="utf-8", errors="replace"))
    ]


def test_a_class_name_is_defined_in_one_module_only() -> None:
    modules = defaultdict(set)
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].add(path.relative_to(ROOT).as_posix())
    assert not {name: sorted(where) for name, where in modules.items() if len(where) > 1}
