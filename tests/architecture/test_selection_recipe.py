"""The recipe "How to change a way to select agents" in CONTRIBUTING.md names every place, and each place has every way."""

import re
from pathlib import Path
from typing import Final

from router.model.policy import Selection

REPOSITORY: Final = Path(__file__).parents[2]
# Named by the recipe as tests, not as places that list the ways.
TESTS: Final = {"tests/architecture/test_selection_recipe.py", "tests/engine/matching/test_selection.py"}
HEADING: Final = "How to add or change a way to select agents"
# A file that names this many of the ways has a list of them, which a new way must join.
LIST_LENGTH_MIN: Final = len(Selection) - 2


def recipe() -> set[str]:
    """Return the files that the recipe names."""
    _, found, chapter = (REPOSITORY / "CONTRIBUTING.md").read_text().partition(f"\n## {HEADING}\n")
    assert found
    chapter = chapter.split("\n## ")[0]
    return {one or other for one, other in re.findall(r"`((?:src|tests)/[\w/.]+)`|\]\((docs/[\w/.-]+\.md)\)", chapter)} - TESTS


def named_in(path: Path) -> set[Selection]:
    text = path.read_text().lower()
    return {way for way in Selection if re.search(rf"\b{way.value}\b", text)}


def test_every_place_of_the_recipe_has_every_way() -> None:
    missing = {
        name: sorted(set(Selection) - named_in(REPOSITORY / name))
        for name in recipe()
        if (REPOSITORY / name).is_file() and set(Selection) - named_in(REPOSITORY / name)
    }
    # The check of the simulator's offers accepts the longest idle agent as its default case.
    assert missing == {"tests/support/checks/offers.py": [Selection.LONGEST_IDLE]}


def test_the_recipe_names_every_place_that_lists_the_ways() -> None:
    folders = ("src/router", "tests/support", "docs/reference", "docs/how-to")
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*") if path.suffix in (".py", ".md")]
    lists = {str(path.relative_to(REPOSITORY)) for path in files if len(named_in(path)) >= LIST_LENGTH_MIN}
    assert lists <= recipe()
    assert len(lists) >= 8


def test_every_way_has_a_scenario() -> None:
    scenarios = "\n".join(path.read_text() for path in (REPOSITORY / "tests" / "scenarios").rglob("*.scenario"))
    assert {way for way in Selection if f"selection={way.value}" not in scenarios} <= {Selection.LONGEST_IDLE}
