"""Edge cases of customers, from outside: who is whose customer, what an erasure reaches, and what a crash leaves.

Numbered as in the design of the customer context; those of suspended and switched contacts are in ``test_continuity.py``.
"""

import asyncio
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from router.client import DesktopClient
from router.context.cards import CardStatus
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.metrics import metric_value
from tests.support.router_process import RouterProcess

PATIENCE_S = 30
POLICY = """\
channels:
  voice: {wrap_up_s: 60, offer_timeout_s: 60}
facts:
  failed: {type: int, applies_to: customer, refresh_while_waiting: true,
           derive: {count: {type: payment, result: failed}, within_s: 300}}
queues:
  support: {cool_down_s: 0}
"""
NUMBER = {"type": "phone", "value": "+49 1511 2345678"}
"""Caller id, which is asserted: it can be forged."""
DEVICE = {"type": "device", "value": "tablet-1"}
WAITS: dict[str, Any] = {"policy": POLICY, "context__submit_wait_ms_max": 5_000}
"""A slow disk of the test's machine takes no customer away."""


def user(number: int) -> dict[str, Any]:
    return {"type": "app_user", "value": f"user-{number}", "assurance": "verified"}


@asynccontextmanager
async def apis(router: RouterProcess) -> AsyncIterator[tuple[Api, Api]]:
    """A gateway and an administrator."""
    async with asyncio.timeout(PATIENCE_S), Api(router, "gateway", "web") as web, Api(router) as admin:
        yield web, admin


async def resolve(web: Api, *identities: dict[str, Any], **members: Any) -> dict[str, Any]:
    return dict(await web.ok("POST", "/v1/customers/resolve", {"identities": list(identities), **members}))


async def submit(web: Api, *identities: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Submit a contact of a customer and return the contact."""
    contact_id = (await web.submit(customer={"identities": list(identities)}, **members))["contact_id"]
    return dict(await web.ok("GET", f"/v1/contacts/{contact_id}"))


async def append(web: Api, *steps: dict[str, Any]) -> dict[str, Any]:
    return dict(await web.ok("POST", "/v1/journey", {"steps": list(steps)}))


async def journey(web: Api, customer_id: str) -> list[str]:
    """The names of the steps of a customer, oldest first."""
    found = await web.ok("GET", f"/v1/customers/{customer_id}/journey?limit=200")
    return [step["name"] for step in found["steps"]]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (state of a client)
            await asyncio.sleep(0.01)


async def take(admin: Api, ada: Api, *identities: dict[str, Any]) -> str:
    """Submit a contact of a customer and let the agent accept it; return its id."""
    await admin.ok("PUT", "/v1/agents/ada", {})
    await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
    contact_id = str((await submit(admin, *identities))["contact_id"])
    [offer] = (await admin.ok("GET", "/v1/agents/ada"))["offers"]
    await ada.ok("POST", f"/v1/offers/{offer['offer_id']}/accept")
    return contact_id


async def test_edge_case_01_household_number(make_router: MakeRouter) -> None:
    """Two people with one number: both are shown as candidates, nothing is merged, and the agent says who it is."""
    router = make_router(**WAITS, context__sensitive_fields="[name]", context__agents_confirm_merges=True).start()
    async with apis(router) as (web, admin), Api(router, "agent", "ada") as ada:
        ann, bob = [(await resolve(web, user(number), NUMBER))["customer_id"] for number in (1, 2)]
        assert ann != bob
        for one, other in ((ann, bob), (bob, ann)):
            view = await web.ok("GET", f"/v1/customers/{one}")
            assert view["candidates"] == [{"customer_id": other, "identity_type": "phone"}]
            assert view.get("merged_into") is None
        await admin.ok("PATCH", f"/v1/customers/{ann}", {"name": "Ann"})
        contact_id = await take(admin, ada, NUMBER)
        path = f"/v1/contacts/{contact_id}"
        card = await ada.card(contact_id)
        assert (card["customer"]["customer_id"], card["assurance"], card["hidden"]) == (ann, "asserted", ["name"])
        assert [one["customer_id"] for one in card["customer"]["candidates"]] == [bob]
        # It is Bob, or a person not known yet: neither may see what is Ann's, nor becomes Ann.
        for number, word in ((2, bob), (9, "app_user")):
            refused = await ada.call("POST", f"{path}/verify", {"identity": user(number), "method": "security_questions"})
            assert (refused.status, refused.code) == (409, "identity_conflict") and word in refused.json["detail"]
        card = await ada.card(contact_id)
        assert (card["assurance"], card["hidden"], card["customer"].get("name")) == ("asserted", ["name"], None)
        await ada.ok("POST", f"{path}/verify", {"identity": user(1), "method": "security_questions"})
        card = await ada.card(contact_id)
        assert (card["assurance"], card.get("hidden"), card["customer"]["name"]) == ("verified", None, "Ann")
        for one in (ann, bob):
            assert (await web.ok("GET", f"/v1/customers/{one}")).get("merged_into") is None


async def test_edge_case_02_second_login_on_a_tablet(make_router: MakeRouter) -> None:
    """The device moves with the login; of what was done on it, only what came after the logout is the second person's."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, _):
        ann = (await resolve(web, user(1), DEVICE))["customer_id"]
        await append(web, {"identity": DEVICE, "type": "page", "name": "of-ann"})
        await append(web, {"identity": DEVICE, "type": "logout", "name": "ann-leaves"})
        await append(web, {"identity": DEVICE, "type": "page", "name": "between"})
        bob = (await resolve(web, user(2), DEVICE))["customer_id"]
        await append(web, {"identity": DEVICE, "type": "page", "name": "of-bob"})
        assert await journey(web, ann) == ["of-ann", "ann-leaves"]
        assert await journey(web, bob) == ["between", "of-bob"]
        assert (await resolve(web, DEVICE))["customer_id"] == bob
        assert (await submit(web, user(1)))["customer_id"] == ann, "nothing else of the first person has moved"


async def test_edge_case_03_login_while_a_contact_waits(make_router: MakeRouter) -> None:
    """The contact is that of the person who has logged in; its facts follow, its place stays."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, _):
        await append(web, *[{"identity": user(1), "type": "payment", "result": "failed"}] * 3)
        known = (await resolve(web, user(1)))["customer_id"]
        first, waiting, last = [await submit(web, one) for one in (NUMBER, DEVICE, NUMBER)]
        assert waiting["customer_facts"] == {"failed": 0}
        merged = await resolve(web, user(1), DEVICE)
        assert (merged["customer_id"], merged["merged"]) == (known, [waiting["customer_id"]])
        path = f"/v1/contacts/{waiting['contact_id']}"
        for _ in range(500):
            now = await web.ok("GET", path)
            if now["customer_facts"] == {"failed": 3}:
                break
            await asyncio.sleep(0.02)
        assert now["customer_facts"] == {"failed": 3}
        assert (now["queue_id"], now["queued_at_ms"], now["position"]) == ("support", waiting["queued_at_ms"], 2)
        assert [(await web.ok("GET", f"/v1/contacts/{one['contact_id']}"))["position"] for one in (first, last)] == [1, 3]
        assert (await web.card(waiting["contact_id"]))["customer"]["customer_id"] == known


async def test_edge_case_04_a_placeholder_for_a_user(make_router: MakeRouter) -> None:
    """``null`` is refused by its field; steps and contacts of the anonymous id are kept."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, _):
        placeholder = {"type": "app_user", "value": "null", "assurance": "verified"}
        receipt = await append(web, {"identity": placeholder, "type": "page"}, {"identity": DEVICE, "type": "page", "name": "kept"})
        assert receipt["accepted"] == 1
        assert [(one["index"], one["field"]) for one in receipt["rejected"]] == [(0, "identity.value")]
        refused = await web.call("POST", "/v1/customers/resolve", {"identities": [DEVICE, placeholder]})
        assert (refused.status, refused.json["field"]) == (422, "identities[1].value")
        contact = await submit(web, placeholder, DEVICE)
        assert await journey(web, contact["customer_id"]) == ["kept"]
        assert (await web.ok("GET", f"/v1/customers/{contact['customer_id']}"))["is_anonymous"] is True


async def test_edge_case_05_caller_id_withheld(make_router: MakeRouter) -> None:
    router = make_router(**WAITS).start()
    async with apis(router) as (web, _):
        for value in ("anonymous", "Anonymous", "withheld", "private", "unavailable", "restricted"):
            contact = await submit(web, {"type": "phone", "value": value})
            assert (contact["state"], contact.get("customer_id")) == ("queued", None)
            assert await web.card(contact["contact_id"]) == {"status": "none"}


async def test_edge_case_06_caller_id_forged(make_router: MakeRouter) -> None:
    """A caller id selects, but shows nothing sensitive and merges nothing."""
    router = make_router(**WAITS, context__sensitive_fields="[name]", context__sensitive_step_types="[payment]").start()
    async with apis(router) as (web, _):
        victim = (await resolve(web, user(1), NUMBER))["customer_id"]
        await web.ok("PATCH", f"/v1/customers/{victim}", {"name": "Ann", "tier": "gold"})
        await append(web, {"identity": user(1), "type": "payment", "name": "p"}, {"identity": user(1), "type": "page", "name": "q"})
        contact = await submit(web, NUMBER)
        card = await web.card(contact["contact_id"])
        assert (card["assurance"], card["hidden"]) == ("asserted", ["name", "payment"])
        assert (card["customer"].get("name"), card["customer"]["tier"]) == (None, "gold")
        assert [step["name"] for step in card["steps"]] == ["q"]
        other = await resolve(web, user(2), NUMBER)
        assert other["customer_id"] != victim and other["merged"] == []
        assert [one["kind"] for one in other["conflicts"]] == ["shared_address"]
        # One that a visitor typed does not even select, in no operation.
        claimed = {"type": "app_user", "value": "user-1", "assurance": "claimed"}
        receipt = await append(web, {"identity": claimed, "type": "page", "name": "of-a-stranger"})
        assert (receipt["accepted"], receipt["rejected"][0]["field"]) == (0, "identity.assurance")
        receipt = await append(web, {"identity": claimed | {"value": "new"}, "type": "page"})
        assert (receipt["accepted"], receipt["rejected"][0]["field"]) == (0, "identity.assurance")
        attached = await web.call("POST", f"/v1/customers/{victim}/identities", claimed | {"value": "user-7"})
        assert (attached.status, attached.json["field"]) == (422, "assurance")
        assert "of-a-stranger" not in await journey(web, victim)


async def test_edge_case_07_steps_before_the_first_login(make_router: MakeRouter) -> None:
    """They are the person's from the login on, and count in windows by their own time."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, _):
        now_ms = int(time.time() * 1000)
        steps = [
            {"identity": DEVICE, "type": "payment", "result": "failed", "name": f"{age_s}-ago", "at_ms": now_ms - age_s * 1000}
            for age_s in (10, 400, 100)
        ]
        await append(web, *steps)
        person = await resolve(web, user(1), DEVICE)
        assert await journey(web, person["customer_id"]) == ["400-ago", "100-ago", "10-ago"]
        contact = await submit(web, user(1))
        assert contact["customer_facts"] == {"failed": 2}


async def test_edge_case_08_a_step_from_yesterday(make_router: MakeRouter) -> None:
    """It is stored and sorted in; windows that have passed do not count it."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, _):
        failed = {"identity": user(1), "type": "payment", "result": "failed"}
        await append(web, {**failed, "name": "now"})
        waiting = await submit(web, user(1))
        assert waiting["customer_facts"] == {"failed": 1}
        yesterday_ms = int((time.time() - 24 * 3600) * 1000)
        receipt = await append(web, {**failed, "name": "yesterday", "at_ms": yesterday_ms})
        assert receipt["accepted"] == 1
        assert await journey(web, waiting["customer_id"]) == ["yesterday", "now"]
        assert (await submit(web, user(1)))["customer_facts"] == {"failed": 1}
        await asyncio.sleep(0.3)  # A refresh of the waiting contact would be due.
        assert (await web.ok("GET", f"/v1/contacts/{waiting['contact_id']}"))["customer_facts"] == {"failed": 1}


async def test_edge_case_09_a_batch_sent_again(make_router: MakeRouter) -> None:
    """It counts once: at once, after a kill, after a login that gave the device to another member, and days late."""
    router = make_router(**WAITS).start()
    now_ms = int(time.time() * 1000)
    steps = [
        {"id": f"s-{age_s}", "identity": DEVICE, "type": "payment", "result": "failed", "name": "x", "at_ms": now_ms - age_s * 1000}
        for age_s in (1, 2, 3 * 24 * 3600)
    ]
    async with apis(router) as (web, _):
        assert (await append(web, *steps))["accepted"] == 3
        again = await append(web, *steps)
        assert (again["accepted"], again["repeated"]) == (0, 3)
        person = await resolve(web, user(1), DEVICE)
        again = await append(web, *reversed(steps))
        assert (again["accepted"], again["repeated"]) == (0, 3)
    router.kill()
    router.start()
    async with apis(router) as (web, _):
        again = await append(web, *steps)
        assert (again["accepted"], again["repeated"]) == (0, 3)
        assert len(await journey(web, person["customer_id"])) == 3
        assert (await submit(web, user(1)))["customer_facts"] == {"failed": 2}


async def test_edge_case_10_a_step_for_the_id_of_a_merged_customer(make_router: MakeRouter) -> None:
    """It goes to the winner, and with the loser when the merge is undone."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin):
        winner, loser = [(await resolve(web, one))["customer_id"] for one in (user(1), NUMBER)]
        merged = await admin.ok("POST", f"/v1/customers/{winner}/merge", {"from": loser, "reason": "same_person"})
        assert merged["merged_customer_id"] == loser
        failed = {"type": "payment", "result": "failed", "name": "late"}
        assert (await append(web, {"customer_id": loser, **failed}))["accepted"] == 1
        assert await journey(web, winner) == await journey(web, loser) == ["late"]
        assert (await submit(web, user(1)))["customer_facts"] == {"failed": 1}
        await admin.ok("POST", f"/v1/merges/{merged['merge_id']}/undo", {})
        assert (await journey(web, winner), await journey(web, loser)) == ([], ["late"])
        assert (await submit(web, user(1)))["customer_facts"] == {"failed": 0}


async def test_edge_case_11_erasure_while_an_offer_rings(make_router: MakeRouter) -> None:
    """The offer stays, its card is replaced, and the desktop is told."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin):
        await admin.ok("PUT", "/v1/agents/ada", {})
        async with DesktopClient(router.url.replace("http", "ws"), router.token("agent", "ada")) as ada:
            await ada.ready()
            contact = await submit(web, user(1), context={"summary": "wants to refinance"})
            contact_id = contact["contact_id"]
            await until(lambda: contact_id in ada.cards and ada.cards[contact_id].now is not None)
            await until(lambda: ada.cards[contact_id].status is CardStatus.COMPLETE)
            assert (await admin.ok("DELETE", f"/v1/customers/{contact['customer_id']}"))["state"] == "erased"
            await until(lambda: ada.cards[contact_id].status is CardStatus.ERASED)
            assert ada.cards[contact_id].now is None and ada.cards[contact_id].customer is None
            [offer_id] = ada.state.offers
            await ada.accept(offer_id)
            assert (await web.ok("GET", f"/v1/contacts/{contact_id}"))["state"] == "assigned"


async def test_edge_case_12_a_late_step_after_an_erasure(make_router: MakeRouter) -> None:
    """It is answered 202, counted, and does not bring the customer back."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin):
        step = {"identity": user(1), "type": "page", "name": "late", "at_ms": int(time.time() * 1000) - 1_000}
        customer_id = (await resolve(web, user(1)))["customer_id"]
        await admin.ok("DELETE", f"/v1/customers/{customer_id}")
        got = await web.call("POST", "/v1/journey", {"steps": [step, {**step, "identity": None, "customer_id": customer_id}]})
        assert (got.status, got.json["accepted"], got.json["dropped"]) == (202, 0, 2)
        assert await metric_value(router, "router_context_steps_total", result="dropped") == 2
        assert (await resolve(web, user(1), create=False))["customer_id"] is None
        # A contact is a new beginning, but what was done before stays away from it.
        new = await submit(web, user(1))
        assert new["customer_id"] not in (None, customer_id)
        assert (await append(web, step))["dropped"] == 1
        assert await journey(web, new["customer_id"]) == []
    router.kill()
    router.start()
    async with apis(router) as (web, _):
        assert (await append(web, step))["dropped"] == 1


async def test_edge_case_13_merge_into_an_erased_customer(make_router: MakeRouter) -> None:
    """Refused in either direction, at once and after a kill; the other customer stays as they were."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin):
        erased, other = [(await resolve(web, one))["customer_id"] for one in (user(1), NUMBER)]
        await append(web, {"customer_id": other, "type": "page", "name": "kept"})
        await admin.ok("DELETE", f"/v1/customers/{erased}")
    for _ in range(2):
        async with apis(router) as (web, admin):
            for into, merged in ((erased, other), (other, erased)):
                got = await admin.call("POST", f"/v1/customers/{into}/merge", {"from": merged, "reason": "same_person"})
                assert (got.status, got.code) == (409, "merge_refused") and "was erased" in got.json["detail"]
            unknown = await admin.call("POST", f"/v1/customers/{other}/merge", {"from": "c_" + "0" * 32, "reason": "same_person"})
            assert (unknown.status, unknown.code) == (404, "unknown_customer")
            view = await web.ok("GET", f"/v1/customers/{other}")
            assert (view.get("merged_into"), view.get("members", [])) == (None, []) and await journey(web, other) == ["kept"]
        router.kill()
        router.start()


async def test_edge_case_14_erasure_of_a_winner(make_router: MakeRouter) -> None:
    """It reaches all members; one that is to stay is separated before."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin):
        first, second, third = [(await resolve(web, one))["customer_id"] for one in (user(1), NUMBER, DEVICE)]
        path = f"/v1/customers/{first}/merge"
        merges = [await admin.ok("POST", path, {"from": other, "reason": "same_person"}) for other in (second, third)]
        contact = await submit(web, NUMBER, reference="call-1")
        await admin.ok("POST", f"/v1/merges/{merges[1]['merge_id']}/undo", {})
        assert (await admin.ok("DELETE", f"/v1/customers/{second}"))["state"] == "erased", "by the id of any member"
        for erased in (first, second):
            got = await web.call("GET", f"/v1/customers/{erased}")
            assert (got.status, got.code) == (410, "customer_erased")
        assert (await web.ok("GET", f"/v1/customers/{third}"))["customer_id"] == third
        assert (await web.ok("GET", f"/v1/contacts/{contact['contact_id']}")).get("reference") is None


async def test_edge_case_15_power_loss_between_key_and_data(make_router: MakeRouter) -> None:
    """The key is deleted, the data is not: the next start deletes it before anything is served."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, _):
        erased, kept = [(await resolve(web, user(number), DEVICE))["customer_id"] for number in (1, 2)]
        await append(web, {"customer_id": erased, "type": "page", "name": "x"}, {"customer_id": kept, "type": "page", "name": "y"})
    router.kill()
    directory = Path(router.settings.journal.path).parent / "context"
    with sqlite3.connect(directory / "context.db") as data, sqlite3.connect(directory / "context-keys.db") as keys:
        [(row,)] = data.execute("SELECT row FROM customer WHERE customer_id = ?", (bytes.fromhex(erased[2:]),)).fetchall()
        keys.execute("DELETE FROM customer_key WHERE row = ?", (row,))
        keys.execute("INSERT INTO deleted_key VALUES (?)", (row,))
    data.close()
    keys.close()
    router.start()
    async with apis(router) as (web, _):
        got = await web.call("GET", f"/v1/customers/{erased}")
        assert (got.status, got.code) == (410, "customer_erased")
        assert await journey(web, kept) == ["y"]
    router.kill()
    with sqlite3.connect(directory / "context.db") as data:
        for table in ("customer", "identity", "tail", "journey"):
            assert data.execute(f"SELECT count(*) FROM {table} WHERE row = ?", (row,)).fetchall() == [(0,)], table
    data.close()


async def test_edge_case_16_a_crash_before_the_new_customer_is_durable(make_router: MakeRouter) -> None:
    """The journal has an id that leads nowhere: the contact goes on without a card, and the retry makes a new customer."""
    router = make_router(**WAITS).start()
    context = Path(router.settings.journal.path).parent / "context"
    async with apis(router) as (web, _):
        await resolve(web, user(9))
    router.stop()
    shutil.copytree(context, router.directory / "before")
    router.start()
    body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [user(1)]}, "context": {"summary": "s"}}
    async with apis(router) as (web, _):
        lost = await web.ok("POST", "/v1/contacts", body, **{"Idempotency-Key": "once"})
        lost_id = (await web.ok("GET", f"/v1/contacts/{lost['contact_id']}"))["customer_id"]
    router.kill()
    # The journal was committed and the context was not.
    shutil.rmtree(context)
    shutil.copytree(router.directory / "before", context)
    router.start()
    async with apis(router) as (web, _):
        contact = await web.ok("GET", f"/v1/contacts/{lost['contact_id']}")
        assert (contact["state"], contact["customer_id"]) == ("queued", lost_id)
        assert await web.card(lost["contact_id"]) == {"status": "none"}
        got = await web.call("GET", f"/v1/customers/{lost_id}")
        assert (got.status, got.code) == (404, "unknown_customer")
        retried = await web.ok("POST", "/v1/contacts", body, **{"Idempotency-Key": "once"})
        assert retried == lost
        found = await resolve(web, user(1), create=False)
        assert found["customer_id"] not in (None, lost_id)
        assert (await submit(web, user(1)))["customer_id"] == found["customer_id"]


async def test_a_customer_is_gone_for_everyone_while_an_erasure_is_pending(make_router: MakeRouter) -> None:
    """Another process reads the key file, so that the key is not gone from the disk: nothing is acknowledged, nothing is shown."""
    router = make_router(**WAITS).start()
    keys = Path(router.settings.journal.path).parent / "context" / "context-keys.db"
    async with apis(router) as (web, admin):
        contact = await submit(web, user(1), reference="call-1", context={"summary": "secret"})
        customer_id = contact["customer_id"]
        reader = sqlite3.connect(keys)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM customer_key").fetchall()
        erasure = asyncio.create_task(admin.call("DELETE", f"/v1/customers/{customer_id}"))
        async with asyncio.timeout(30):
            while (await web.call("GET", f"/v1/customers/{customer_id}")).status == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await web.call("GET", f"/v1/customers/{customer_id}")).code == "customer_erased"
        assert await web.card(contact["contact_id"]) == {"status": "erased"}
        assert (await web.ok("GET", f"/v1/contacts/{contact['contact_id']}")).get("reference") is None
        again = await submit(web, user(1))
        assert (again["state"], again["customer_id"] != customer_id) == ("queued", True), "the contact is routed"
        assert (await append(web, {"customer_id": customer_id, "type": "page"}))["dropped"] == 1
        answer = await erasure
        assert (answer.status, answer.json["state"]) == (202, "pending")
        assert await metric_value(router, "router_context_erasures_pending") == 1
        reader.close()
        for _ in range(200):
            if await metric_value(router, "router_context_erasures_pending") == 0:
                break
            await asyncio.sleep(0.05)
        done = await admin.call("DELETE", f"/v1/customers/{customer_id}")
        assert (done.status, done.code) == (410, "customer_erased")


async def test_a_customer_whose_data_cannot_be_opened_is_routed_all_the_same(make_router: MakeRouter) -> None:
    router = make_router(**WAITS).start()
    async with apis(router) as (web, _):
        customer_id = (await resolve(web, user(1)))["customer_id"]
        await web.ok("PATCH", f"/v1/customers/{customer_id}", {"name": "Ann"})
    router.stop()
    with sqlite3.connect(Path(router.settings.journal.path).parent / "context" / "context.db") as data:
        data.execute("UPDATE customer SET profile = zeroblob(length(profile)) WHERE profile IS NOT NULL")
    data.close()
    router.start()
    async with apis(router) as (web, _):
        contact = await submit(web, user(1), context={"summary": "s"})
        assert (contact["state"], contact.get("customer_id")) == ("queued", None)
        assert await metric_value(router, "router_context_submits_total", result="failed") == 1
        assert (await submit(web, user(2)))["customer_id"].startswith("c_")
