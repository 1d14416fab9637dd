"""State machine test: the local state of every connected client equals a fresh ``welcome``, after any sequence of operations.

A small contact centre is driven through the real writer, event feed and hub. Its clients are the library's, over the real session
of the protocol: four desktops, two gateways (one of them with two connections) and two supervisors. They lose their connections
at any moment and resume, reload or stay away. After each step the state of each client is compared with a fresh ``welcome``. The
mutants show what it is worth: a client that ignores one type of event, or a server whose audiences lack one entry, fails it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterator
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from router.client.contact_state import ContactCache
from router.client.state import CachedAgent, WorkspaceCache
from router.model import commands as c
from router.model import events as e
from router.model.commands import CallbackFields
from router.model.policy import CallbackMode, Policy
from router.model.results import Refused
from router.model.states import AgentState, CallbackOutcome, ChannelOutcome, ContactState, IfUnable, MonitorMode, MonitorOutcome
from router.protocol import audience
from router.protocol import frames as f
from router.server.auth.credentials import Role
from router.server.ws.synchronization import visible_state_query
from tests.properties import strategies as some
from tests.support.builders import START_MS
from tests.support.in_memory_client import WORKSPACE, MemoryClient, MemoryRouter, new_client
from tests.support.manual_clock import ManualClock

positions = st.integers(0, 7)
agent_ids = st.sampled_from(some.AGENTS)
GATEWAYS = ("phone", "web")

with_contacts = precondition(lambda self: any(not one.state.is_terminal for one in self.records.contacts.values()))
with_offers = precondition(lambda self: self.records.offers)
with_work = precondition(lambda self: self.records.assignments)


class ClientsOfACentre(RuleBasedStateMachine):
    """Operations and lost connections; after each step every client is compared with a fresh welcome."""

    tried: ClassVar[Counter[str]] = Counter()
    """Operations by name, over all examples; refused ones count apart."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(START_MS)
        # Few records are kept, so that a client that stays away for a while gets a welcome or reads from the journal.
        self.router = MemoryRouter(self.clock, records_kept=40)
        self.count = 0
        self.clients = [
            *(MemoryClient(self.router, Role.AGENT, name) for name in some.AGENTS),
            *(MemoryClient(self.router, Role.GATEWAY, name) for name in (*GATEWAYS, "web")),
            *(MemoryClient(self.router, Role.SUPERVISOR, name) for name in ("eve", "sam")),
        ]

    def run(self, what: Awaitable[Any]) -> Any:
        async def step() -> Any:
            result = await what
            await self.router.settle(self.clients)
            return result

        return self.loop.run_until_complete(step())

    @initialize(
        staff=st.lists(st.sampled_from(("connected", "connected", "away")), min_size=9, max_size=9),
        calls=st.integers(0, 3),
        seed=st.sampled_from((0, 0, 1, 2, 3)),
    )
    def a_centre_opens(self, staff: list[str], calls: int, seed: int) -> None:
        """Publish a policy, register the agents and connect some of the clients."""
        self.run(self.router.start())
        self.do(c.PublishPolicy(policy=with_own_gateway(some.policy_of_seed(seed))))
        for agent_id in some.AGENTS[:3]:
            self.do(c.PutAgent(agent_id=agent_id, skills={"english": 3, "german": 3, "billing": 3}))
            self.do(c.SetAgentState(agent_id=agent_id, state=AgentState.READY))
        for client, how in zip(self.clients, staff, strict=True):
            if how == "connected":
                self.connect(client, resume=True)
        for number in range(calls):
            self.count += 1
            self.do(
                c.EnqueueContact(contact_id=f"c{self.count}", channel="voice", queue_id="support", gateway_id=GATEWAYS[number % 2])
            )
            self.do(c.AcceptOffer(offer_id=f"c{self.count}.1", agent_id=some.AGENTS[number]))

    # --- what rules use -----------------------------------------------------------------------------------------------
    def do(self, command: c.Command) -> Any:
        result = self.run(self.router.do(command))
        name = type(command).__name__
        self.tried[f"{name} refused" if isinstance(result, Refused) else name] += 1
        return result

    def connect(self, client: MemoryClient, *, resume: bool) -> None:
        async def again() -> None:
            client.cut()
            client.connect(resume=resume)
            await self.router.until_ready(client)

        self.run(again())
        self.tried["resume" if any(isinstance(one, f.ResumedFrame) for one in client.frames) else "welcome"] += 1

    def cut(self, *clients: MemoryClient) -> None:
        async def lose() -> None:
            for client in clients:
                client.cut()

        self.run(lose())

    @property
    def records(self) -> Any:
        return self.router.engine._state

    def contact(self, position: int, *states: ContactState) -> str:
        """Return a contact in one of these states, else any live one."""
        live = [one for one in self.records.contacts.values() if not one.state.is_terminal]
        found = [one for one in live if one.state in states] or live
        return found[position % len(found)].contact_id if found else "nothing"

    def work(self, position: int) -> tuple[str, str, str]:
        """Return an open assignment: its id, its agent, its contact."""
        found = list(self.records.assignments.values())
        if not found:
            return "nothing.1", "ada", "nothing"
        one = found[position % len(found)]
        return one.assignment_id, one.agent_id, one.contact_id

    # --- connections --------------------------------------------------------------------------------------------------
    @rule(number=st.integers(0, 8), how=st.sampled_from(("cut", "resume", "resume", "reload", "ping")))
    def a_connection_changes(self, number: int, how: str) -> None:
        """Lose a connection, resume it, load the page again, or advance the position by a heartbeat."""
        client = self.clients[number]
        if how == "cut":
            self.cut(client)
        elif how == "ping":
            if client.is_ready:
                self.run(ping(client))
                pong = next(one for one in reversed(client.frames) if isinstance(one, f.PongFrame))
                client.connection.seq = max(client.connection.seq, pong.seq)
        else:
            self.connect(client, resume=how == "resume")

    @rule(numbers=st.sets(st.integers(0, 8), min_size=1))
    def the_network_fails(self, numbers: set[int]) -> None:
        """Lose several connections at once."""
        self.cut(*(self.clients[number] for number in numbers))

    # --- time ---------------------------------------------------------------------------------------------------------
    @rule(pause_ms=st.sampled_from((1, 500, 5_000, 11_000, 31_000, 61_000)))
    def time_passes(self, pause_ms: int) -> None:
        """Let timers fire."""
        self.run(self.router.advance(pause_ms))
        self.tried["time"] += 1

    # --- gateways -----------------------------------------------------------------------------------------------------
    @rule(
        gateway_id=st.sampled_from(GATEWAYS),
        channel=st.sampled_from(some.CHANNELS),
        queue_id=st.sampled_from(("support", "sales")),
        attributes=some.attributes("level"),
        preferred=st.sampled_from(((), (), ("bob",))),
        ttl_s=st.sampled_from((None, None, 25)),
        number=st.integers(1, 3),
        callback=st.sampled_from((None, None, None, CallbackFields(), CallbackFields(mode=CallbackMode.AGENT_FIRST))),
    )
    def contacts_come(self, preferred: tuple[str, ...], number: int, **fields: Any) -> None:
        """Submit some contacts."""
        for _ in range(number):
            self.count += 1
            self.do(c.EnqueueContact(contact_id=f"c{self.count}", reference=f"r{self.count}", preferred_agents=preferred, **fields))

    @rule(
        gateway_id=st.sampled_from(GATEWAYS),
        channel=st.sampled_from(some.CHANNELS),
        attributes=some.attributes("level"),
        then=st.sampled_from(("now", "now", "mail", "callback", "cancel", "token", "nothing")),
    )
    def a_customer_is_to_choose(self, then: str, **fields: Any) -> None:
        """Ask for an agent with options, and mostly go on at once; otherwise the default option is taken later."""
        self.count += 1
        contact_id = f"c{self.count}"
        contact = c.EnqueueContact(contact_id=contact_id, queue_id="support", reference=f"r{self.count}", **fields)
        self.do(c.RequestContact(contact=contact, token_hash=contact_id.encode()))
        if then == "cancel":
            self.do(c.CancelContact(contact_id=contact_id))
        elif then == "token":
            self.do(c.ChangeCustomerToken(contact_id=contact_id, token_hash=b"other"))
        elif then != "nothing":
            self.do(c.ChooseOption(contact_id=contact_id, option=then))

    @with_contacts
    @rule(
        position=positions,
        attributes=some.attributes("level"),
        priority_s=some.maybe(some.priorities),
        skills=some.maybe(some.skills),
    )
    def a_contact_is_changed(
        self, position: int, attributes: dict[str, Any], priority_s: int | None, skills: dict[str, int] | None
    ) -> None:
        """Change attributes and sometimes priority or skills of a live contact."""
        changes: dict[str, Any] = {"attributes": attributes}
        changes |= {} if priority_s is None else {"priority_s": priority_s}
        changes |= {} if skills is None else {"skills": skills}
        self.do(c.UpdateContact(contact_id=self.contact(position), **changes))

    @with_contacts
    @rule(position=positions, how=st.sampled_from((c.CancelContact, c.AbandonContact, c.EndContact)))
    def a_contact_ends(self, position: int, how: Any) -> None:
        """End a contact before or after it was answered."""
        self.do(how(contact_id=self.contact(position)))

    @with_contacts
    @rule(position=positions, ahead_ms=st.sampled_from((None, 1, 20_000)), channel=st.sampled_from(some.CHANNELS))
    def a_contact_continues_later_or_elsewhere(self, position: int, ahead_ms: int | None, channel: str) -> None:
        """Resume a contact, switch one to another channel, with or without a report of the gateway, and suspend one."""
        until_ms, live = None if ahead_ms is None else self.clock.now_ms() + ahead_ms, self.contact(position)
        self.do(c.ResumeContact(contact_id=self.contact(position, ContactState.SUSPENDED), channel=channel, reference="call-9"))
        self.do(c.SwitchChannel(contact_id=live, channel=channel, if_unable=[*IfUnable][position % 3]))
        self.do(c.ReportChannel(contact_id=self.contact(position // 3), outcome=[*ChannelOutcome][position % 5 // 4]))
        self.do(c.SuspendContact(contact_id=self.contact(position // 2), resume_by_ms=until_ms))

    @with_contacts
    @rule(position=positions, mode=st.sampled_from(MonitorMode), outcome=some.maybe(st.sampled_from(MonitorOutcome)))
    def a_supervisor_joins_a_conversation(self, position: int, mode: MonitorMode, outcome: MonitorOutcome | None) -> None:
        """Join a conversation or change the mode, with or without a report of the gateway, and sometimes leave it."""
        contact_id, name = self.contact(position, ContactState.ASSIGNED), ("sue", "eve")[position % 2]
        self.do(c.MonitorContact(contact_id=contact_id, supervisor_id=name, mode=mode))
        if outcome is not None:
            self.do(c.ReportMonitor(contact_id=contact_id, supervisor_id=name, mode=mode, outcome=outcome))
        if position % 7 == 0:
            self.do(c.StopMonitoring(contact_id=contact_id, supervisor_id=name))

    @with_contacts
    @rule(
        position=positions,
        mode=some.maybe(st.sampled_from(CallbackMode)),
        channel=some.maybe(st.sampled_from(some.CHANNELS)),
        ahead_ms=st.sampled_from((None, 1, 5_000, 30_000)),
    )
    def a_customer_wants_to_be_called_back(self, position: int, mode: Any, channel: str | None, ahead_ms: int | None) -> None:
        """Request a callback for a waiting contact, now or at an agreed time."""
        at_ms = None if ahead_ms is None else self.clock.now_ms() + ahead_ms
        terms = CallbackFields(mode=mode, channel=channel, at_ms=at_ms)
        self.do(c.RequestCallback(contact_id=self.contact(position, ContactState.QUEUED, ContactState.OFFERED), callback=terms))

    @with_contacts
    @rule(position=positions, outcome=st.sampled_from((CallbackOutcome.CONNECTED, *CallbackOutcome)))
    def a_call_has_an_outcome(self, position: int, outcome: CallbackOutcome) -> None:
        """Report the result of the current attempt."""
        called = [one.contact_id for one in self.records.contacts.values() if one.callback and one.callback.phase == "dialling"]
        contact_id = called[position % len(called)] if called else self.contact(position, ContactState.CALLBACK_SCHEDULED)
        self.do(c.ReportCallback(contact_id=contact_id, outcome=outcome))

    @with_contacts
    @rule(position=positions, what=st.sampled_from(("move", "due", "claim", "claim")), ahead_ms=st.sampled_from((1, 5_000, 30_000)))
    def a_callback_is_moved_or_claimed(self, position: int, what: str, ahead_ms: int) -> None:
        """Move a callback to another time, make it due, or claim its call."""
        called = [one.contact_id for one in self.records.contacts.values() if one.callback and not one.state.is_terminal]
        contact_id = called[position % len(called)] if called else self.contact(position)
        at_ms = self.clock.now_ms() + ahead_ms
        commands: dict[str, c.Command] = {
            "move": c.MoveCallback(contact_id=contact_id, at_ms=at_ms, until_ms=at_ms + 60_000 if position % 2 else None),
            "due": c.MoveCallback(contact_id=contact_id),
            "claim": c.ClaimCallback(contact_id=contact_id, claimant=f"pod-{position % 2}", lease_s=10 if position % 3 else None),
        }
        self.do(commands[what])

    # --- agents -------------------------------------------------------------------------------------------------------
    @with_offers
    @rule(position=positions, accept=st.sampled_from((True, True, True, False)))
    def an_offer_is_answered(self, position: int, accept: bool) -> None:
        """Accept or decline a pending offer."""
        found = list(self.records.offers.values())
        if found:
            one = found[position % len(found)]
            self.do((c.AcceptOffer if accept else c.DeclineOffer)(offer_id=one.offer_id, agent_id=one.agent_id))

    @with_work
    @rule(position=positions, what=st.sampled_from((c.HoldAssignment, c.ResumeAssignment, c.ParkAssignment, c.UnparkAssignment)))
    def an_agent_holds_or_parks(self, position: int, what: Any) -> None:
        """Hold, resume, park or unpark a conversation."""
        assignment_id, agent_id, _ = self.work(position)
        self.do(what(assignment_id=assignment_id, agent_id=agent_id))

    @with_work
    @rule(position=positions, what=st.sampled_from((c.ParkContact, c.UnparkContact)))
    def a_customer_is_silent_or_writes(self, position: int, what: Any) -> None:
        """Park or unpark a conversation from outside."""
        self.do(what(contact_id=self.contact(position, ContactState.ASSIGNED)))

    @with_work
    @rule(position=positions, extend=st.booleans())
    def an_agent_finishes(self, position: int, extend: bool) -> None:
        """Extend the wrap-up or complete the assignment."""
        assignment_id, agent_id, _ = self.work(position)
        if extend:
            self.do(c.ExtendWrapUp(assignment_id=assignment_id, agent_id=agent_id, extend_s=6))
        else:
            self.do(c.CompleteAssignment(assignment_id=assignment_id, agent_id=agent_id))

    @with_work
    @rule(
        position=positions,
        agent_id=agent_ids,
        wait_s=st.sampled_from((None, None, 20)),
        to_queue=st.sampled_from((False, False, True)),
    )
    def a_contact_is_transferred(self, position: int, agent_id: str, wait_s: int | None, to_queue: bool) -> None:
        """Transfer a conversation to an agent or a queue."""
        contact_id = self.contact(position, ContactState.ASSIGNED)
        if to_queue:
            self.do(c.TransferContact(contact_id=contact_id, to_queue_id="sales"))
        else:
            back_s = None if wait_s is None else 5
            self.do(c.TransferContact(contact_id=contact_id, to_agent_id=agent_id, wait_s=wait_s, return_to_sender_s=back_s))

    @with_work
    @rule(
        position=positions,
        what=st.sampled_from(("ask", "withdraw", "complete", "cancel", "join", "hand", "add", "leave", "remove")),
        agent_id=agent_ids,
    )
    def a_conversation_grows_or_passes_on(self, position: int, what: str, agent_id: str) -> None:
        """Consult, start a conference, add, hand over, leave."""
        _, member, contact_id = self.work(position)
        commands: dict[str, c.Command] = {
            "withdraw": c.CancelTransfer(contact_id=contact_id),
            "ask": c.StartConsult(contact_id=contact_id, to_queue_id="support"),
            "complete": c.CompleteConsult(contact_id=contact_id),
            "cancel": c.CancelConsult(contact_id=contact_id),
            "join": c.JoinConsult(contact_id=contact_id),
            "hand": c.HandOverContact(contact_id=contact_id, to_agent_id=agent_id),
            "add": c.AddParticipant(contact_id=contact_id, agent_id=agent_id),
            "leave": c.LeaveContact(contact_id=contact_id, agent_id=member),
            "remove": c.LeaveContact(contact_id=contact_id, agent_id=agent_id, reason="removed"),
        }
        self.do(commands[what])

    @with_work
    @rule(
        position=positions,
        agent_id=agent_ids,
        what=st.sampled_from((c.StartConsult, c.TransferContact)),
        answer=st.sampled_from(("accept", "accept", "decline", "withdraw", "later")),
    )
    def another_agent_is_asked(self, position: int, agent_id: str, what: Any, answer: str) -> None:
        """Ask an agent who is free for advice, or to take the contact; mostly the question ends in some way at once."""
        contact_id = self.contact(position, ContactState.ASSIGNED)
        self.do(c.SetAgentState(agent_id=agent_id, state=AgentState.READY))
        done = self.do(what(contact_id=contact_id, to_agent_id=agent_id))
        pending = () if isinstance(done, Refused) else self.records.contacts[contact_id].pending_offer_ids
        if not pending or answer == "later":
            return
        if answer == "withdraw":
            self.do((c.CancelConsult if what is c.StartConsult else c.CancelTransfer)(contact_id=contact_id))
        else:
            self.do((c.AcceptOffer if answer == "accept" else c.DeclineOffer)(offer_id=pending[0], agent_id=agent_id))

    @rule(agent_id=agent_ids, state=st.sampled_from((AgentState.READY, AgentState.READY, *AgentState)), after_work=st.booleans())
    def an_agent_changes_state(self, agent_id: str, state: AgentState, after_work: bool) -> None:
        """Change an agent's state, now or after the current work."""
        self.do(c.SetAgentState(agent_id=agent_id, state=state, after_work=after_work))

    @rule(agent_id=agent_ids, paused=st.sets(st.sampled_from(some.CHANNELS), max_size=1))
    def an_agent_pauses_channels(self, agent_id: str, paused: set[str]) -> None:
        """Pause a channel or none."""
        self.do(c.SetAgentChannels(agent_id=agent_id, paused=tuple(paused)))

    # --- supervisors --------------------------------------------------------------------------------------------------
    @rule(
        agent_id=agent_ids,
        queues=some.maybe(st.lists(st.sampled_from(("sales", "support")), max_size=2, unique=True)),
        units=st.sampled_from((None, None, 20, 0)),
        skills=some.skills,
        attributes=some.agent_facts,
        channel_max=st.dictionaries(st.sampled_from(some.CHANNELS), st.integers(0, 2), max_size=1),
        queue_ranks=st.dictionaries(st.just("sales"), st.sampled_from((1, 9)), max_size=1),
        team=st.sampled_from((None, "blue")),
        labels=st.sampled_from(((), ("late",))),
    )
    def an_agent_is_put(self, agent_id: str, queues: list[str] | None, **record: Any) -> None:
        """Register an agent or change the agent's record."""
        self.do(c.PutAgent(agent_id=agent_id, queues=None if queues is None else tuple(queues), **record))

    @with_contacts
    @rule(position=positions, what=st.sampled_from(("requeue", "move", "assign", "assign")), agent_id=agent_ids)
    def a_supervisor_steps_in(self, position: int, what: str, agent_id: str) -> None:
        """Requeue, move or assign a contact, from any state."""
        contact_id = self.contact(position)
        commands: dict[str, c.Command] = {
            "requeue": c.RequeueContact(contact_id=contact_id),
            "move": c.RequeueContact(contact_id=contact_id, queue_id="sales"),
            "assign": c.AssignContact(contact_id=contact_id, agent_id=agent_id),
        }
        self.do(commands[what])

    @rule(
        what=st.sampled_from(("policy", "queue", "remove")),
        seed=st.one_of(st.just(0), st.integers(0, 200)),
        queue_id=st.sampled_from(("sales", "support")),
        is_open=some.maybe(st.booleans()),
        agent_id=agent_ids,
    )
    def an_administrator_intervenes(self, what: str, seed: int, queue_id: str, is_open: bool | None, agent_id: str) -> None:
        """Publish a policy with other queues, channels and settings, open or close a queue, remove an agent without work."""
        commands: dict[str, c.Command] = {
            "policy": c.PublishPolicy(policy=with_own_gateway(some.policy_of_seed(seed)), drain_to={"vip": "support"}),
            "queue": c.SetQueueOpen(queue_id=queue_id, is_open=is_open),
            "remove": c.RemoveAgent(agent_id=agent_id),
        }
        self.do(commands[what])

    # --- what must hold -----------------------------------------------------------------------------------------------
    @invariant()
    def every_client_has_the_state_of_a_fresh_welcome(self) -> None:
        """Compare the local state of each connected client with that of a client that gets a welcome now."""
        for client in self.clients:
            if not client.is_ready:
                continue
            expected = local_state(self.run(self.fresh(client)))
            found = local_state(client.client)
            assert found == expected, f"{client.role} {client.subject}: {difference(found, expected)}"
            self.compare_allowed(client)

    def compare_allowed(self, client: MemoryClient) -> None:
        """Compare the operations that a client regards as allowed with those of the router."""
        cache = client.client._cache  # type: ignore[attr-defined]
        agents = cache.agents if isinstance(cache, WorkspaceCache) else {client.subject: cache}
        for agent_id, agent in agents.items():
            if isinstance(agent, CachedAgent):
                for work in self.router.engine.agent(agent_id).assignments:
                    assert agent.assignments[work.assignment_id].allowed == work.allowed, f"a welcome has {work.allowed}"

    async def fresh(self, client: MemoryClient) -> Any:
        answered = await self.router.writer.query_in_slices(WORKSPACE, visible_state_query(str(client.role), client.subject))
        visible = answered.value
        welcome = f.WelcomeFrame(
            role=str(client.role),
            workspace=WORKSPACE,
            history_id=answered.history_id,
            epoch=answered.epoch,
            seq=answered.seq,
            at_ms=answered.at_ms,
            heartbeat_s=20,
            session_id="",
            agent=visible.agent,
            contacts=tuple(visible.contacts),
            agents=tuple(visible.agents),
            stats=visible.stats,
        )
        twin = new_client(client.role)
        twin._connection.receive(msgspec.json.encode(welcome).decode())
        return twin

    def teardown(self) -> None:
        """Stop everything."""

        async def stop() -> None:
            for client in self.clients:
                client.cut()
            await self.router.stop()

        try:
            self.loop.run_until_complete(stop())
        finally:
            self.loop.close()


async def ping(client: MemoryClient) -> None:
    client.send(f.PingFrame(id="ping"))


def with_own_gateway(policy: Policy) -> Policy:
    """Return a policy whose chats are served by a gateway of their own."""
    chat = msgspec.structs.replace(policy.channels["chat"], gateway="web")
    return msgspec.structs.replace(policy, channels=policy.channels | {"chat": chat})


def local_state(client: Any) -> Any:
    """Return the local state of a client, without the queue statistics, which are sent at intervals."""
    cache = client._cache
    return cache.agents if isinstance(cache, WorkspaceCache) else cache


def difference(found: Any, expected: Any) -> str:
    """Return the values in which a local state differs from that of a fresh welcome."""
    mine, fresh = msgspec.to_builtins(found), msgspec.to_builtins(expected)
    return "; ".join(_differences("", mine, fresh))


def _differences(path: str, mine: Any, fresh: Any) -> Iterator[str]:
    if isinstance(mine, dict) and isinstance(fresh, dict):
        for name in mine.keys() | fresh.keys():
            yield from _differences(f"{path}.{name}", mine.get(name, "absent"), fresh.get(name, "absent"))
    elif mine != fresh:
        yield f"{path} is {mine}, a welcome has {fresh}"


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_every_client_has_the_state_of_a_fresh_welcome() -> None:
    # A step of this machine costs ten of the others: connections, and a comparison of each client.
    fewer = settings(settings(), max_examples=max(1, settings().max_examples // 5))
    run_state_machine_as_test(ClientsOfACentre, settings=fewer)
    print(f"\noperations tried: {sum(ClientsOfACentre.tried.values()):,}")
    for name, count in sorted(ClientsOfACentre.tried.items()):
        print(f"  {name}: {count:,}")


def test_a_desktop_away_while_its_agent_is_removed_and_registered_again_starts_afresh() -> None:
    centre = ClientsOfACentre()
    centre.a_centre_opens(staff=["connected"] * 9, calls=0, seed=0)
    centre.do(c.RemoveAgent(agent_id="cy"))
    centre.run(centre.router.advance(500))
    centre.do(c.PutAgent(agent_id="cy", skills={}))
    centre.a_connection_changes(number=2, how="resume")
    assert centre.clients[2].is_ready
    centre.every_client_has_the_state_of_a_fresh_welcome()
    centre.teardown()


# --- mutants: the test must notice them ---------------------------------------------------------------------------------
class Conversations(ClientsOfACentre):
    """Only the rules of conversations: a mutant of these is noticed within few examples."""

    _unused: Any = None
    the_network_fails = a_connection_changes = time_passes = an_administrator_intervenes = _unused
    a_customer_wants_to_be_called_back = a_call_has_an_outcome = a_callback_is_moved_or_claimed = _unused
    an_agent_is_put = an_agent_changes_state = a_contact_ends = a_customer_is_silent_or_writes = _unused


def is_noticed() -> bool:
    """Return whether the property fails for some example."""
    few = settings(settings(), max_examples=2_000, stateful_step_count=40, phases=(Phase.generate,), report_multiple_bugs=False)
    try:
        run_state_machine_as_test(Conversations, settings=few)
    except AssertionError as failed:
        return "a welcome has" in str(failed)
    return False


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    "ignored",
    [e.ContactUpdated, e.OfferMade, e.OfferRescinded, e.AssignmentHeld, e.AgentChannelsSet],
    ids=lambda kind: kind.__name__,
)
def test_a_client_that_ignores_a_type_of_event_is_noticed(monkeypatch: pytest.MonkeyPatch, ignored: type) -> None:
    for cache in (CachedAgent, ContactCache):
        monkeypatch.setattr(cache, "apply", ignoring(cache.apply, ignored))
    assert is_noticed()


def ignoring(apply: Any, ignored: type) -> Any:
    return lambda cache, event, at_ms: None if type(event) is ignored else apply(cache, event, at_ms)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (e.ContactUpdated, "offered_to"),
        (e.ContactUpdated, "members"),
        (e.OfferMade, "from_agent_id"),
        (e.OfferRescinded, "from_agent_id"),
    ],
)
def test_a_server_without_one_entry_of_the_table_is_noticed(monkeypatch: pytest.MonkeyPatch, kind: type, field: str) -> None:
    single, several = audience.EVENT_AUDIENCE[kind]
    left = tuple(name for name in single if name != field), tuple(name for name in several if name != field)
    monkeypatch.setitem(audience.EVENT_AUDIENCE, kind, left)
    assert is_noticed()
