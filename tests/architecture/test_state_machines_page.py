"""``docs/reference/state-machines.md`` is generated from the transition tables; these tests fail when the page is stale."""

import importlib.util
from pathlib import Path
from types import ModuleType

from router.engine.transitions import (
    AGENT_STATE_CHANGES,
    AGENT_TRANSITIONS,
    ASSIGNMENT_TRANSITIONS,
    CONTACT_TRANSITIONS,
    OFFER_TRANSITIONS,
    QUEUE_TRANSITIONS,
)

DOCS = Path(__file__).parents[2] / "docs"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_state_machines", DOCS / "generate_state_machines.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_matches_the_transition_tables() -> None:
    page = (DOCS / "reference" / "state-machines.md").read_text(encoding="utf-8")
    assert page == load_generator().page(), "run: python docs/generate_state_machines.py"


def test_the_page_has_a_row_for_every_transition() -> None:
    page = (DOCS / "reference" / "state-machines.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "before" not in line]
    tables = (CONTACT_TRANSITIONS, OFFER_TRANSITIONS, ASSIGNMENT_TRANSITIONS, AGENT_TRANSITIONS, QUEUE_TRANSITIONS)
    assert len(rows) == sum(len(table) for table in tables) + len(AGENT_STATE_CHANGES)
