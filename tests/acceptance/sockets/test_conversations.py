"""Consult and conference over real sockets: who hears what, and that every mirror stays what a fresh welcome would be."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from router.client import CachedAgent, DesktopClient, RouterRefused
from router.client.websocket_client import WebSocketClient
from router.model import events as e
from router.model.states import AssignmentRole, AssignmentState
from router.model.views import AgentView
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.sockets.test_crash import PATIENT, a_free_port, eventually, until_answered, url_of
from tests.support.http_api import Api
from tests.support.in_process_router import InProcessRouter, running_router

TIMEOUT_S = 20
OWNER, CONSULT, PARTICIPANT = AssignmentRole


async def an_event(client: WebSocketClient, kind: type[e.Event]) -> e.Event:
    """Return the next event of a type that the client receives."""
    return await anext(event async for event in client.events() if isinstance(event, kind))


class Participants:
    """Three desktops, the first with a contact; a gateway and a supervisor."""

    def __init__(self, router: InProcessRouter, stack: AsyncExitStack) -> None:
        self.router = router
        self.stack = stack
        self.contact_id = ""

    async def open(self, codec: str) -> None:
        """Connect all clients; ``a0`` gets the contact."""
        enter = self.stack.enter_async_context
        self.gateway = await enter(self.router.gateway(codec=codec))
        self.supervisor = await enter(self.router.supervisor(codec=codec))
        self.ada = await enter(self.router.desktop("a0", codec=codec))
        self.bob = await enter(self.router.desktop("a1", codec=codec))
        self.cy = await enter(self.router.desktop("a2", codec=codec))
        await self.ada.ready()
        attributes: dict[str, bool | int | str] = {"tier": "gold"}
        sent = await self.gateway.submit("voice", queue_id="support", attributes=attributes)
        self.contact_id = sent.subject
        await self.answer(self.ada)
        await asyncio.gather(self.bob.ready(), self.cy.ready())

    async def answer(self, desktop: DesktopClient) -> str:
        """Accept the pending offer; return the assignment id."""
        await desktop.ping()
        (offer_id,) = desktop.state.offers
        await desktop.accept(offer_id)
        return offer_id

    def role(self, desktop: DesktopClient) -> tuple[AssignmentRole, AssignmentState]:
        """Return the role in the conversation, according to the agent's mirror."""
        (work,) = desktop.state.assignments.values()
        return work.role, work.state

    async def _view(self, agent_id: str) -> AgentView:
        answered = await self.router.writer.query("default", lambda engine: engine.agent(agent_id))
        assert answered.value is not None
        return answered.value

    async def assert_all_mirrors_current(self) -> None:
        """Check that every mirror equals the state of a fresh connection."""
        desktops = (self.ada, self.bob, self.cy)
        clients: Iterable[WebSocketClient] = (*desktops, self.gateway, self.supervisor)
        await asyncio.gather(*(client.ping() for client in clients))
        for desktop in desktops:
            view = await self._view(desktop.state.agent_id)
            assert desktop.state == CachedAgent.from_view(view)
        async with self.router.supervisor("fresh") as fresh:
            assert self.supervisor.workspace.agents == fresh.workspace.agents
        async with self.router.gateway() as fresh_gateway:
            assert self.gateway.contacts == fresh_gateway.contacts


@asynccontextmanager
async def a_floor(tmp_path: Path, codec: str = "msgpack") -> AsyncIterator[Participants]:
    async with running_router(tmp_path) as router, AsyncExitStack() as stack, asyncio.timeout(TIMEOUT_S):
        participants = Participants(router, stack)
        await participants.open(codec)
        yield participants


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_warm_transfer_as_every_desktop_sees_it(tmp_path: Path, codec: str) -> None:
    async with a_floor(tmp_path, codec) as participants:
        ada, bob, contact_id = participants.ada, participants.bob, participants.contact_id
        await ada.consult_agent(contact_id, "a1")
        made = await an_event(bob, e.OfferMade)
        assert isinstance(made, e.OfferMade)
        assert (made.role, made.reason, made.from_agent_id) == (CONSULT, "consult", "a0")
        work_id = await participants.answer(bob)
        await participants.assert_all_mirrors_current()
        assert participants.role(ada) == (OWNER, AssignmentState.ON_HOLD)
        assert participants.role(bob) == (CONSULT, AssignmentState.ACTIVE)
        assert ada.state.assignments[f"{contact_id}.1"].members == {"a0": OWNER, "a1": CONSULT}
        seen = participants.gateway.contacts.by_id[contact_id]
        assert (seen.agent_id, seen.other_participants) == ("a0", {"a1": CONSULT})

        await ada.complete_consult(contact_id)
        over = await an_event(participants.gateway, e.ContactHandedOver)
        assert isinstance(over, e.ContactHandedOver)
        assert (over.agent_id, over.assignment_id, over.reason) == ("a1", work_id, "consult")
        await participants.assert_all_mirrors_current()
        assert participants.role(ada) == (OWNER, AssignmentState.WRAP_UP)
        assert participants.role(bob) == (OWNER, AssignmentState.ACTIVE)
        seen = participants.gateway.contacts.by_id[contact_id]
        assert (seen.agent_id, seen.other_participants) == ("a1", {})


async def test_a_conference_from_start_to_end(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as participants:
        ada, bob, cy, contact_id = (participants.ada, participants.bob, participants.cy, participants.contact_id)
        await ada.consult_queue(contact_id, "support")
        asked, adviser = (bob, "a1") if await _was_asked(bob) else (cy, "a2")
        await participants.answer(asked)
        await ada.conference(contact_id)
        third, other = (cy, "a2") if asked is bob else (bob, "a1")
        await participants.supervisor.add_participant(contact_id, other)
        await participants.assert_all_mirrors_current()
        assert participants.role(ada) == (OWNER, AssignmentState.ACTIVE)
        assert participants.role(asked) == participants.role(third) == (PARTICIPANT, AssignmentState.ACTIVE)
        await participants.gateway.update(contact_id, attributes={"tier": "silver"})
        await participants.assert_all_mirrors_current()

        await ada.hand_over(contact_id, adviser)
        await participants.assert_all_mirrors_current()
        await participants.supervisor.remove_participant(contact_id, other)
        left = await an_event(asked, e.ParticipantLeft)
        assert isinstance(left, e.ParticipantLeft)
        assert (left.agent_id, left.reason) == (other, "removed")
        await participants.assert_all_mirrors_current()
        await asked.end(contact_id)
        await participants.assert_all_mirrors_current()
        assert participants.gateway.contacts.by_id == {}
        assert participants.role(asked) == (OWNER, AssignmentState.WRAP_UP)
        assert participants.role(third) == (PARTICIPANT, AssignmentState.WRAP_UP)


async def _was_asked(desktop: DesktopClient) -> bool:
    await desktop.ping()
    return bool(desktop.state.offers)


async def test_the_owner_is_notified_why_a_consult_ended(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as participants:
        ada, bob, contact_id = participants.ada, participants.bob, participants.contact_id
        await ada.consult_agent(contact_id, "a1")
        await bob.ping()
        (offer_id,) = bob.state.offers
        await bob.decline(offer_id, "busy")
        declined = await an_event(ada, e.OfferDeclined)
        assert isinstance(declined, e.OfferDeclined)
        assert (declined.agent_id, declined.from_agent_id) == ("a1", "a0")
        await ada.consult_agent(contact_id, "a1")
        await participants.answer(bob)
        await bob.leave(contact_id)
        left = await an_event(ada, e.ParticipantLeft)
        assert isinstance(left, e.ParticipantLeft)
        assert (left.agent_id, left.reason, left.role) == ("a1", "left", CONSULT)
        await participants.assert_all_mirrors_current()
        assert participants.role(ada) == (OWNER, AssignmentState.ACTIVE)
        assert bob.state.assignments == {}
        await ada.consult_agent(contact_id, "a1")
        await ada.cancel_consult(contact_id)
        gone = await an_event(bob, e.OfferRescinded)
        assert isinstance(gone, e.OfferRescinded) and gone.reason == "consult_cancelled"
        await participants.assert_all_mirrors_current()


async def test_an_uninvolved_desktop_sees_nothing(tmp_path: Path) -> None:
    """I37."""
    async with a_floor(tmp_path) as participants:
        await participants.ada.consult_agent(participants.contact_id, "a1")
        await participants.answer(participants.bob)
        for ask in (
            participants.cy.complete_consult(participants.contact_id),
            participants.cy.leave(participants.contact_id),
            participants.cy.conference(participants.contact_id),
            participants.cy.hand_over(participants.contact_id, "a1"),
            participants.cy.consult_agent("nothing", "a1"),
        ):
            with pytest.raises(RouterRefused) as refused:
                await ask
            assert refused.value.code == "unknown_contact"
        with pytest.raises(RouterRefused) as refused:
            await participants.bob.complete_consult(participants.contact_id)
        assert refused.value.code == "not_owner", "the consulted agent takes part"


async def test_a_consult_survives_a_restart_on_both_desktops(make_router: MakeRouter) -> None:
    router = make_router(server__port=a_free_port())
    router.start()
    async with Api(router) as api:
        for agent_id in ("ada", "bob"):
            await api.ok("PUT", f"/v1/agents/{agent_id}", {})
    url = url_of(router)
    ada = DesktopClient(url, router.token("agent", "ada"), options=PATIENT)
    bob = DesktopClient(url, router.token("agent", "bob"), options=PATIENT)
    async with ada, bob, asyncio.timeout(60):
        await ada.ready()
        async with Api(router, "gateway", "web") as gateway:
            contact_id = (await gateway.submit())["contact_id"]
        await ada.accept(f"{contact_id}.1")
        await bob.ready()
        await ada.consult_agent(contact_id, "bob")
        await bob.accept(f"{contact_id}.2")
        router.kill()
        router.start()
        await asyncio.gather(until_answered(ada.ping), until_answered(bob.ping))
        assert bob.state.assignments[f"{contact_id}.2"].role is CONSULT
        async with DesktopClient(url, router.token("agent", "bob"), options=PATIENT) as fresh:
            assert fresh.state.assignments == bob.state.assignments
            await ada.complete_consult(contact_id)
            await eventually(lambda: fresh.state.assignments[f"{contact_id}.2"].role is OWNER)
