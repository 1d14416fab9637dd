"""State machine test: hypothesis drives a small contact centre with valid and invalid commands, and time.

After every command the checks of ``tests/support/world.py`` hold the engine to I4, I7-I23, I25 and I42; added here are I30 (replay,
restore, takeover by another process) and I41 (the counters).
"""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import UNSET

from router.engine.engine import Engine
from router.model import commands as c
from router.model.commands import CallbackFields
from router.model.filters import SupervisorScope
from router.model.policy import CallbackMode, SuspensionEnd
from router.model.states import (
    AgentState,
    CallbackOutcome,
    ChannelOutcome,
    ContactState,
    IfUnable,
    MonitorMode,
    MonitorOutcome,
    ResumeMode,
)
from tests.properties import strategies as some
from tests.support.checks.views import compare_views
from tests.support.world import World

# Positions in what exists, so that a shrunk example stays meaningful when earlier steps are removed.
positions = st.integers(0, 7)
agent_ids = st.sampled_from((*some.AGENTS, *some.AGENTS, "unknown"))
queue_ids = st.sampled_from((*some.QUEUES, *some.QUEUES, "nowhere"))
channel_ids = st.sampled_from((*some.CHANNELS, *some.CHANNELS, "smoke"))


class ContactCentre(RuleBasedStateMachine):
    """Commands and time, checked against the reference model."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.count = 0
        self.snapshot: tuple[bytes, int] | None = None

    # --- start --------------------------------------------------------------------------------------------------------
    @initialize(policy=some.policies(), staff=st.lists(some.skills, min_size=1, max_size=4))
    def a_centre_opens(self, policy: Any, staff: list[dict[str, int]]) -> None:
        """Publish a policy and make agents ready."""
        self.world.do(c.PublishPolicy(policy=policy))
        for agent_id, skills in zip(some.AGENTS, staff, strict=False):
            self.world.do(c.PutAgent(agent_id=agent_id, skills=skills))
            self.world.do(c.SetAgentState(agent_id=agent_id, state=AgentState.READY))

    def _do(self, command: c.Command) -> None:
        self.world.do(command)

    def _contact(self, position: int) -> str:
        """Return the id of a live contact, sometimes of an ended or an unknown one."""
        contacts = list(self.world.reference.contacts.values())
        live = [one.contact_id for one in contacts if not one.state.is_terminal]
        known = [*live, *(one.contact_id for one in contacts[-2:]), "nothing"]
        return known[position % len(known)]

    def _offer(self, position: int) -> tuple[str, str]:
        """Return a pending offer and its agent, sometimes an ended or an unknown one."""
        reference = self.world.reference
        some_offers = [*reference.pending_offers(), *list(reference.offers.values())[-2:]]
        known = [*((one.offer_id, one.agent_id) for one in some_offers), ("nothing.1", "ada")]
        return known[position % len(known)]

    def _work(self, position: int) -> tuple[str, str]:
        reference = self.world.reference
        assignments = [*reference.open_assignments(), *list(reference.assignments.values())[-1:]]
        known = [*((one.assignment_id, one.agent_id) for one in assignments), ("nothing.1", "ada")]
        return known[position % len(known)]

    # --- time ---------------------------------------------------------------------------------------------------------
    @rule(pause_ms=st.sampled_from(some.PAUSES_MS))
    def time_passes(self, pause_ms: int) -> None:
        """Let each timer fire at its own time."""
        self.world.later(pause_ms / 1000)

    @rule(pause_ms=st.sampled_from(some.PAUSES_MS))
    def time_jumps(self, pause_ms: int) -> None:
        """Skip time, as after a frozen process: everything due fires at once."""
        self.world.jump(pause_ms / 1000)
        self._do(c.AdvanceTime())

    @rule(early_ms=st.sampled_from((0, 0, 1, -1)))
    def the_next_timer_comes(self, early_ms: int) -> None:
        """Advance to the next timer, or one millisecond beside it, without informing the engine."""
        due_ms = self.world.engine.next_deadline_ms()
        if due_ms is not None:
            self.world.jump(max(0, due_ms - early_ms - self.world.at_ms) / 1000)

    # --- gateways and customers ---------------------------------------------------------------------------------------
    @rule(
        channel=channel_ids,
        queue_id=some.maybe(queue_ids),
        skills=some.skills,
        attributes=some.attributes("level"),
        priority_s=some.priorities,
        priority_class=some.classes,
        ttl_s=st.sampled_from((None, None, None, 25)),
        key=some.maybe(st.sampled_from((b"k1", b"k2"))),
        fingerprint=st.sampled_from((b"f1", b"f2")),
        again=st.sampled_from((False, False, False, False, True)),
    )
    def a_contact_comes(self, *, again: bool, key: bytes | None, fingerprint: bytes, **asked: Any) -> None:
        """Submit a contact: new, or (``again``) with an id in use; with or without an idempotency key."""
        self.count += 0 if again and self.count else 1
        contact_id = f"c{self.count}"
        if key is not None:
            asked |= {"dedupe_key": key, "fingerprint": fingerprint}
        self._do(c.EnqueueContact(contact_id=contact_id, **asked))

    @rule(
        channel=channel_ids,
        queue_id=some.maybe(queue_ids),
        skills=some.skills,
        priority_s=some.priorities,
        ttl_s=st.sampled_from((None, None, 25)),
        ask=st.sampled_from((True, True, True, False)),
    )
    def a_customer_asks_for_an_agent(self, *, ask: bool, **asked: Any) -> None:
        """Let a customer choose among options, or take the channel asked for at once."""
        self.count += 1
        contact = c.EnqueueContact(contact_id=f"c{self.count}", **asked)
        self._do(c.RequestContact(contact=contact, token_hash=contact.contact_id.encode(), ask=ask))

    @rule(
        channel=channel_ids,
        queue_id=some.maybe(queue_ids),
        customer_id=st.sampled_from(("c_ann", "c_ann", "c_bob")),
        resume=st.sampled_from(ResumeMode),
        is_request=st.booleans(),
        is_suspended=st.booleans(),
    )
    def a_known_customer_comes(self, *, resume: ResumeMode, is_request: bool, is_suspended: bool, **asked: Any) -> None:
        """Submit a contact of a customer who may have suspended conversations; suspend it, so that the next one finds it."""
        self.count += 1
        contact = c.EnqueueContact(contact_id=f"c{self.count}", **asked)
        if is_request:
            self._do(c.RequestContact(contact=contact, token_hash=contact.contact_id.encode(), resume=resume))
        else:
            self._do(c.SubmitOrResume(contact=contact, resume=resume, customer_ids=("c_ann",)))
        if is_suspended:
            self._do(c.SuspendContact(contact_id=contact.contact_id))

    @rule(position=positions, option=st.sampled_from(("now", "now", "chat", "callback", "smoke", "resume-1", "resume-2")))
    def a_customer_chooses(self, position: int, option: str) -> None:
        """Choose an option, sometimes one that was not shown."""
        choosing = [*self.world.reference.choosing, "nothing"]
        self._do(c.ChooseOption(contact_id=choosing[position % len(choosing)], option=option))

    @rule(position=positions, how=st.sampled_from((c.CancelContact, c.AbandonContact, c.UpdateContact, c.ChangeCustomerToken)))
    def a_choice_is_disturbed(self, position: int, how: Any) -> None:
        """End a contact whose customer is choosing, change it, or revoke the token."""
        choosing = [*self.world.reference.choosing, "nothing"]
        self._do(how(contact_id=choosing[position % len(choosing)], **({"priority_s": 30} if how is c.UpdateContact else {})))

    @rule(queue_id=queue_ids, is_open=some.maybe(st.booleans()), duration_s=st.sampled_from((None, None, 10)))
    def a_supervisor_opens_or_closes(self, queue_id: str, is_open: bool | None, duration_s: int | None) -> None:
        """Open or close a queue, or return it to its calendar."""
        self._do(c.SetQueueOpen(queue_id=queue_id, is_open=is_open, duration_s=duration_s))

    @rule(
        position=positions,
        priority_s=some.maybe(some.priorities),
        priority_class=some.maybe(some.classes),
        skills=some.maybe(some.skills),
    )
    def a_contact_is_changed(self, position: int, **asked: Any) -> None:
        """Change priority, class or requirement of a live contact."""
        changes = {name: value for name, value in asked.items() if value is not None}
        self._do(c.UpdateContact(contact_id=self._contact(position), **changes))

    @rule(position=positions, how=st.sampled_from((c.CancelContact, c.AbandonContact)))
    def a_customer_leaves(self, position: int, how: type[c.CancelContact] | type[c.AbandonContact]) -> None:
        """End a contact before or after it was answered."""
        self._do(how(contact_id=self._contact(position)))

    @rule(
        position=positions,
        mode=some.maybe(st.sampled_from(CallbackMode)),
        channel=some.maybe(st.sampled_from(some.CHANNELS)),
        ahead_ms=some.maybe(st.sampled_from((0, 1, 5_000, 30_000))),
        new=st.sampled_from((False, False, True)),
    )
    def a_customer_wants_to_be_called_back(
        self, position: int, mode: CallbackMode | None, channel: str | None, ahead_ms: int | None, new: bool
    ) -> None:
        """Request a callback for a waiting or a new contact, now or at an agreed time."""
        at_ms = None if ahead_ms is None else self.world.at_ms + ahead_ms
        terms = CallbackFields(mode=mode, channel=channel, at_ms=at_ms)
        if new:
            self.count += 1
            self._do(
                c.EnqueueContact(contact_id=f"c{self.count}", channel="voice", queue_id=some.QUEUES[position % 2], callback=terms)
            )
        else:
            self._do(c.RequestCallback(contact_id=self._contact(position), callback=terms))

    @rule(position=positions, ahead_ms=st.sampled_from((None, 0, 1, 20_000)), at_expiry=some.maybe(st.sampled_from(SuspensionEnd)))
    def a_contact_is_suspended(self, position: int, ahead_ms: int | None, at_expiry: SuspensionEnd | None) -> None:
        """Suspend a contact, live or not, for as long as the policy says or for a short time."""
        until_ms = None if ahead_ms is None else self.world.at_ms + ahead_ms
        self._do(c.SuspendContact(contact_id=self._contact(position), resume_by_ms=until_ms, at_expiry=at_expiry))

    @rule(position=positions, channel=st.sampled_from((*some.CHANNELS, "smoke")), if_unable=st.sampled_from(IfUnable))
    def a_contact_switches_its_channel(self, position: int, channel: str, if_unable: IfUnable) -> None:
        """Switch a contact to a channel, its own included."""
        self._do(c.SwitchChannel(contact_id=self._contact(position), channel=channel, if_unable=if_unable))

    @rule(position=positions, outcome=st.sampled_from((ChannelOutcome.CONNECTED, *ChannelOutcome)))
    def a_switch_has_an_outcome(self, position: int, outcome: ChannelOutcome) -> None:
        """Report the outcome of a switch in progress, or of none."""
        switching = [o.contact_id for o in self.world.reference.contacts.values() if o.switches_to is not None]
        known = [*switching, self._contact(position)]
        self._do(c.ReportChannel(contact_id=known[position % len(known)], outcome=outcome))

    @rule(position=positions, mode=st.sampled_from(MonitorMode), ahead_ms=st.sampled_from((None, 1, 20_000)), sue=st.booleans())
    def a_supervisor_joins(self, position: int, mode: MonitorMode, ahead_ms: int | None, sue: bool) -> None:
        """Join a conversation, or a contact that no agent has, for some time; sometimes by a supervisor of one team."""
        until_ms = None if ahead_ms is None else self.world.at_ms + ahead_ms
        assigned = [o.contact_id for o in self.world.reference.contacts.values() if o.state is ContactState.ASSIGNED]
        known = [*assigned, self._contact(position)]
        self._do(
            c.MonitorContact(
                contact_id=known[position % len(known)],
                supervisor_id="sue" if sue else "tom",
                mode=mode,
                until_ms=until_ms,
                scope=None if sue else SupervisorScope(queues=some.QUEUES[:2]),
            )
        )

    @rule(position=positions, mode=st.sampled_from(MonitorMode), outcome=st.sampled_from((MonitorOutcome.JOINED, *MonitorOutcome)))
    def a_supervisor_is_connected(self, position: int, mode: MonitorMode, outcome: MonitorOutcome) -> None:
        """Report about a supervisor who is to join, or about another one."""
        asked = list(self.world.reference.monitors)
        contact_id, name = asked[position % len(asked)] if asked else (self._contact(position), "sue")
        wanted = self.world.reference.monitors[contact_id, name][1] if asked else None
        self._do(c.ReportMonitor(contact_id=contact_id, supervisor_id=name, mode=wanted or mode, outcome=outcome))

    @rule(position=positions, name=st.sampled_from(("sue", "tom")))
    def a_supervisor_leaves(self, position: int, name: str) -> None:
        """Leave a conversation, joined or not."""
        self._do(c.StopMonitoring(contact_id=self._contact(position), supervisor_id=name))

    @rule(position=positions, channel=some.maybe(st.sampled_from((*some.CHANNELS, "smoke"))))
    def a_contact_is_resumed(self, position: int, channel: str | None) -> None:
        """Resume a suspended contact, or one that is not."""
        resting = [o.contact_id for o in self.world.reference.contacts.values() if o.state is ContactState.SUSPENDED]
        known = [*resting, self._contact(position)]
        self._do(c.ResumeContact(contact_id=known[position % len(known)], channel=channel))

    @rule(
        position=positions,
        outcome=st.sampled_from((CallbackOutcome.CONNECTED, *CallbackOutcome)),
        attempt=st.sampled_from((None, None, 1, 2)),
    )
    def a_call_has_an_outcome(self, position: int, outcome: CallbackOutcome, attempt: int | None) -> None:
        """Report the result of the current attempt, or of none."""
        called = [
            one.contact_id
            for one in self.world.reference.contacts.values()
            if one.callback is not None and one.callback.dialling and not one.state.is_terminal
        ]
        known = [*called, self._contact(position)]
        self._do(c.ReportCallback(contact_id=known[position % len(known)], outcome=outcome, attempt=attempt))

    # --- agents -------------------------------------------------------------------------------------------------------
    @rule(position=positions, other_agent=st.sampled_from((False, False, False, True)))
    def an_offer_is_accepted(self, position: int, other_agent: bool) -> None:
        """Accept an offer: in time, too late, twice, or as another agent."""
        offer_id, agent_id = self._offer(position)
        self._do(c.AcceptOffer(offer_id=offer_id, agent_id="bob" if other_agent else agent_id))

    @rule(position=positions)
    def an_offer_is_declined(self, position: int) -> None:
        """Decline an offer, in time or too late."""
        offer_id, agent_id = self._offer(position)
        self._do(c.DeclineOffer(offer_id=offer_id, agent_id=agent_id))

    @rule(position=positions, what=st.sampled_from(("hold", "resume", "park", "unpark", "back", "extend", "complete", "finish")))
    def an_agent_works(self, position: int, what: str) -> None:
        """Hold, resume, park, extend wrap-up or complete; ``back``: the customer writes again."""
        assignment_id, agent_id = self._work(position)
        commands: dict[str, c.Command] = {
            "hold": c.HoldAssignment(assignment_id=assignment_id, agent_id=agent_id),
            "resume": c.ResumeAssignment(assignment_id=assignment_id, agent_id=agent_id),
            "park": c.ParkAssignment(assignment_id=assignment_id, agent_id=agent_id),
            "unpark": c.UnparkAssignment(assignment_id=assignment_id, agent_id=agent_id),
            "back": c.UnparkContact(contact_id=assignment_id.rpartition(".")[0]),
            "extend": c.ExtendWrapUp(assignment_id=assignment_id, agent_id=agent_id, extend_s=6),
            "complete": c.CompleteAssignment(assignment_id=assignment_id, agent_id=agent_id),
            "finish": c.CompleteAssignment(assignment_id=assignment_id),
        }
        self._do(commands[what])

    @rule(agent_id=agent_ids, paused=st.sets(st.sampled_from((*some.CHANNELS, "smoke"))))
    def an_agent_pauses_channels(self, agent_id: str, paused: set[str]) -> None:
        """Pause some channels, none, all, or an unknown one."""
        self._do(c.SetAgentChannels(agent_id=agent_id, paused=tuple(sorted(paused))))

    @rule(position=positions, by_owner=st.booleans())
    def a_conversation_ends(self, position: int, by_owner: bool) -> None:
        """End a conversation, as owner or supervisor."""
        assignment_id, agent_id = self._work(position)
        contact_id = assignment_id.rpartition(".")[0]
        self._do(c.EndContact(contact_id=contact_id, agent_id=agent_id if by_owner else None))

    @rule(position=positions, queue_id=some.maybe(queue_ids), agent_id=agent_ids)
    def a_contact_is_transferred(self, position: int, queue_id: str | None, agent_id: str) -> None:
        """Transfer a contact to a queue or an agent."""
        to_agent_id = agent_id if queue_id is None else None
        self._do(c.TransferContact(contact_id=self._contact(position), to_queue_id=queue_id, to_agent_id=to_agent_id))

    @rule(
        position=positions,
        what=st.sampled_from(("consult", "ask", "complete", "cancel", "join", "hand", "add")),
        agent_id=agent_ids,
        queue_id=queue_ids,
        by_owner=st.booleans(),
    )
    def a_conversation_grows_or_passes_on(self, position: int, what: str, agent_id: str, queue_id: str, by_owner: bool) -> None:
        """Consult an agent or a queue, or continue a consult."""
        assignment_id, owner = self._work(position)
        contact_id = assignment_id.rpartition(".")[0]
        by = owner if by_owner else None
        commands: dict[str, c.Command] = {
            "consult": c.StartConsult(contact_id=contact_id, to_agent_id=agent_id, agent_id=by),
            "ask": c.StartConsult(contact_id=contact_id, to_queue_id=queue_id, agent_id=by),
            "complete": c.CompleteConsult(contact_id=contact_id, agent_id=by),
            "cancel": c.CancelConsult(contact_id=contact_id, agent_id=by),
            "join": c.JoinConsult(contact_id=contact_id, agent_id=by),
            "hand": c.HandOverContact(contact_id=contact_id, to_agent_id=agent_id, agent_id=by),
            "add": c.AddParticipant(contact_id=contact_id, agent_id=agent_id),
        }
        self._do(commands[what])

    @rule(position=positions, other_agent=st.sampled_from((False, False, False, True)))
    def a_participant_leaves_a_conversation(self, position: int, other_agent: bool) -> None:
        """Remove a participant, the owner, or an agent that does not take part."""
        assignment_id, agent_id = self._work(position)
        self._do(c.LeaveContact(contact_id=assignment_id.rpartition(".")[0], agent_id="bob" if other_agent else agent_id))

    @rule(agent_id=agent_ids, state=st.sampled_from((AgentState.READY, AgentState.READY, *AgentState)), after_work=st.booleans())
    def an_agent_changes_state(self, agent_id: str, state: AgentState, after_work: bool) -> None:
        """Change an agent's state, now or after the current work."""
        self._do(c.SetAgentState(agent_id=agent_id, state=state, after_work=after_work))

    @rule(
        agent_id=st.sampled_from(some.AGENTS),
        skills=some.skills,
        queues=some.maybe(st.lists(st.sampled_from(some.QUEUES), max_size=2, unique=True)),
        units=st.sampled_from((None, None, 0, 60, 200)),
        attributes=st.builds(dict, some.agent_facts).flatmap(some.with_desk),
        channel_max=st.dictionaries(st.sampled_from(some.CHANNELS), st.integers(0, 2), max_size=1),
        queue_ranks=some.queue_ranks,
        team=st.sampled_from((None, None, "blue", "red")),
    )
    def an_agent_is_put(self, agent_id: str, queues: list[str] | None, **record: Any) -> None:
        """Register an agent or change its record."""
        named = None if queues is None else tuple(queues)
        self._do(c.PutAgent(agent_id=agent_id, queues=named, **record))

    @rule(
        agent_id=agent_ids,
        skills=st.dictionaries(st.sampled_from(("english", "german")), some.maybe(st.integers(1, 10)), max_size=2),
        team=st.sampled_from((UNSET, None, "blue", "red")),
        labels=st.sampled_from((UNSET, None, ("late",), ("trainee", "late", "late"))),
    )
    def an_agent_is_changed(self, agent_id: str, **changes: Any) -> None:
        """Change some of an agent's record."""
        self._do(c.UpdateAgent(agent_id=agent_id, **changes))

    @rule(agent_id=agent_ids)
    def an_agent_is_removed(self, agent_id: str) -> None:
        """Remove an agent, which succeeds without open work only."""
        self._do(c.RemoveAgent(agent_id=agent_id))

    @rule(agent_id=agent_ids, session_id=st.sampled_from(("s1", "s2")), lost=st.booleans())
    def a_desktop_comes_or_goes(self, agent_id: str, session_id: str, lost: bool) -> None:
        """Connect or lose the desktop, with the present session or an older one."""
        command = c.LoseDesktop if lost else c.ConnectDesktop
        self._do(command(agent_id=agent_id, session_id=session_id))

    # --- supervisors --------------------------------------------------------------------------------------------------
    @rule(position=positions, what=st.sampled_from(("requeue", "assign", "end")), agent_id=agent_ids)
    def a_supervisor_steps_in(self, position: int, what: str, agent_id: str) -> None:
        """Assign, requeue or end a contact, from any state."""
        contact_id = self._contact(position)
        commands: dict[str, c.Command] = {
            "requeue": c.RequeueContact(contact_id=contact_id),
            "assign": c.AssignContact(contact_id=contact_id, agent_id=agent_id),
            "end": c.EndContact(contact_id=contact_id, reason="supervisor"),
        }
        self._do(commands[what])

    @rule(position=positions, queue_id=queue_ids)
    def a_supervisor_moves_a_contact(self, position: int, queue_id: str) -> None:
        """Move a contact to another queue."""
        self._do(c.RequeueContact(contact_id=self._contact(position), queue_id=queue_id))

    @rule(policy=some.policies(), drain=st.booleans(), expected=st.sampled_from(("none", "present", "old")))
    def the_policy_changes(self, policy: Any, drain: bool, expected: str) -> None:
        """Publish another policy: queues are added and removed while they have contacts."""
        version = self.world.engine.policy_version
        self._do(
            c.PublishPolicy(
                policy=policy,
                drain_to={"vip": "support"} if drain else {},
                expected_version={"none": None, "present": version, "old": version - 1}[expected],
            )
        )

    # --- process ------------------------------------------------------------------------------------------------------
    @rule()
    def another_process_takes_over(self) -> None:
        """Continue with an engine that has replayed the journal; it is checked like the original (I30)."""
        self.world.engine = self.world.replayed()

    @rule()
    def the_process_restarts_from_a_snapshot(self) -> None:
        """Continue with an engine restored from a snapshot and the records after it (I30)."""
        engine = self.world.engine
        if self.snapshot is not None:
            self.world.engine = self.world.replayed(*self.snapshot)
            assert self.world.engine.digest() == engine.digest(), "I30: snapshot + tail"
        self.snapshot = (self.world.engine.snapshot(), self.world.engine.seq)

    @invariant()
    def a_replay_gives_the_same_state(self) -> None:
        """Compare the digests of a full replay and of a restored snapshot (I30)."""
        digest = self.world.engine.digest()
        assert self.world.replayed().digest() == digest, "I30: replay"
        assert Engine.restore(self.world.engine.snapshot()).digest() == digest, "I30: restore"

    @invariant()
    def the_views_agree_with_the_log(self) -> None:
        """Compare counters, positions, capacity and the answers of ``why`` with the reference model (I41)."""
        compare_views(self.world)

    def teardown(self) -> None:
        """Advance a minute without commands, so that the remaining timers fire and are checked."""
        self.world.later(60)


TestCentre = pytest.mark.slow(pytest.mark.timeout(1_800)(ContactCentre.TestCase))
