"""Story: an SMS becomes a live chat because the customer follows a link; two gateways, one contact, the same agent."""

import asyncio
from typing import Any

import pytest

from router.client import CustomerClient, DesktopClient, GatewayClient
from router.client.connection import ConnectionOptions
from router.model import events as e
from router.model.request_views import RequestView
from router.model.states import RequestPhase
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_requests import FAST, of_customer
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
channels:
  sms: {units: 10, per_agent_max: 9, offer_timeout_s: 60}
  chat: {units: 40, per_agent_max: 2, offer_timeout_s: 60, gateway: web}
  voice: {offer_timeout_s: 60, gateway: pbx}
queues:
  support: {cool_down_s: 0}
facts:
  topic: {type: enum, values: [card, loan]}
entry:
  - {name: loans, when: {channel: sms, attributes: {topic: loan}}, queue: support}
  - {name: cards, when: channel == "sms" && contact.topic == "card", queue: support, offer_channels: [chat]}
"""
OPTIONS = ConnectionOptions(connect_timeout_s=20.0, command_timeout_s=20.0)


def the_gateway(router: RouterProcess, name: str) -> GatewayClient:
    return GatewayClient(router.url.replace("http", "ws", 1), router.token("gateway", name), options=OPTIONS)


def the_desktop(router: RouterProcess, agent_id: str) -> DesktopClient:
    return DesktopClient(router.url.replace("http", "ws", 1), router.token("agent", agent_id), options=OPTIONS)


class Transcript:
    """What each party has heard on its socket, by the types of the events."""

    def __init__(self) -> None:
        self.heard: dict[str, list[str]] = {}
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, name: str, client: Any) -> None:
        """Write down all events of a client."""
        self.heard[name] = []

        async def read() -> None:
            async for event in client.events():
                async with self._changed:
                    self.heard[name].append(type(event).__struct_config__.tag)
                    self._changed.notify_all()

        self._tasks.append(asyncio.create_task(read()))

    async def until(self, name: str, tag: str) -> None:
        """Wait until a party has heard an event."""
        async with self._changed:
            await self._changed.wait_for(lambda: tag in self.heard[name])

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()


async def sms(api: Api, topic: str) -> str:
    receipt = await api.ok("POST", "/v1/contacts", {"channel": "sms", "attributes": {"topic": topic}, "reference": "sms-1"})
    assert receipt["state"] in ("queued", "offered")
    return str(receipt["contact_id"])


async def test_an_sms_goes_on_as_a_chat_with_the_same_agent_when_the_customer_follows_the_link(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, **FAST).start()
    transcript = Transcript()
    async with (
        Api(router) as admin,
        Api(router, "gateway", "sms") as of_sms,
        Api(router, "gateway", "web") as of_web,
        the_gateway(router, "sms") as sms_gateway,
        the_gateway(router, "web") as web_gateway,
        asyncio.timeout(90),
    ):
        for agent_id in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {})
        async with the_desktop(router, "ada") as ada, the_desktop(router, "bob") as bob:
            for name, client in (("sms", sms_gateway), ("web", web_gateway), ("ada", ada), ("bob", bob)):
                transcript.follow(name, client)
            await ada.ready()
            contact_id = await sms(of_sms, "card")
            await transcript.until("ada", "offer.made")
            await ada.accept(f"{contact_id}.1")
            await bob.ready()
            assert (await admin.ok("GET", "/v1/agents/ada"))["units_used"] == 10

            # The rule offers a chat: the gateway sends the link by SMS. Nothing is forced: the SMS goes on.
            link = await of_sms.ok("POST", f"/v1/contacts/{contact_id}/link")
            assert (link["request_id"], link["channels"]) == (contact_id, ["chat"]) and link["token"].startswith("rct_")
            assert (await admin.ok("GET", f"/v1/contacts/{contact_id}"))["channel"] == "sms"

            async with (
                of_customer(router, link["token"]) as customer,
                CustomerClient(router.url.replace("http", "ws"), link["token"]) as page,
            ):
                path = f"/v1/requests/{contact_id}"
                seen = await customer.ok("GET", path)
                assert (seen["state"], seen["channel"], seen["channels"]) == ("connected", "sms", ["chat"])
                refused = await customer.call("POST", f"{path}/channel", {"channel": "voice"})
                assert (refused.status, refused.code, refused.json["allowed"]) == (409, "channel_not_possible", ["chat"])
                asked = await customer.ok("POST", f"{path}/channel", {"channel": "chat"})
                assert (asked["channel"], asked["switches_to"]) == ("sms", "chat")
                await transcript.until("web", "contact.channel_requested")

                # The gateway of the chat has the customer, and says so: from now on it has the contact.
                assert (await of_web.ok("GET", f"/v1/contacts/{contact_id}"))["channel"] == "sms"
                await of_web.ok("POST", f"/v1/contacts/{contact_id}/channel/result", {"outcome": "connected"})
                await transcript.until("web", "contact.gateway_changed")
                await transcript.until("sms", "contact.gateway_changed")
                await transcript.until("ada", "contact.channel_switched")
                shown = await until_on(page, "chat")
                assert (shown.request_id, shown.state, shown.channels, shown.switches_to) == (
                    contact_id,
                    RequestPhase.CONNECTED,
                    (),
                    None,
                )

            view = await admin.ok("GET", f"/v1/contacts/{contact_id}")
            assert (view["channel"], view["agent_id"], view["assignment_id"]) == ("chat", "ada", f"{contact_id}.1")
            assert (view["gateway_id"], view["state"]) == ("web", "assigned")
            assert (await admin.ok("GET", "/v1/agents/ada"))["units_used"] == 40, "the capacity is that of the chat"
            assert (await of_sms.call("GET", f"/v1/contacts/{contact_id}")).code == "unknown_contact"
            assert [work.channel for work in ada.state.assignments.values()] == ["chat"]
            assert contact_id not in sms_gateway.contacts.by_id
            async with the_gateway(router, "web") as fresh, the_gateway(router, "sms") as other:
                assert fresh.contacts.by_id == web_gateway.contacts.by_id != {}
                assert other.contacts.by_id == sms_gateway.contacts.by_id == {}

            await of_web.ok("POST", f"/v1/contacts/{contact_id}/end", {"reason": "customer_left"})
            await transcript.until("web", "contact.ended")
            transcript.end()
            assert transcript.heard["sms"] == [
                *("contact.queued", "offer.made", "offer.accepted", "request.token_changed"),
                *("contact.channel_requested", "contact.channel_switched", "contact.gateway_changed"),
            ]
            assert transcript.heard["web"] == ["contact.channel_requested", "contact.gateway_changed", "contact.ended"]
            assert transcript.heard["bob"][-1:] != ["offer.made"], "the same agent goes on"
            of_ada = [tag for tag in transcript.heard["ada"] if tag.startswith(("contact", "offer"))]
            assert of_ada == [
                *("offer.made", "offer.accepted", "contact.channel_requested", "contact.channel_switched", "contact.ended")
            ]


async def until_on(page: CustomerClient, channel: str) -> RequestView:
    """Return the first view of a customer's socket on a channel."""
    if page.request is not None and page.request.channel == channel:
        return page.request
    async for view in page.states():
        if view.channel == channel:
            return view
    raise AssertionError("the socket has ended")


async def test_an_sms_that_waits_becomes_a_chat_at_its_place_and_survives_a_crash(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "sms") as of_sms:
        first, contact_id, last = [await sms(of_sms, "card") for _ in range(3)]
        link = await of_sms.ok("POST", f"/v1/contacts/{contact_id}/link")
    router.kill()
    router.start()
    async with Api(router) as admin, of_customer(router, link["token"]) as customer, Api(router, "gateway", "web") as of_web:
        got = await customer.ok("POST", f"/v1/requests/{contact_id}/channel", {"channel": "chat"})
        assert (got["state"], got["channel"], got["position"], got.get("channels")) == ("waiting", "chat", 2, None)
    router.kill()
    router.start()
    async with Api(router) as admin, of_customer(router, link["token"]) as customer, Api(router, "gateway", "web") as of_web:
        assert (await customer.ok("GET", f"/v1/requests/{contact_id}"))["channel"] == "chat"
        view = await of_web.ok("GET", f"/v1/contacts/{contact_id}")
        assert (view["state"], view["position"], view["gateway_id"]) == ("queued", 2, "web")
        assert [(await admin.ok("GET", f"/v1/contacts/{name}"))["position"] for name in (first, last)] == [1, 3]


async def test_no_link_where_no_rule_offers_anything_and_a_new_link_ends_the_former_one(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, **FAST).start()
    async with Api(router, "gateway", "sms") as of_sms, Api(router, "gateway", "web") as of_web:
        loan, card = await sms(of_sms, "loan"), await sms(of_sms, "card")
        refused = await of_sms.call("POST", f"/v1/contacts/{loan}/link")
        assert (refused.status, refused.code, refused.json["field"]) == (409, "channel_not_possible", "contact_id")
        assert (await of_web.call("POST", f"/v1/contacts/{card}/link")).code == "unknown_contact"
        tokens = [(await of_sms.ok("POST", f"/v1/contacts/{card}/link"))["token"] for _ in range(2)]
        statuses = []
        for token in tokens:
            async with of_customer(router, token) as customer:
                statuses.append((await customer.call("GET", f"/v1/requests/{card}")).status)
                assert (await customer.call("POST", f"/v1/requests/{loan}/channel", {"channel": "chat"})).status in (401, 404)
                assert (await customer.call("POST", f"/v1/contacts/{card}/link")).status in (401, 403)
        assert statuses == [401, 200]


async def test_a_chat_that_cannot_be_connected_leaves_the_sms_with_its_gateway(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, **FAST).start()
    async with (
        Api(router) as admin,
        Api(router, "gateway", "sms") as of_sms,
        Api(router, "gateway", "web") as of_web,
        the_gateway(router, "sms") as sms_gateway,
        the_gateway(router, "web") as web_gateway,
        asyncio.timeout(60),
    ):
        await admin.ok("PUT", "/v1/agents/ada", {})
        async with the_desktop(router, "ada") as ada:
            await ada.ready()
            contact_id = await sms(of_sms, "card")
            offer = await anext(event async for event in ada.events() if isinstance(event, e.OfferMade))
            await ada.accept(offer.offer_id)
            token = (await of_sms.ok("POST", f"/v1/contacts/{contact_id}/link"))["token"]
            async with of_customer(router, token) as customer:
                await customer.ok("POST", f"/v1/requests/{contact_id}/channel", {"channel": "chat"})
                asked = await anext(event async for event in web_gateway.events() if isinstance(event, e.ContactChannelRequested))
                assert (asked.contact_id, asked.to_gateway_id) == (contact_id, "web")
                await of_web.ok("POST", f"/v1/contacts/{contact_id}/channel/result", {"outcome": "failed"})
                for gateway in (sms_gateway, web_gateway):
                    failed = await anext(event async for event in gateway.events() if isinstance(event, e.ContactChannelFailed))
                    assert failed.reason == "failed"
                seen = await customer.ok("GET", f"/v1/requests/{contact_id}")
                assert (seen["channel"], seen["channels"], "switches_to" in seen) == ("sms", ["chat"], False)
        assert contact_id in sms_gateway.contacts.by_id and web_gateway.contacts.by_id == {}
        assert (await of_web.call("GET", f"/v1/contacts/{contact_id}")).code == "unknown_contact"


@pytest.mark.parametrize("gateway", ["pbx", "web"])
async def test_only_the_gateway_of_the_new_channel_resumes_a_contact_of_another_one(make_router: MakeRouter, gateway: str) -> None:
    router = make_router(policy=POLICY, **FAST).start()
    async with Api(router, "gateway", "sms") as of_sms, Api(router, "gateway", gateway) as other:
        contact_id = await sms(of_sms, "card")
        await of_sms.ok("POST", f"/v1/contacts/{contact_id}/suspend", {})
        got = await other.call("POST", f"/v1/contacts/{contact_id}/resume", {"channel": "voice", "reference": "call-9"})
        if gateway == "web":
            assert got.code == "unknown_contact"
            return
        assert got.status == 200 and got.json["state"] == "queued"
        view = await other.ok("GET", f"/v1/contacts/{contact_id}")
        assert (view["channel"], view["gateway_id"], view["reference"]) == ("voice", "pbx", "call-9")
