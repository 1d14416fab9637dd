"""The routing engine of one workspace: the single entry point of the core.

Theory of operation
-------------------
An ``Engine`` owns one ``RoutingState`` and changes it in exactly two ways. ``handle`` carries out a command at a time that
the caller supplies: it fires the timers that are due, decides the command (``commands``), applies every resulting event to
the state at once (``events``) and then matches waiting contacts with free agents (``match_all``) until no pair is left.
``replay`` applies the events of one journaled record without deciding anything. Both lead to the same state, because the
event handlers are the only code that changes it.

Everything else is a query and leaves the state as it is. The engine is synchronous and not thread-safe: one writer task
calls it. Time never runs backwards (asserted), and the engine reads no clock, so the same commands at the same times
produce the same events, byte for byte.

The cost of ``handle`` depends on what the command changes, not on the number of waiting contacts. Queries that may be long are
generators (``Slices``), which do a bounded amount of work in each turn. Only ``digest``, ``snapshot`` and ``check_invariants``
walk the whole state at once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from router.engine.commands import COMMAND_HANDLERS
from router.engine.commands.channel_switch import serve_waiting_switches
from router.engine.commands.goals import count_goals, goal_view
from router.engine.commands.guarded import agent_tag, contact_tag, queue_tag
from router.engine.commands.monitoring import end_monitors
from router.engine.commands.offers import match_all
from router.engine.commands.policies import contacts_of_removed_queues, publication_refusal, refusal_after_removal
from router.engine.commands.policy_schedule import schedule_refusal
from router.engine.commands.queue_facts import QUEUE_FACT_READERS, queue_fact_cost
from router.engine.commands.timers import fire_timer
from router.engine.commands.transaction import ObservedTransaction, Transaction, may_see
from router.engine.diagnosis.doctor import diagnose
from router.engine.diagnosis.invariants import broken_invariants
from router.engine.events import apply
from router.engine.index.directory import ContactFilter
from router.engine.queries import slices, views, why
from router.engine.queries.agent_lists import EVERY_AGENT, AgentOrder, AgentPage, OrderPosition, agent_list
from router.engine.queries.availability import check_availability, estimate_wait_of_new_contact
from router.engine.queries.matching_objects import MatchingObjects, matching_objects
from router.engine.queries.requests import TokenHolder, request_view, request_views, token_holder
from router.engine.queries.slices import ContactPage, Slices, Views, run_to_end
from router.engine.queries.waiting_list import WaitingPage, waiting_page
from router.engine.routing_state import RoutingState
from router.engine.snapshots.full import decisive_part, dump, load
from router.engine.snapshots.incremental import IncrementalSnapshot
from router.engine.state.alerts import AlertState
from router.engine.state.wait_statistics import PendingForecast
from router.engine.state.workspace import agents_offered, conversation_roles
from router.model.commands import AdvanceTime, Command
from router.model.diagnosis import Diagnosis
from router.model.events import ContactGoal, Event
from router.model.filters import AgentFilter, ObjectFilter
from router.model.forecasts import ExpectedWait, QueueWaits
from router.model.policy import FactValue, Policy
from router.model.policy_versions import PublishedPolicy, ScheduledPolicy, WorkspaceCreation
from router.model.request_views import RequestView
from router.model.results import CommandResult, Outcome, Refused
from router.model.states import AgentState, ContactId, ContactState, Presence
from router.model.views import AgentView, AgentWhy, AvailabilityView, ContactView, ContactWhy, QueueView, RulesView, WorkspaceView
from router.policy.entry_rules import EntryRuleTrial, SampleContact, try_entry_rules

# Upper bound on the timers that one AdvanceTime fires, so that thousands of simultaneous deadlines do not delay other commands.
_TIMERS_PER_ADVANCE_MAX: Final = 64
# Contacts that may wait to be listed, and that are listed at once: some tenths of a millisecond.
_UNLISTED_MAX: Final = 256


def digest_of(parts: Iterable[bytes]) -> str:
    """Return the hex digest of a serialised state, given its parts in order."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


class Engine:
    """Route the contacts of one workspace: deterministic, synchronous, single-threaded."""

    def __init__(self, state: RoutingState | None = None) -> None:
        if state is None:
            state = RoutingState()
        self._state = state
        # Reused for every command: a transaction holds nothing but what ``handle`` sets.
        self._transaction = Transaction(state, state.at_ms)
        self._observed_transaction = ObservedTransaction(state, state.at_ms)

    # --- changing the state ------------------------------------------------------
    def handle(self, command: Command, at_ms: int) -> Outcome:
        """Carry out one command at a time; fire due timers before it and match all possible pairs after it.

        ``at_ms`` is the time in milliseconds and must not be less than in the previous call (asserted). A refused command
        produces no event, but the returned outcome may hold the events of timers that were due.
        """
        state = self._state
        assert at_ms >= state.at_ms, "time must not decrease"
        first_seq = state.seq + 1
        tx = self._observed_transaction if state.observers else self._transaction
        state.at_ms = tx.at_ms = at_ms
        events: list[Event] = []
        tx.events = events
        index, heap = state.index, state.timers.heap
        kind = type(command)
        limit = _TIMERS_PER_ADVANCE_MAX if kind is AdvanceTime else -1
        # Loops, because matching may set a deadline that has passed: a contact whose reservation ends may have to leave at once.
        while limit and heap and heap[0][0] <= at_ms:
            limit = _fire_due_timers(tx, limit)
            _match(tx)
        answer: CommandResult | None = None if state.created is None else refusal_after_removal(state, command)
        if answer is None:
            answer = COMMAND_HANDLERS[kind](tx, command)
        # A command may re-add a deadline that has already passed: it fires before matching.
        if heap and heap[0][0] <= at_ms:
            limit = _fire_due_timers(tx, limit)
        if index.agents.freed or index.contacts.to_match or index.agents.unavailable or index.contacts.switches_changed:
            _match(tx)
            while limit and heap and heap[0][0] <= at_ms:
                limit = _fire_due_timers(tx, limit)
                _match(tx)
        if state.goals.over:
            count_goals(tx)
        if index.monitors.to_check:
            end_monitors(tx)
        if events:
            state.event_at_ms = at_ms
        return Outcome(answer, first_seq, at_ms, events)

    def next_deadline_ms(self) -> int | None:
        """Return when ``AdvanceTime`` is due next, in milliseconds; None if no timer is pending."""
        return self._state.timers.next_deadline_ms()

    def replay(self, events: Sequence[Event], first_seq: int, at_ms: int) -> None:
        """Apply the events of one journaled record; the state afterwards equals the state when it was decided.

        ``first_seq`` must continue the sequence and ``at_ms`` must not decrease (both asserted).
        """
        state = self._state
        assert first_seq == state.seq + 1, f"record {first_seq} does not follow {state.seq}"
        assert at_ms >= state.at_ms, "time must not decrease"
        state.at_ms = at_ms
        for observer in tuple(state.observers):
            observer.cancel()
        for agent_id in state.timers.pop_opened_caps(at_ms):
            state.index.agents.refresh_open_channels(state.agents[agent_id])
        for event in events:
            apply(state, event)
        # The record already contains the matches that these work lists would lead to.
        state.index.discard_matching_work()

    # --- the state as a whole ------------------------------------------------------
    @property
    def seq(self) -> int:
        """The sequence number of the last event; 0 before the first one."""
        return self._state.seq

    @property
    def at_ms(self) -> int:
        """The time of the last command or replayed record, in milliseconds."""
        return self._state.at_ms

    @property
    def record_count(self) -> int:
        """The number of contacts and agents on record, to which the cost of a snapshot is proportional."""
        return len(self._state.contacts) + len(self._state.agents)

    def snapshot(self) -> bytes:
        """Return the state as bytes; equal states give equal bytes."""
        return dump(self._state)

    def incremental_snapshot(self) -> IncrementalSnapshot:
        """Begin a snapshot of the present state that is built in pieces between commands. One at a time (asserted)."""
        return IncrementalSnapshot(self._state)

    @classmethod
    def restore(cls, data: bytes) -> "Engine":
        """Return an engine with exactly the state of a snapshot."""
        return cls(load(data))

    def digest(self) -> str:
        """Return a hash of the state; equal for live, replayed and restored engines at the same ``seq``."""
        return digest_of((decisive_part(self._state),))

    def check_invariants(self) -> list[str]:
        """Return the broken invariants as sentences; empty if there are none.

        Checks every record and recomputes every index: for tests, the simulator and ``router verify``.
        """
        return broken_invariants(self._state)

    # --- queries: none of these changes the state -------------------------------------------------------------------
    @property
    def policy(self) -> Policy | None:
        """The active policy; None before the first publication."""
        return self._state.policy

    @property
    def policy_version(self) -> int:
        """The version of the active policy: 1, 2, 3…; 0 before the first publication."""
        return self._state.policy_version

    def policy_versions(self) -> list[PublishedPolicy]:
        """Return the published versions of the policy that are kept, oldest first; at most ``VERSIONS_MAX``."""
        return self._state.policy_history.entries()

    def policy_version_record(self, version: int) -> PublishedPolicy | None:
        """Return one published version; None: it is not kept, or there is none with that number."""
        return self._state.policy_history.get(version)

    @property
    def live_contact_count(self) -> int:
        """The number of contacts that are not over."""
        counts = self._state.counts
        return sum(count for name, count in counts.items() if not name.is_terminal)

    @property
    def alerts(self) -> Mapping[str, AlertState]:
        """The alerts that are raised or quiet, by alert and subject."""
        return self._state.alerts

    def alert_figures(self, queue_ids: Iterable[str], now_ms: int) -> Slices[list[QueueView]]:
        """Return the present state of queues, each as of the turn that built it; unknown ones are left out."""
        return slices.some_queues(self._state, queue_ids, now_ms)

    @property
    def ready_count(self) -> int:
        """The number of agents who are ready."""
        return self._state.agents_by_state[AgentState.READY]

    @property
    def created(self) -> WorkspaceCreation | None:
        """How the workspace was created over the API; None: the settings name it, or it was removed."""
        return None if self.is_removed else self._state.created

    @property
    def is_removed(self) -> bool:
        """Whether the workspace was removed over the API: its history stays, and its name is not used again."""
        created = self._state.created
        return created is not None and created.removed_at_ms is not None

    @property
    def scheduled_policy(self) -> ScheduledPolicy | None:
        """The policy that will be published at a time, or was refused then; None if there is none."""
        return self._state.scheduled_policy

    def schedule_refusal(self, scheduled: ScheduledPolicy) -> Refused | None:
        """Return why a scheduled policy could not be published now; None: it could."""
        return schedule_refusal(self._state, scheduled)

    def publication_refusal(self, policy: Policy, drain_to: Mapping[str, str]) -> Refused | None:
        """Return why contacts do not allow a valid policy to become active now; None: it may."""
        return publication_refusal(self._state, policy, drain_to)

    def contacts_of_removed_queues(self, policy: Policy) -> dict[str, int]:
        """Return the live contacts of the queues that a policy would remove; without the queues that have none."""
        return contacts_of_removed_queues(self._state, policy)

    @property
    def shadow_policy(self) -> Policy | None:
        """The shadow policy, which is evaluated in parallel and decides nothing; None if none is set."""
        return self._state.shadow_policy

    @property
    def shadow_seq(self) -> int:
        """The sequence number of the event that set the shadow policy; 0 if none is set."""
        return self._state.shadow_seq

    def contact(self, contact_id: str) -> ContactView | None:
        """Return one contact, live or ended within retention."""
        contact = self._state.contacts.get(contact_id)
        return None if contact is None else views.contact_detail_view(self._state, contact)

    def may_see_contact(self, contact_id: str, *, agent_id: str | None = None, gateway_id: str | None = None) -> bool:
        """Return whether the contact exists and an agent or a gateway may know of it; with neither, a supervisor may."""
        contact = self._state.contacts.get(contact_id)
        return contact is not None and may_see(self._state, contact, agent_id=agent_id, gateway_id=gateway_id)

    def token_holder(self, token_hash: bytes) -> TokenHolder | None:
        """Return the contact whose customer has the token with this hash; None if there is none."""
        return token_holder(self._state, token_hash)

    def request(self, contact_id: str) -> RequestView | None:
        """Return a request as its customer may see it; None for an unknown contact, and one submitted without a request."""
        return request_view(self._state, contact_id)

    def requests(self, contact_ids: Sequence[str]) -> Slices[dict[str, RequestView]]:
        """Return several requests as their customers may see them."""
        return request_views(self._state, contact_ids)

    def goal(self, contact_id: str, *, agent_id: str | None = None, gateway_id: str | None = None) -> ContactGoal | None:
        """Return the goal of a contact, which is kept longer than the contact; None: it has none, or not one for this client."""
        return goal_view(self._state, contact_id, agent_id=agent_id, gateway_id=gateway_id)

    def goals_of(self, contact_ids: Iterable[str]) -> dict[str, ContactGoal]:
        """Return the goals of contacts, without those that have none or whose goal is not kept any more."""
        found = ((contact_id, self._state.goals.get(contact_id)) for contact_id in contact_ids)
        return {contact_id: goal for contact_id, goal in found if goal is not None}

    def contact_tag(self, contact_id: str) -> str | None:
        """Return the entity tag of a contact, which changes only with what clients can write; None if it is unknown."""
        contact = self._state.contacts.get(contact_id)
        return None if contact is None else contact_tag(contact)

    def agent_tag(self, agent_id: str) -> str | None:
        """Return the entity tag of an agent's record and paused channels; None if the agent is unknown."""
        agent = self._state.agents.get(agent_id)
        return None if agent is None else agent_tag(agent)

    def queue_tag(self, queue_id: str) -> str:
        """Return the entity tag of a queue: of what a supervisor has set, not of its calendar and contacts."""
        return queue_tag(self._state, queue_id)

    def contacts(self, *, state: ContactState | None = None, queue_id: str | None = None, limit: int = 100) -> list[ContactView]:
        """Return the first ``limit`` contacts in order of arrival; in one turn, so for tests and tools."""
        found: list[ContactView] = []
        position: int | None = 0
        while position is not None and len(found) < limit:
            page = self.contact_page(state=state, queue_id=queue_id, after_seq=position, limit=limit - len(found))
            views, position = run_to_end(page)
            found += views
        return found

    def contact_page(
        self,
        *,
        owner: str | None = None,
        queue_id: str | None = None,
        state: ContactState | None = None,
        after_seq: int = 0,
        limit: int = 100,
    ) -> Slices[ContactPage]:
        """Return up to ``limit`` contacts after a position, in order of arrival; a page may be short and still have a next one."""
        return slices.contact_page(self._state, ContactFilter(owner, queue_id, state), after_seq, limit)

    def list_new_contacts(self) -> None:
        """Keep the lists near the state, so that the next query has little to add; quick if little has changed."""
        directory = self._state.index.directory
        if len(self._state.contacts) - directory.listed > _UNLISTED_MAX:
            directory.catch_up(_UNLISTED_MAX)

    def list_all_contacts(self) -> None:
        """List every contact, after a start: the first query would have to find all of them at once."""
        while not self._state.index.directory.catch_up(_UNLISTED_MAX):
            pass

    def live_contacts(self, owner: str) -> Slices[Views[ContactView]]:
        """Return the live contacts of a gateway, as of the last turn."""
        return slices.live_contacts(self._state, owner)

    def customer_id_of(self, contact_id: str) -> str | None:
        """Return the customer of a contact; None: not known."""
        contact = self._state.contacts.get(contact_id)
        return None if contact is None else contact.customer_id

    def has_reference_since(self, contact_id: str, seq: int) -> bool:
        """Return whether a contact has had its reference since this event: it was neither resumed nor switched after it."""
        contact = self._state.contacts.get(contact_id)
        if contact is None:
            return False
        return max(contact.switched_seq, 0 if contact.suspension is None else contact.suspension.resumed_seq) <= seq

    def live_contacts_with_reference(self, reference: str) -> list[str]:
        """Return the ids of the contacts that are not over and have this reference; for the start, in one turn."""
        contacts = self._state.contacts.values()
        return [one.contact_id for one in contacts if one.reference == reference and not one.state.is_terminal]

    def live_switches(self) -> list[tuple[str, str, bool]]:
        """Return the contacts that are to switch to another channel (true) or have switched (false), with that channel."""
        found = []
        for one in self._state.contacts.values():
            if one.switch is not None:
                found.append((one.contact_id, one.switch.channel, True))
            elif one.switched_seq and not one.state.is_terminal:
                found.append((one.contact_id, one.channel, False))
        return found

    def customers_of_live_contacts(self) -> Slices[list[tuple[ContactId, str, ContactState]]]:
        """Return id, customer and state of the live contacts whose customer is known."""
        return slices.customers_of_live_contacts(self._state)

    def requests_with_token_of(self, customer_ids: Collection[str]) -> Slices[list[ContactId]]:
        """Return the contacts of customers whose request has a token, also those that have ended."""
        return slices.requests_with_token_of(self._state, customer_ids)

    def customer_of(self, contact_id: str) -> tuple[str | None, int]:
        """Return the customer of a contact, None where it is not known, and the number of its ``contact.queued``."""
        contact = self._state.contacts.get(contact_id)
        return (None, 0) if contact is None else (contact.customer_id, contact.queued_seq)

    def agents_of_contact(self, contact_id: str) -> tuple[str, ...]:
        """Return the agents who have a live contact or an offer of it, the owner first."""
        contact = self._state.contacts.get(contact_id)
        if contact is None or contact.state.is_terminal:
            return ()
        names = {} if contact.agent_id is None else conversation_roles(self._state, contact)
        return tuple(dict.fromkeys([*names, *agents_offered(self._state, contact)]))

    def contacts_of_agent(self, agent_id: str) -> tuple[str, ...]:
        """Return the contacts that an agent has, wrap-up included, or that are offered to them."""
        agent = self._state.agents.get(agent_id)
        if agent is None:
            return ()
        work = [one.contact_id for one in agent.assignments.values()] + [one.contact_id for one in agent.offers.values()]
        return tuple(dict.fromkeys(work))

    def agent(self, agent_id: str) -> AgentView | None:
        """Return one agent."""
        agent = self._state.agents.get(agent_id)
        return None if agent is None else views.agent_view(self._state, agent)

    def agents(self, *, after: str = "", limit: int = 100) -> list[AgentView]:
        """Return up to ``limit`` agents whose ids are greater than ``after``; in one turn, so for tests and tools."""
        return run_to_end(self.agent_page(after=(0, after), limit=limit)).agents

    def agent_page(
        self,
        wanted: AgentFilter = EVERY_AGENT,
        order: AgentOrder = AgentOrder.ID,
        *,
        after: OrderPosition | None = None,
        limit: int = 100,
    ) -> Slices[AgentPage]:
        """Return up to ``limit`` agents after a position who meet the filter; a page may be short and still have a next one."""
        return agent_list(self._state, wanted, order, after, limit)

    def matching_objects(self, wanted: ObjectFilter, *, limit: int) -> Slices[MatchingObjects]:
        """Return how many agents or live contacts meet a filter, and at most ``limit`` ids."""
        return matching_objects(self._state, wanted, limit)

    def all_agents(self) -> Slices[Views[AgentView]]:
        """Return all agents, as of the last turn."""
        return slices.all_agents(self._state)

    def attached_sessions(self) -> list[tuple[str, str]]:
        """Return the (agent id, session id) of every agent whose desktop is recorded as attached.

        After a restart no desktop is connected yet, so the caller reports these sessions as lost.
        """
        return [
            (agent.agent_id, agent.session_id or "") for agent in self._state.agents.values() if agent.presence is Presence.ATTACHED
        ]

    def connected_customers(self) -> list[str]:
        """Return the contacts whose customers' apps are recorded as connected; reported as lost after a restart, too."""
        contacts = self._state.contacts.values()
        return [one.contact_id for one in contacts if one.request is not None and one.request.is_here and not one.state.is_terminal]

    def connected_clients(self) -> Slices[slices.ConnectedClients]:
        """Return which desktops, and which apps of customers, are recorded as connected, each as of the turn that reads it."""
        return slices.connected_clients(self._state)

    def queue(self, queue_id: str, at_ms: int | None = None) -> QueueView | None:
        """Return one queue; ``at_ms``: the present time, if the newest event may be long ago."""
        policy = self._state.policy
        if policy is None or queue_id not in policy.queues:
            return None
        return views.queue_detail_view(self._state, queue_id, at_ms)

    def team_of(self, agent_id: str) -> str | None:
        """Return the team of an agent; None: they belong to none, or there is no such agent."""
        agent = self._state.agents.get(agent_id)
        return None if agent is None else agent.team

    def has_queue(self, queue_id: str) -> bool:
        """Return whether the active policy has the queue."""
        return self._state.policy is not None and queue_id in self._state.policy.queues

    def waiting_page(self, queue_id: str, *, after_rank: int = 0, limit: int = 100, at_ms: int = 0) -> Slices[WaitingPage]:
        """Return up to ``limit`` contacts that wait in a queue after a rank, in serving order; ``at_ms``: the present time."""
        return waiting_page(self._state, queue_id, after_rank, limit, at_ms)

    def waiting_count(self, queue_id: str) -> int:
        """Return how many contacts wait in a queue and are not offered."""
        return self._state.queue_counts(queue_id)[ContactState.QUEUED]

    def expected_wait(
        self,
        queue_id: str,
        *,
        channel: str | None = None,
        skills: dict[str, int] | None = None,
        priority_s: int = 0,
        priority_class: int = 0,
        at_ms: int = 0,
    ) -> ExpectedWait | Refused:
        """Estimate how long a contact that arrived now would wait.

        Without ``channel`` the queue's most common channel is used, and without ``skills`` its most common requirement class.
        ``at_ms`` is the present time where that is later than the last command. Refused like a submit: an unknown queue,
        channel or skill, or a value out of range.
        """
        return estimate_wait_of_new_contact(
            self._state, queue_id, channel, skills=skills or {}, priority_s=priority_s, priority_class=priority_class, at_ms=at_ms
        )

    def forecast(self, contact_id: str) -> PendingForecast | None:
        """Return the forecast made when the contact arrived; None if there was none or its wait is over."""
        return self._state.wait_statistics.pending_forecasts.get(contact_id)

    def queue_waits(self, now_ms: int) -> Slices[dict[str, QueueWaits]]:
        """Return by queue a copy of its forecast counts, the median wait expected of a new contact, and the longest wait."""
        return slices.queue_waits(self._state, now_ms)

    def availability(
        self, queue_id: str, channel: str | None = None, skills: dict[str, int] | None = None
    ) -> AvailabilityView | Refused:
        """Return what a contact with these skills would find in a queue now.

        Refused if the queue, the channel or a skill is unknown.
        """
        return check_availability(self._state, queue_id, channel, skills or {})

    def workspace(self) -> WorkspaceView:
        """Return the counts of the whole workspace; in one turn, so for tests and tools."""
        return run_to_end(self.workspace_in_slices())

    def workspace_in_slices(self) -> Slices[WorkspaceView]:
        """Return the counts of the whole workspace, as of the last turn, and every queue as of the turn that counted it."""
        return slices.workspace_view(self._state)

    def queues(self, at_ms: int | None = None) -> Slices[list[QueueView]]:
        """Return all queues in ascending order of id, each as of the turn that counted it; ``at_ms``: the present time."""
        return slices.queue_details(self._state, at_ms)

    def rules(self) -> RulesView:
        """Return the entry rules of the active policy with the number of contacts that each has classified."""
        return views.rules_view(self._state)

    def queue_fact(self, queue_id: str, channel: str, name: str) -> FactValue | None:
        """Return the value that a rule would read now for a fact of a declared queue; None if there is no value."""
        return QUEUE_FACT_READERS[name](self._state, queue_id, channel)

    def try_rules(self, sample: SampleContact) -> EntryRuleTrial:
        """Apply the entry rules of the active policy, which must exist, to a valid sample."""
        state, policy = self._state, self._state.policy
        assert policy is not None
        return try_entry_rules(
            policy,
            sample,
            lambda queue_id, name: self.queue_fact(queue_id, sample.channel, name),
            classifier=state.index.classifier,
            fact_cost=lambda queue_id, name: queue_fact_cost(state, queue_id, sample.channel, name),
        )

    def why(self, contact_id: str) -> ContactWhy | None:
        """Explain why a contact is in its present state; in one turn, so for tests and tools."""
        return run_to_end(self.why_in_slices(contact_id))

    def why_in_slices(self, contact_id: str) -> Slices[ContactWhy | None]:
        """Explain why a contact is in its present state, by the rules that route it; None if it is unknown."""
        return why.explain_contact(self._state, contact_id)

    def why_agent(self, contact_id: str, agent_id: str) -> AgentWhy | None:
        """Explain why an agent can or cannot take a contact; None if either is unknown."""
        contact = self._state.contacts.get(contact_id)
        agent = self._state.agents.get(agent_id)
        if contact is None or agent is None:
            return None
        return why.explain_agent(self._state, contact, agent)

    def diagnose(self, *, at_ms: int | None = None, thorough: bool = False) -> Diagnosis:
        """Report problems, in one turn, so for tests and tools; ``thorough`` also checks every invariant."""
        return run_to_end(diagnose(self._state, at_ms=at_ms, thorough=thorough))

    def diagnose_in_slices(self, *, at_ms: int | None = None) -> Slices[Diagnosis]:
        """Report problems: contacts that no agent can take, agents without work, policy entries without effect.

        Waits are measured up to ``at_ms``, by default the time of the last command.
        """
        return diagnose(self._state, at_ms=at_ms)


def _match(tx: Transaction) -> None:
    """Continue conversations that wait for another channel, then match waiting contacts and free agents."""
    index = tx.state.index
    if index.contacts.switching and (index.agents.freed or index.contacts.switches_changed):
        serve_waiting_switches(tx)
    match_all(tx)
    while index.contacts.switches_changed:
        # Matching has freed agents, by interrupting other work, or by ending offers.
        serve_waiting_switches(tx)
        match_all(tx)


def _fire_due_timers(tx: Transaction, limit: int) -> int:
    """Fire the timers that are due, at most ``limit`` of them, and return how many more may fire; a negative limit is none."""
    timers, at_ms = tx.state.timers, tx.at_ms
    while limit and (entry := timers.pop_due(at_ms)) is not None:
        fire_timer(tx, entry)
        limit -= 1
    return limit
