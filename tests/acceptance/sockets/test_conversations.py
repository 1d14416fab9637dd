"""Consult and conference over real sockets: who hears what, and that every mirror stays what a fresh welcome would be."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from router.client import AgentMirror, DesktopClient, RouterRefused
from router.client.socket import SocketClient
from router.model import events as e
from router.model.states import AssignmentRole, AssignmentState
from router.model.views import AgentView
from tests.acceptance.api import Api
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.sockets.house import House, a_house
from tests.acceptance.sockets.test_killed import (
    PATIENT,
    a_free_port,
    eventually,
    until_answered,
    url_of,
)

PATIENCE_S = 20
OWNER, CONSULT, PARTICIPANT = AssignmentRole


async def an_event(client: SocketClient, kind: type[e.Event]) -> e.Event:
    """The next event of this kind that the client hears."""
    return await anext(event async for event in client.events() if isinstance(event, kind))


class Floor:
    """Three desktops, the first with a contact; a gateway and a supervisor who hear of it."""

    def __init__(self, router: House, stack: AsyncExitStack) -> None:
        self.router = router
        self.stack = stack
        self.contact_id = ""

    async def open(self, codec: str) -> None:
        """Everybody comes; ``a0`` gets the contact."""
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
        """Take what is offered; the assignment's id."""
        await desktop.ping()
        (offer_id,) = desktop.state.offers
        await desktop.accept(offer_id)
        return offer_id

    def role(self, desktop: DesktopClient) -> tuple[AssignmentRole, AssignmentState]:
        """What he is in the conversation, by his own mirror."""
        (work,) = desktop.state.assignments.values()
        return work.role, work.state

    async def _view(self, agent_id: str) -> AgentView:
        answered = await self.router.writer.ask("default", lambda engine: engine.agent(agent_id))
        assert answered.value is not None
        return answered.value

    async def everybody_knows(self) -> None:
        """Every mirror equals a fresh one."""
        desktops = (self.ada, self.bob, self.cy)
        clients: Iterable[SocketClient] = (*desktops, self.gateway, self.supervisor)
        await asyncio.gather(*(client.ping() for client in clients))
        for desktop in desktops:
            view = await self._view(desktop.state.agent_id)
            assert desktop.state == AgentMirror.of(view)
        async with self.router.supervisor("fresh") as fresh:
            assert self.supervisor.centre.agents == fresh.centre.agents
        async with self.router.gateway() as fresh_gateway:
            assert self.gateway.contacts == fresh_gateway.contacts


@asynccontextmanager
async def a_floor(tmp_path: Path, codec: str = "msgpack") -> AsyncIterator[Floor]:
    async with a_house(tmp_path) as router, AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        floor = Floor(router, stack)
        await floor.open(codec)
        yield floor


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_warm_transfer_as_every_desktop_sees_it(tmp_path: Path, codec: str) -> None:
    async with a_floor(tmp_path, codec) as floor:
        ada, bob, contact_id = floor.ada, floor.bob, floor.contact_id
        await ada.consult_agent(contact_id, "a1")
        made = await an_event(bob, e.OfferMade)
        assert isinstance(made, e.OfferMade)
        assert (made.role, made.reason, made.from_agent_id) == (CONSULT, "consult", "a0")
        work_id = await floor.answer(bob)
        await floor.everybody_knows()
        assert floor.role(ada) == (OWNER, AssignmentState.ON_HOLD)
        assert floor.role(bob) == (CONSULT, AssignmentState.ACTIVE)
        assert ada.state.assignments[f"{contact_id}.1"].members == {"a0": OWNER, "a1": CONSULT}
        seen = floor.gateway.contacts.contacts[contact_id]
        assert (seen.agent_id, seen.beside) == ("a0", {"a1": CONSULT})

        await ada.complete_consult(contact_id)
        over = await an_event(floor.gateway, e.ContactHandedOver)
        assert isinstance(over, e.ContactHandedOver)
        assert (over.agent_id, over.assignment_id, over.reason) == ("a1", work_id, "consult")
        await floor.everybody_knows()
        assert floor.role(ada) == (OWNER, AssignmentState.WRAP_UP)
        assert floor.role(bob) == (OWNER, AssignmentState.ACTIVE)
        seen = floor.gateway.contacts.contacts[contact_id]
        assert (seen.agent_id, seen.beside) == ("a1", {})


async def test_a_conference_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as floor:
        ada, bob, cy, contact_id = floor.ada, floor.bob, floor.cy, floor.contact_id
        await ada.consult_queue(contact_id, "support")
        asked, adviser = (bob, "a1") if await _was_asked(bob) else (cy, "a2")
        await floor.answer(asked)
        await ada.conference(contact_id)
        third, other = (cy, "a2") if asked is bob else (bob, "a1")
        await floor.supervisor.add_participant(contact_id, other)
        await floor.everybody_knows()
        assert floor.role(ada) == (OWNER, AssignmentState.ACTIVE)
        assert floor.role(asked) == floor.role(third) == (PARTICIPANT, AssignmentState.ACTIVE)
        await floor.gateway.update(contact_id, attributes={"tier": "silver"})
        await floor.everybody_knows()

        await ada.hand_over(contact_id, adviser)
        await floor.everybody_knows()
        await floor.supervisor.remove_participant(contact_id, other)
        left = await an_event(asked, e.ParticipantLeft)
        assert isinstance(left, e.ParticipantLeft)
        assert (left.agent_id, left.reason) == (other, "removed")
        await floor.everybody_knows()
        await asked.end(contact_id)
        await floor.everybody_knows()
        assert floor.gateway.contacts.contacts == {}
        assert floor.role(asked) == (OWNER, AssignmentState.WRAP_UP)
        assert floor.role(third) == (PARTICIPANT, AssignmentState.WRAP_UP)


async def _was_asked(desktop: DesktopClient) -> bool:
    await desktop.ping()
    return bool(desktop.state.offers)


async def test_the_owner_hears_why_he_is_alone_again(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as floor:
        ada, bob, contact_id = floor.ada, floor.bob, floor.contact_id
        await ada.consult_agent(contact_id, "a1")
        await bob.ping()
        (offer_id,) = bob.state.offers
        await bob.decline(offer_id, "busy")
        declined = await an_event(ada, e.OfferDeclined)
        assert isinstance(declined, e.OfferDeclined)
        assert (declined.agent_id, declined.from_agent_id) == ("a1", "a0")
        await ada.consult_agent(contact_id, "a1")
        await floor.answer(bob)
        await bob.leave(contact_id)
        left = await an_event(ada, e.ParticipantLeft)
        assert isinstance(left, e.ParticipantLeft)
        assert (left.agent_id, left.reason, left.role) == ("a1", "left", CONSULT)
        await floor.everybody_knows()
        assert floor.role(ada) == (OWNER, AssignmentState.ACTIVE)
        assert bob.state.assignments == {}
        await ada.consult_agent(contact_id, "a1")
        await ada.cancel_consult(contact_id)
        gone = await an_event(bob, e.OfferRescinded)
        assert isinstance(gone, e.OfferRescinded) and gone.reason == "consult_cancelled"
        await floor.everybody_knows()


async def test_another_desktop_knows_nothing_of_it(tmp_path: Path) -> None:
    """I37."""
    async with a_floor(tmp_path) as floor:
        await floor.ada.consult_agent(floor.contact_id, "a1")
        await floor.answer(floor.bob)
        for ask in (
            floor.cy.complete_consult(floor.contact_id),
            floor.cy.leave(floor.contact_id),
            floor.cy.conference(floor.contact_id),
            floor.cy.hand_over(floor.contact_id, "a1"),
            floor.cy.consult_agent("nothing", "a1"),
        ):
            with pytest.raises(RouterRefused) as refused:
                await ask
            assert refused.value.code == "unknown_contact"
        with pytest.raises(RouterRefused) as refused:
            await floor.bob.complete_consult(floor.contact_id)
        assert refused.value.code == "unknown_contact"


async def test_two_desktops_over_a_restart_in_the_middle_of_a_consult(
    make_router: MakeRouter,
) -> None:
    router = make_router(edge__port=a_free_port())
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
