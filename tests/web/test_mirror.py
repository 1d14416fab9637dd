"""The state that the JavaScript clients keep equals that of the Python clients, which equals a fresh ``welcome``.

A small centre goes through sequences of operations and lost connections, as in ``tests/properties/test_client_state.py``. What the
router sent to each client is replayed to a JavaScript client, whose state is compared after every step.
"""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from router.client import state as client_state
from router.model.states import AssignmentRole, AssignmentState, CallbackPhase
from tests.properties.test_client_state import ClientsOfACentre
from tests.support.in_memory_client import MemoryClient
from tests.support.node import run_node
from tests.web.client_states import state_of

TESTS = Path(__file__).parent


class RecordedCentre(ClientsOfACentre):
    """Records the messages and states of all clients instead of comparing them with a fresh welcome."""

    tape: ClassVar[list[bytes]] = []
    events: ClassVar[Counter[str]] = Counter()
    examples: ClassVar["itertools.count[int]"] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        example = next(self.examples)
        self.changed: set[int] = set()
        self.names = [f"{example}/{number}/{client.subject}" for number, client in enumerate(self.clients)]
        for number, client in enumerate(self.clients):
            self.record(client, number)

    def record(self, client: MemoryClient, number: int) -> None:
        name, connection = self.names[number], client.connection
        receive = connection.receive

        def recorded(text: str) -> bool:
            self.tape.append(msgspec.json.encode({"client": name, "role": str(client.role), "text": text}))
            if text.startswith('{"type":"event"'):
                self.events[json.loads(text)["event"]["type"]] += 1
            self.changed.add(number)
            return bool(receive(text))

        connection.receive = recorded

    @invariant()
    def every_client_has_the_state_of_a_fresh_welcome(self) -> None:
        """Record the states of the clients that have received something."""
        for number in sorted(self.changed):
            client = self.clients[number]
            if client.is_ready:
                state = {"client": self.names[number], "role": str(client.role), "expected": state_of(client.client)}
                self.tape.append(msgspec.json.encode(state))
        self.changed.clear()


@pytest.mark.slow  # Forty histories of a centre; fewer leave out half of the events.
def test_javascript_clients_have_the_state_of_python_clients(tmp_path: Path) -> None:
    RecordedCentre.tape.clear()
    some = settings(
        max_examples=40,
        stateful_step_count=40,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(RecordedCentre, settings=some)
    tape = tmp_path / "tape.jsonl"
    tape.write_bytes(b"\n".join(RecordedCentre.tape))
    done = run_node(str(TESTS / "replay.js"), str(tape))
    assert done.returncode == 0, done.stderr[-6_000:]
    printed = json.loads(done.stdout)
    print(printed, dict(RecordedCentre.events))
    assert printed["compared"] > 800
    assert len(RecordedCentre.events) > 35


def test_both_clients_allow_the_same_operations_in_every_situation(tmp_path: Path) -> None:
    owner, consult, participant = AssignmentRole.OWNER, AssignmentRole.CONSULT, AssignmentRole.PARTICIPANT
    members: list[dict[str, AssignmentRole]] = [
        {},
        {"ada": owner, "bob": consult},
        {"ada": owner, "bob": participant},
        {"ada": owner, "bob": consult, "cy": participant},
    ]
    pending = [
        None,
        *(
            client_state.PendingOffer(offer_id="o", agent_id="b", kind=kind, made_at_ms=0, deadline_ms=0)
            for kind in ("transfer", "consult")
        ),
    ]
    rows = []
    for state, role, phase, group, offer, passes_to in itertools.product(
        AssignmentState, AssignmentRole, (None, *CallbackPhase), members, pending, (None, "bob")
    ):
        work = client_state.CachedAssignment(
            assignment_id="a",
            contact_id="c",
            state=state,
            channel="voice",
            queue_id="q",
            started_at_ms=0,
            wrap_up_deadline_ms=None,
            attributes={},
            reference=None,
            role=role,
            members=group,
            pending_offer=offer,
            callback_phase=phase,
            passes_to=passes_to,
        )
        rows.append([msgspec.to_builtins(work), list(work.allowed)])
    file = tmp_path / "situations.json"
    file.write_bytes(msgspec.json.encode(rows))
    script = (
        f'import {{ allowedOperations }} from "{TESTS.parents[1]}/src/router/web/sdk/index.js";'
        'import assert from "node:assert/strict"; import { readFileSync } from "node:fs";'
        f'const rows = JSON.parse(readFileSync("{file}"));'
        "for (const [work, allowed] of rows) assert.deepEqual(allowedOperations(work), allowed, JSON.stringify(work));"
        "console.log(rows.length);"
    )
    done = run_node("--input-type=module", "--eval", script)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert int(done.stdout) == len(rows) > 500
