"""Contacts that carry attributes instead of a queue: the entry rules choose it, as for a gateway."""

from pathlib import Path

import pytest

from router.model.commands import Command, EnqueueContact
from router.model.events.contact import ContactQueued
from router.model.policy import FactPolicy, FactType
from router.model.results import Outcome
from router.simulator.day import Day, PlannedContact, WorkloadInvalid
from router.simulator.formats import parse_logs
from router.simulator.formats.recorded_log import derived_policy
from router.simulator.run import SimulationSpec, simulate
from router.simulator.what_if import what_if

POLICY = """\
channels: {voice: {auto_accept: true}, chat: {auto_accept: true}}
skills: []
facts:
  topic: {type: enum, values: [card, loan]}
  years: {type: int}
queues: {cards: {}, loans: {}, late: {}, other: {length_max: 1}}
entry:
  - {name: cards-full, when: 'contact.topic == "card" && queues.cards.waiting >= 2', queue: late}
  - {name: cards, when: {attributes: {topic: card}}, queue: cards}
  - {name: loans, when: {channel: voice, attributes: {topic: loan, years: 3}}, queue: loans}
default_queue: other
"""
WORKLOAD = """\
name: by-topic
duration_s: 100
streams:
  card-calls:
    attributes: {topic: card}
    arrivals: {every_s: 10}
    handle: {dist: constant, value_s: 1000}
  loan-calls:
    attributes: {topic: loan, years: 3}
    arrivals: {every_s: 40}
    handle: {dist: constant, value_s: 1000}
  chats:
    channel: chat
    attributes: {}
    arrivals: {every_s: 30}
    handle: {dist: constant, value_s: 1000}
agent_groups:
  all: {count: 1}
"""


class SubmitRecorder:
    """Run listener that keeps the submits, the contacts that were announced and their events."""

    def __init__(self) -> None:
        self.commands: dict[str, EnqueueContact] = {}
        self.queues: dict[str, str | None] = {}
        self.rules: dict[str, tuple[str | None, str]] = {}

    def __call__(self, day: Day) -> "SubmitRecorder":
        return self

    def on_arrival(self, plan: PlannedContact) -> None:
        self.queues[plan.contact_id] = plan.queue_id

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        if isinstance(command, EnqueueContact):
            self.commands[command.contact_id] = command
        for event in outcome.events:
            if isinstance(event, ContactQueued):
                self.rules[event.contact_id] = (event.rule, event.queue_id)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def spec_of(tmp_path: Path, workload: str = WORKLOAD, policy: str | None = POLICY) -> SimulationSpec:
    return SimulationSpec(
        workload=write(tmp_path / "day.yaml", workload), policy=None if policy is None else write(tmp_path / "policy.yaml", policy)
    )


def test_the_entry_rules_choose_the_queue_by_attributes_and_depth(tmp_path: Path) -> None:
    seen = SubmitRecorder()
    report = simulate(spec_of(tmp_path), make_listener=seen)
    # One agent takes the first card call; two more wait, and further ones find the queue that long.
    assert {name: part.contacts for name, part in report.queues.items()} == {"cards": 3, "late": 6, "loans": 2, "other": 3}
    assert {name: part.contacts for name, part in report.streams.items()} == {"card-calls": 9, "loan-calls": 2, "chats": 3}
    # The second and third chat find a full queue; a refusal has no event, and yet counts for its queue.
    assert (report.queues["other"].blocked, report.streams["chats"].blocked) == (2, 2)
    assert report.notes == ()
    assert report.audit.violations == ()
    assert {command.queue_id for command in seen.commands.values()} == {None}
    assert seen.commands["loan-calls-1"].attributes == {"topic": "loan", "years": 3}
    assert seen.rules["card-calls-4"] == ("cards-full", "late")
    assert seen.queues["card-calls-4"] == "late"
    assert seen.rules["chats-1"] == (None, "other")


def test_a_stream_may_have_both_a_queue_and_attributes(tmp_path: Path) -> None:
    named = WORKLOAD.replace("attributes: {topic: card}", "queue: late\n    attributes: {topic: card}")
    seen = SubmitRecorder()
    report = simulate(spec_of(tmp_path, named), make_listener=seen)
    assert report.queues["late"].contacts == 9
    assert seen.commands["card-calls-1"].attributes == {"topic": "card"}
    assert seen.rules["card-calls-1"] == (None, "late")


def test_a_log_may_have_attributes_instead_of_queues(tmp_path: Path) -> None:
    csv = "arrival,attributes,queue,handle_s\n1,topic:card,,60\n2,topic:loan;years:3,,60\n3,,late,60\n4,,,60\n"
    lines = (
        '{"arrival": 1, "attributes": {"topic": "card"}, "handle_s": 60}\n'
        '{"arrival": 2, "attributes": {"topic": "loan", "years": 3}, "handle_s": 60}\n'
        '{"arrival": 3, "queue": "late", "handle_s": 60}\n'
        '{"arrival": 4, "attributes": {}, "handle_s": 60}\n'
    )
    agents = "agents:" + write(tmp_path / "team.csv", "agent_id\nada\n")
    policy = write(tmp_path / "policy.yaml", POLICY)
    reports = [
        simulate(SimulationSpec(logs=("contacts:" + write(path, text), agents), policy=policy))
        for path, text in ((tmp_path / "a.csv", csv), (tmp_path / "b.jsonl", lines))
    ]
    assert reports[0].digest == reports[1].digest
    assert {name: part.contacts for name, part in reports[0].queues.items()} == {"cards": 1, "loans": 1, "late": 1, "other": 1}


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.csv", "arrival,handle_s\n1,60\n", "a.csv:2: give queue or attributes"),
        ("a.csv", "arrival,queue,handle_s\n1,,60\n", "a.csv:2: give queue or attributes"),
        ("a.jsonl", '{"arrival": 1, "handle_s": 60}\n', "a.jsonl:1: give queue or attributes"),
        ("a.csv", "arrival,attributes,handle_s\n1,topic,60\n", "a.csv:2: attributes must be"),
    ],
)
def test_a_row_with_neither_queue_nor_attributes_is_refused(tmp_path: Path, name: str, text: str, place: str) -> None:
    with pytest.raises(WorkloadInvalid, match=place):
        parse_logs(["contacts:" + write(tmp_path / name, text)])


def test_contacts_without_a_queue_need_rules_or_a_default_queue(tmp_path: Path) -> None:
    with pytest.raises(WorkloadInvalid, match="need a policy with entry rules or a default_queue"):
        simulate(spec_of(tmp_path, policy=None))
    no_default = POLICY.replace("default_queue: other\n", "")
    with pytest.raises(WorkloadInvalid, match="no_matching_queue at queue_id: the policy does not"):
        simulate(spec_of(tmp_path, policy=no_default))


# --- notes ----------------------------------------------------------------------------------------------------------
def test_rules_that_are_never_evaluated_give_a_note(tmp_path: Path) -> None:
    named = WORKLOAD
    for attributes in ("{topic: card}", "{topic: loan, years: 3}", "{}"):
        named = named.replace(f"attributes: {attributes}\n", "queue: other\n")
    (note,) = simulate(spec_of(tmp_path, named)).notes
    assert note == "the entry rules are never evaluated: every contact of the day names its queue"


def test_rules_that_no_contact_can_match_are_named(tmp_path: Path) -> None:
    other = WORKLOAD.replace("years: 3", "years: 4").replace("topic: card", "topic: loan")
    (note,) = simulate(spec_of(tmp_path, other)).notes
    assert note == "no contact of the day can match: cards, loans"


def test_a_comparison_shows_the_notes_of_its_policies(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, WORKLOAD.replace("years: 3", "years: 4"), policy=None)
    rest = POLICY.replace("years: 3", "years: 4")
    one, two = write(tmp_path / "one.yaml", POLICY), write(tmp_path / "two.yaml", rest)
    assert what_if(spec, [one, one.replace("one", "two")]).notes == ("one: no contact of the day can match: loans",)
    both = write(tmp_path / "both.yaml", POLICY)
    shared = what_if(spec, [one, both]).notes
    assert shared == ("no contact of the day can match: loans",)
    lacking = write(tmp_path / "lacking.yaml", POLICY.replace("  years: {type: int}\n", "").replace(", years: 3", ""))
    with pytest.raises(WorkloadInvalid, match=r"policy lacking lacks .*: fact years"):
        what_if(spec, [two, lacking])


def test_a_derived_policy_declares_the_attributes_of_contacts_and_agents(tmp_path: Path) -> None:
    contacts = "arrival,queue,attributes,handle_s\n1,calls,topic:card;vip:true,60\n2,calls,,60\n"
    logs = (
        "contacts:" + write(tmp_path / "day.csv", contacts),
        "agents:" + write(tmp_path / "team.csv", "agent_id,attributes\nada,years:3\n"),
    )
    assert derived_policy(parse_logs(logs)).facts == {
        "topic": FactPolicy(type=FactType.IDENT, non_personal=True),
        "vip": FactPolicy(type=FactType.BOOL, non_personal=True),
        "years": FactPolicy(type=FactType.INT, applies_to="agent", non_personal=True),
    }
    assert simulate(SimulationSpec(logs=logs)).answered == 2
