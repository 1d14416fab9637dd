"""Days with customers who suspend, resume and switch: audited, the same for the same seed, and convicted if a rule is broken."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.engine.engine import Engine, digest_of
from router.engine.shadow import Shadow
from router.engine.snapshots.full import decisive_part
from router.model import events as e
from router.model.commands import Command
from router.model.policy import Policy, ResumePlace
from router.model.results import Outcome
from router.model.states import AssignmentRole
from router.simulator.audit.auditor import Auditor
from router.simulator.day import PlannedContact
from router.simulator.run import SimulationSpec, simulate
from router.simulator.simulation import Simulation
from router.simulator.workload import draw_day, load_workload

WORKLOAD = """\
name: continuity
duration_s: 7200
streams:
  chats:
    queue: support
    channel: chat
    arrivals: {per_hour: 60}
    handle: {dist: exponential, mean_s: 240}
    patience: {dist: exponential, mean_s: 600}
    suspensions: {share: 0.3, away_mean_s: 1200, channel: voice}
    switches: {share: 0.3, channel: voice, connect_s: 10}
  calls:
    queue: support
    arrivals: {per_hour: 20}
    handle: {dist: exponential, mean_s: 180}
    suspensions: {share: 0.2, away_mean_s: 600}
agent_groups:
  all: {count: 5, behaviour: {answer_mean_s: 3, decline_share: 0.05, no_answer_share: 0.03}}
policy:
  channels:
    voice: {wrap_up_s: 10}
    chat: {units: 40, per_agent_max: 2, wrap_up_s: 5}
  queues:
    support: {suspension: {place: PLACE, prefer_last_agent_s: 60}}
"""


class Counted:
    """Counts the events of a run."""

    def __init__(self) -> None:
        self.kinds: dict[type, int] = {}

    def on_arrival(self, plan: PlannedContact) -> None: ...

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        for event in outcome.events:
            self.kinds[type(event)] = self.kinds.get(type(event), 0) + 1


def a_file(tmp_path: Path, place: str = "keep_age") -> Path:
    path = tmp_path / "continuity.yaml"
    path.write_text(WORKLOAD.replace("PLACE", place))
    return path


@pytest.mark.parametrize("seed", range(6))
def test_a_day_with_suspensions_and_switches_passes_the_audit(tmp_path: Path, seed: int) -> None:
    place = ("keep_age", "credit", "fresh")[seed % 3]
    counted = Counted()
    spec = SimulationSpec(workload=str(a_file(tmp_path, place)), seed=seed)
    report = simulate(spec, make_listener=lambda _: counted)
    assert report.audit.violations == ()
    for kind, least in (
        (e.ContactSuspended, 15),
        (e.ContactResumed, 15),
        (e.ContactChannelRequested, 5),
        (e.ContactChannelSwitched, 5),
    ):
        assert counted.kinds.get(kind, 0) >= least, kind
    assert counted.kinds[e.ContactResumed] == counted.kinds[e.ContactSuspended]
    again = simulate(spec)
    assert (again.digest, again.state_digest) == (report.digest, report.state_digest)


@pytest.mark.parametrize("seed", range(4))
def test_a_day_with_switches_that_wait_passes_the_audit(tmp_path: Path, seed: int) -> None:
    """Agents in calls cannot take another one: the switch waits, and some are taken over by another agent."""
    taken_over: list[e.ContactChannelSwitched] = []
    waiting: dict[str, str] = {}

    class TakenOver(Counted):
        def on_outcome(self, command: Command, outcome: Outcome) -> None:
            super().on_outcome(command, outcome)
            for event in outcome.events:
                if isinstance(event, e.ContactChannelRequested) and event.deadline_ms is None:
                    waiting[event.contact_id] = event.agent_id
                elif (
                    isinstance(event, e.ContactChannelSwitched) and waiting.get(event.contact_id, event.agent_id) != event.agent_id
                ):
                    taken_over.append(event)

    path = tmp_path / "waits.yaml"
    text = WORKLOAD.replace("PLACE", "keep_age").replace("connect_s: 10}", "connect_s: 10, if_unable: queue}")
    path.write_text(text.replace("{per_hour: 20}", "{per_hour: 90}"))
    spec = SimulationSpec(workload=str(path), seed=seed)
    report = simulate(spec, make_listener=lambda _: TakenOver())
    assert report.audit.violations == ()
    assert len(waiting) >= 5 and len(taken_over) >= 2, (len(waiting), len(taken_over))
    assert simulate(spec).state_digest == report.state_digest


@pytest.mark.parametrize("seed", range(4))
def test_a_day_with_consults_for_a_switch_passes_the_audit(tmp_path: Path, seed: int) -> None:
    """Another agent is consulted on the new channel, and has the conversation a while later, where it lasts that long.

    That is 45 s after the accept, and 10 s that the gateway takes to connect the customer.
    """
    accepted: dict[str, tuple[int, str]] = {}
    passed: list[tuple[int, e.ContactHandedOver]] = []
    passed_on: list[str] = []
    switched: list[str | None] = []

    class Consulted(Counted):
        def on_outcome(self, command: Command, outcome: Outcome) -> None:
            for event in outcome.events:
                if isinstance(event, e.OfferAccepted) and event.role is AssignmentRole.CONSULT:
                    accepted[event.contact_id] = (outcome.at_ms, event.agent_id)
                elif isinstance(event, e.ContactHandedOver):
                    passed.append((outcome.at_ms, event))
                    passed_on.append(event.contact_id)
                elif isinstance(event, e.ContactChannelSwitched) and event.contact_id in passed_on[-1:]:
                    switched.append(event.agent_id)

    path = tmp_path / "consults.yaml"
    text = WORKLOAD.replace("PLACE", "keep_age").replace("connect_s: 10}", "connect_s: 10, if_unable: consult, consult_s: 45}")
    path.write_text(text.replace("{per_hour: 20}", "{per_hour: 90}"))
    spec = SimulationSpec(workload=str(path), seed=seed)
    report = simulate(spec, make_listener=lambda _: Consulted())
    assert report.audit.violations == ()
    assert len(passed) >= 2 and len(accepted) > len(passed), (len(accepted), len(passed))
    for at_ms, event in passed:
        assert accepted[event.contact_id] == (at_ms - 55_000, event.agent_id)
    assert switched == [event.agent_id for _, event in passed]
    assert simulate(spec).state_digest == report.state_digest


def test_a_stream_without_these_keys_has_the_same_customers(tmp_path: Path) -> None:
    """Each source of chance has a generator of its own, so that further keys change no arrival, handle time or patience."""
    workload = load_workload(a_file(tmp_path))
    streams = {name: msgspec.structs.replace(one, suspensions=None, switches=None) for name, one in workload.streams.items()}
    plain = msgspec.structs.replace(workload, streams=streams)
    drawn = [list(draw_day(one, policy=None, seed=1, replication=0).contacts) for one in (workload, plain)]
    assert [msgspec.structs.replace(one, suspension=None, switch=None) for one in drawn[0]] == drawn[1]


class Distorting:
    """Passes a run on to an auditor, with one type of event changed."""

    def __init__(self, auditor: Auditor, kind: type, changes: dict[str, Any] | None) -> None:
        self._auditor, self._kind, self._changes = auditor, kind, changes
        self._is_done = False

    def on_arrival(self, plan: PlannedContact) -> None:
        self._auditor.on_arrival(plan)

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        self._auditor.on_outcome(command, msgspec.structs.replace(outcome, events=[self._distorted(one) for one in outcome.events]))

    def _distorted(self, event: e.Event) -> e.Event:
        if type(event) is not self._kind or self._is_done or self._changes is None:
            return event
        changes = {
            name: getattr(event, name) + by if isinstance(by, int) and getattr(event, name) is not None else by
            for name, by in self._changes.items()
        }
        self._is_done = True
        return msgspec.structs.replace(event, **changes)


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        (e.ContactSuspended, {"age_ms": 1}, "wrong age"),
        (e.ContactSuspended, {"agent_id": "stranger"}, "another owner"),
        (e.ContactResumed, {"queued_at_ms": 1}, "another place"),
        (e.ContactResumed, {"preferred_agent_id": "stranger"}, "who did not have it"),
        (e.ContactChannelRequested, {"held_units": 100}, "above capacity"),
        (e.ContactChannelSwitched, {"units": 1}, "wrong units"),
        (e.ContactChannelSwitched, {"from_channel": "smoke"}, "not on"),
        (e.ContactChannelSwitched, None, ""),
    ],
)
def test_the_audit_finds_a_broken_rule(tmp_path: Path, kind: type, changes: dict[str, Any] | None, text: str) -> None:
    day = draw_day(load_workload(a_file(tmp_path)), policy=None, seed=1, replication=0)
    auditor = Auditor()
    Simulation(day, listeners=[Distorting(auditor, kind, changes)], engine=Engine()).run()
    if changes is None:
        assert auditor.violations == []
    else:
        assert any(text in one for one in auditor.violations), auditor.violations[:3]


class Shadowed:
    """Follows a run with a shadow of a policy, from the publication of the run's own policy on."""

    def __init__(self, engine: Engine, policy: Policy) -> None:
        self._engine, self._policy = engine, policy
        self.shadow: Shadow | None = None

    def on_arrival(self, plan: PlannedContact) -> None: ...

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        if self.shadow is not None:
            self.shadow.apply_record(list(outcome.events), outcome.first_seq, outcome.at_ms)
        elif any(isinstance(event, e.PolicyPublished) for event in outcome.events):
            self.shadow = Shadow.from_snapshot(self._engine.snapshot(), self._policy)
            self.shadow.compare_current_state()


@pytest.mark.parametrize("seed", range(3))
def test_a_shadow_of_the_same_policy_follows_such_a_day_without_a_difference(tmp_path: Path, seed: int) -> None:
    day = draw_day(load_workload(a_file(tmp_path)), policy=None, seed=seed, replication=0)
    engine = Engine()
    followed = Shadowed(engine, day.policy)
    Simulation(day, listeners=[followed], engine=engine).run()
    assert followed.shadow is not None
    report = followed.shadow.report()
    assert report.differences == {} and report.overdue == report.not_judged == 0
    assert report.same == report.offers > 50
    assert digest_of((decisive_part(followed.shadow.state),)) == engine.digest()


def test_a_shadow_that_prefers_no_agent_finds_offers_to_other_agents(tmp_path: Path) -> None:
    day = draw_day(load_workload(a_file(tmp_path)), policy=None, seed=1, replication=0)
    terms = msgspec.structs.replace(day.policy.queues["support"].suspension, prefer_last_agent_s=0, place=ResumePlace.FRESH)
    queue = msgspec.structs.replace(day.policy.queues["support"], suspension=terms)
    engine = Engine()
    followed = Shadowed(engine, msgspec.structs.replace(day.policy, queues={"support": queue}))
    Simulation(day, listeners=[followed], engine=engine).run()
    assert followed.shadow is not None
    report = followed.shadow.report()
    assert report.differences.get("other_agent", 0) > 0
    assert report.same + sum(report.differences.get(kind, 0) for kind in ("other_agent", "other_contact", "not_eligible")) > 50
