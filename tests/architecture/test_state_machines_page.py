"""``docs/state-machines.md`` is made from the tables; this fails when somebody changed one of the two alone."""

import importlib.util
from pathlib import Path
from types import ModuleType

from router.core.transitions import AGENT, AGENT_MOVES, ASSIGNMENT, CONTACT, OFFER, QUEUE

DOCS = Path(__file__).parents[2] / "docs"


def the_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_state_machines", DOCS / "generate_state_machines.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_tables_say() -> None:
    page = (DOCS / "state-machines.md").read_text(encoding="utf-8")
    assert page == the_generator().page(), "run: python docs/generate_state_machines.py"


def test_the_page_has_every_row() -> None:
    page = (DOCS / "state-machines.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "before" not in line]
    tables = (CONTACT, OFFER, ASSIGNMENT, AGENT, QUEUE)
    assert len(rows) == sum(len(table) for table in tables) + len(AGENT_MOVES)
