"""Generate ``docs/reference/state-machines.md`` from the transition tables of the engine. Run it after a change of the tables."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from router.engine.transitions import (
    AGENT_STATE_CHANGES,
    AGENT_TRANSITIONS,
    ASSIGNMENT_TRANSITIONS,
    CONTACT_TRANSITIONS,
    OFFER_TRANSITIONS,
    QUEUE_TRANSITIONS,
)
from router.model.states import ContactState

PAGE: Final = Path(__file__).with_name("reference") / "state-machines.md"
HEAD: Final = """# State machines

Every legal change of state is a row of these tables; any other is rejected. This page is generated from
`src/router/engine/transitions.py` by `docs/generate_state_machines.py`; change the code, not the page.
"""
SECTIONS: Final[tuple[tuple[str, str, Mapping[tuple[Any, type], Any]], ...]] = (
    (
        "Contact",
        "Hold and wrap-up are states of the assignment. A contact that its owner offers to another agent stays `assigned`.",
        CONTACT_TRANSITIONS,
    ),
    ("Offer", "An offer is pending until it ends in exactly one way.", OFFER_TRANSITIONS),
    ("Assignment", "An assignment has the id of the offer from which it arose.", ASSIGNMENT_TRANSITIONS),
    (
        "Queue",
        "A queue is open initially. Only queues with opening hours, or opened and closed by a supervisor, have these events.",
        QUEUE_TRANSITIONS,
    ),
    (
        "Agent",
        "`AgentStateChanged` carries the new state; the pairs that it may connect are the last rows. Busy is not a state.",
        AGENT_TRANSITIONS,
    ),
)


def rows(title: str, table: Mapping[tuple[Any, type], Any]) -> list[tuple[str, str, str]]:
    """Return (state before, event, state after) in the order of the table; an empty state means that it does not exist yet."""
    found = [(str(before or ""), event.__name__, str(after)) for (before, event), after in table.items()]
    if title == "Agent":
        changes = sorted((str(before), str(after)) for before, after in AGENT_STATE_CHANGES)
        found += [(before, "AgentStateChanged", after) for before, after in changes]
    return found


def diagram(table_rows: Iterable[tuple[str, str, str]], *, final: Iterable[str]) -> str:
    """Return the rows that change the state as a Mermaid diagram; events between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, event, after in table_rows:
        if event == "AgentRemoved":
            arrows.setdefault((before, "[*]"), []).append(event)
        elif before != after:
            arrows.setdefault((before or "[*]", after), []).append(event)
    lines = [f"    {a} --> {b}: {', '.join(names)}" for (a, b), names in arrows.items()]
    lines += [f"    {state} --> [*]" for state in final]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def section(title: str, sentence: str, table: Mapping[tuple[Any, type], Any]) -> str:
    """Return the section of one state machine: description, diagram and table."""
    table_rows = rows(title, table)
    before = {row[0] for row in table_rows}
    final = list(dict.fromkeys(row[2] for row in table_rows if row[2] not in before))
    lines = [f"| {a or '–'} | {event} | {b} |" for a, event, b in table_rows]
    head = "| before | event | after |\n|---|---|---|"
    return f"## {title}\n\n{sentence}\n\n{diagram(table_rows, final=final)}\n\n{head}\n" + "\n".join(lines) + "\n"


def page() -> str:
    """Return the text of the page."""
    ends = ", ".join(f"`{state}`" for state in ContactState if state.is_terminal)
    head = f"{HEAD}\nTerminal states of a contact: {ends}.\n"
    return "\n".join([head, *(section(*one) for one in SECTIONS)])


def write() -> None:
    """Write the page to the folder of this file."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
