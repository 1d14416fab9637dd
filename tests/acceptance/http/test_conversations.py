"""Consult, warm transfer and conference over HTTP, as owners, consulted agents, supervisors, gateways and others see them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess


class Floor:
    """A supervisor, a gateway and agents of one test."""

    def __init__(self, admin: Api, gateway: Api, desks: dict[str, Api]) -> None:
        self.admin = admin
        self.gateway = gateway
        self.desks = desks
        self.contact = ""

    async def accept(self, agent_id: str) -> str:
        """Accept the pending offer of an agent."""
        view = await self.desks[agent_id].ok("GET", f"/v1/agents/{agent_id}")
        offer_id = str(view["offers"][0]["offer_id"])
        await self.desks[agent_id].ok("POST", f"/v1/offers/{offer_id}/accept")
        return offer_id

    async def act(self, agent_id: str, action: str, body: Any = None) -> Any:
        """Execute an operation on the contact as an agent."""
        path = f"/v1/contacts/{self.contact}/{action}"
        return await self.desks[agent_id].ok("POST", path, body)

    async def refused(self, agent_id: str, action: str, body: Any = None) -> tuple[int, str]:
        """Execute an operation that must be refused."""
        got = await self.desks[agent_id].call("POST", f"/v1/contacts/{self.contact}/{action}", body)
        return got.status, got.code

    async def seen(self) -> Any:
        """The contact as its gateway sees it."""
        return await self.gateway.ok("GET", f"/v1/contacts/{self.contact}")

    async def work(self, agent_id: str) -> list[tuple[str, str, dict[str, str]]]:
        """Return role, state and members of an agent's assignments."""
        view = await self.desks[agent_id].ok("GET", f"/v1/agents/{agent_id}")
        return [(one.get("role", "owner"), one["state"], one.get("members", {})) for one in view.get("assignments", [])]


@asynccontextmanager
async def a_floor(router: RouterProcess) -> AsyncIterator[tuple[Floor, list[str]]]:
    """Three agents; the first has a contact, the others are free."""
    names = [f"{name}-{uuid4().hex[:8]}" for name in ("ada", "bob", "cy")]
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(Api(router))
        gateway = await stack.enter_async_context(Api(router, "gateway", "web"))
        desks = {name: await stack.enter_async_context(Api(router, "agent", name)) for name in names}
        floor = Floor(admin, gateway, desks)
        for name in names:
            await admin.ok("PUT", f"/v1/agents/{name}", {})
        await desks[names[0]].ok("POST", f"/v1/agents/{names[0]}/state", {"state": "ready"})
        floor.contact = (await gateway.submit())["contact_id"]
        await floor.accept(names[0])
        for name in names[1:]:
            await desks[name].ok("POST", f"/v1/agents/{name}/state", {"state": "ready"})
        yield floor, names
        await admin.call("POST", f"/v1/contacts/{floor.contact}/end", {})
        for name in names:
            for one in (await admin.ok("GET", f"/v1/agents/{name}")).get("assignments", []):
                await admin.ok("POST", f"/v1/assignments/{one['assignment_id']}/complete", {})
            await admin.ok("DELETE", f"/v1/agents/{name}")


async def test_a_warm_transfer_from_consult_to_new_owner(router: RouterProcess) -> None:
    async with a_floor(router) as (floor, (ada, bob, _)):
        await floor.act(ada, "consult", {"to_agent_id": bob})
        assert (await floor.seen())["agent_id"] == ada
        work_id = await floor.accept(bob)
        members = {ada: "owner", bob: "consult"}
        assert await floor.work(ada) == [("owner", "on_hold", members)]
        assert await floor.work(bob) == [("consult", "active", members)]
        view = await floor.seen()
        (beside,) = view["participants"]
        assert (beside["agent_id"], beside["assignment_id"], beside["role"]) == (bob, work_id, "consult")
        assert beside["since_ms"] == view["changed_at_ms"]
        assert (await floor.desks[bob].call("GET", f"/v1/contacts/{floor.contact}")).status == 200

        assert (await floor.act(ada, "consult/complete"))["state"] == "assigned"
        view = await floor.seen()
        assert (view["agent_id"], view["assignment_id"]) == (bob, work_id)
        assert "participants" not in view
        assert await floor.work(ada) == [("owner", "wrap_up", {})]
        assert await floor.work(bob) == [("owner", "active", {})]
        again = await floor.desks[bob].ok("POST", f"/v1/offers/{work_id}/accept")
        assert again["state"] == "accepted"
        assert await floor.refused(ada, "end", {}) == (404, "unknown_contact")


async def test_a_conference_with_leave_hand_over_and_a_supervisor(router: RouterProcess) -> None:
    async with a_floor(router) as (floor, (ada, bob, cy)):
        await floor.act(ada, "consult", {"to_agent_id": bob})
        await floor.accept(bob)
        await floor.act(ada, "conference")
        path = f"/v1/contacts/{floor.contact}"
        await floor.admin.ok("POST", f"{path}/participants", {"agent_id": cy})
        members = {ada: "owner", bob: "participant", cy: "participant"}
        assert await floor.work(ada) == [("owner", "active", members)]
        assert await floor.work(cy) == [("participant", "active", members)]

        await floor.act(ada, "hand-over", {"to_agent_id": bob})
        assert (await floor.seen())["agent_id"] == bob
        await floor.act(cy, "leave")
        await floor.act(cy, "leave", {"agent_id": cy})
        assert await floor.work(cy) == [("participant", "wrap_up", {})]
        assert await floor.work(bob) == [("owner", "active", {})]
        why = await floor.admin.ok("GET", f"{path}/why/{bob}")
        assert "owner" in {lack["code"] for lack in why["unmet_conditions"]}


async def test_a_supervisor_removes_a_participant(router: RouterProcess) -> None:
    async with a_floor(router) as (floor, (ada, bob, _)):
        path = f"/v1/contacts/{floor.contact}"
        await floor.admin.ok("POST", f"{path}/participants", {"agent_id": bob})
        why = await floor.admin.ok("GET", f"{path}/why/{bob}")
        assert "participant" in {lack["code"] for lack in why["unmet_conditions"]}
        got = await floor.admin.call("POST", f"{path}/leave", {})
        assert (got.status, got.code, got.json["field"]) == (422, "invalid_value", "agent_id")
        await floor.admin.ok("POST", f"{path}/leave", {"agent_id": bob})
        assert await floor.work(bob) == [("participant", "wrap_up", {})]
        assert await floor.work(ada) == [("owner", "active", {})]


async def test_refusals_state_the_reason(router: RouterProcess) -> None:
    async with a_floor(router) as (floor, (ada, bob, cy)):
        assert await floor.refused(ada, "consult", {}) == (422, "invalid_value")
        both = {"to_agent_id": bob, "to_queue_id": "support"}
        assert await floor.refused(ada, "consult", both) == (422, "invalid_value")
        assert await floor.refused(ada, "consult", {"to_agent_id": "missing"}) == (404, "unknown_agent")
        assert await floor.refused(ada, "consult", {"to_queue_id": "nowhere"}) == (404, "unknown_queue")
        assert await floor.refused(ada, "consult", {"to_queue_id": "sales"}) == (409, "agent_unavailable")
        assert await floor.refused(ada, "consult/complete") == (409, "invalid_consult_state")
        assert await floor.refused(ada, "conference") == (409, "invalid_consult_state")
        assert await floor.refused(ada, "hand-over", {"to_agent_id": cy}) == (409, "not_participant")
        assert await floor.refused(ada, "leave") == (409, "invalid_contact_state")
        await floor.act(ada, "consult", {"to_agent_id": bob})
        assert await floor.refused(ada, "consult", {"to_agent_id": cy}) == (409, "invalid_consult_state")
        assert await floor.refused(ada, "transfer", {"to_agent_id": cy}) == (409, "invalid_contact_state")
        got = await floor.desks[ada].call("POST", f"/v1/contacts/{floor.contact}/consult", {"to_agent": bob})
        assert (got.status, got.code) == (422, "invalid_value") and bob not in got.body.decode()


async def test_a_conversation_is_hidden_from_other_agents_and_gateways(router: RouterProcess) -> None:
    """I36, I37."""
    async with a_floor(router) as (floor, (ada, bob, cy)):
        await floor.act(ada, "consult", {"to_agent_id": bob})
        await floor.accept(bob)
        for action, body in (
            ("consult", {"to_agent_id": bob}),
            ("consult/complete", None),
            ("consult/cancel", None),
            ("conference", None),
            ("hand-over", {"to_agent_id": bob}),
            ("leave", None),
        ):
            assert await floor.refused(cy, action, body) == (404, "unknown_contact"), action
            nothing = await floor.desks[cy].call("POST", f"/v1/contacts/nothing/{action}", body)
            assert (nothing.status, nothing.code) == (404, "unknown_contact"), action
        assert await floor.refused(cy, "leave", {"agent_id": bob}) == (404, "unknown_agent")
        # The consulted agent takes part, and so may know of the contact, but may not decide anything.
        assert await floor.refused(bob, "consult/complete") == (409, "not_owner")
        assert await floor.refused(bob, "end", {}) == (409, "not_owner")


async def test_a_consult_survives_a_restart(make_router: MakeRouter) -> None:
    router = make_router()
    router.start()
    async with Api(router) as admin:
        for name in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{name}", {})
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
    async with Api(router, "gateway", "web") as gateway:
        contact = (await gateway.submit())["contact_id"]
    async with Api(router, "agent", "ada") as ada, Api(router, "agent", "bob") as bob:
        await ada.ok("POST", f"/v1/offers/{contact}.1/accept")
        await bob.ok("POST", "/v1/agents/bob/state", {"state": "ready"})
        await ada.ok("POST", f"/v1/contacts/{contact}/consult", {"to_queue_id": "support"})
        await bob.ok("POST", f"/v1/offers/{contact}.2/accept")
    async with Api(router) as admin:
        before = await admin.ok("GET", f"/v1/contacts/{contact}")
        digest = (await admin.ok("GET", "/v1/digest"))["digest"]
    router.kill()
    router.start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        assert (await admin.ok("GET", "/v1/digest"))["digest"] == digest
        assert await admin.ok("GET", f"/v1/contacts/{contact}") == before
        assert before["participants"][0]["agent_id"] == "bob"
        await ada.ok("POST", f"/v1/contacts/{contact}/consult/complete")
        assert (await admin.ok("GET", f"/v1/contacts/{contact}"))["agent_id"] == "bob"
