"""Personal data by random strings, from outside: where it may be shown, that it is in no file, log, metric or error, and erased.

Every text that a client can send about a person is a random string. The files are searched as they are, also after a kill.
"""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_requests import FAST, WITH_REQUESTS
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

PATIENCE_S = 30


class Canaries:
    """Random strings by what they stand for."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def new(self, what: str, form: str = "canary-{}") -> str:
        self.texts[what] = form.format(secrets.token_hex(8))
        return self.texts[what]

    def number(self) -> str:
        """Return a German mobile number."""
        self.texts["number"] = f"1511{secrets.randbelow(9_000_000) + 1_000_000}"
        return f"+49 {self.texts['number']}"

    def found_in(self, content: bytes) -> list[str]:
        return [what for what, text in self.texts.items() if text.encode() in content]

    def found_in_files(self, directory: Path) -> list[tuple[str, str]]:
        return [
            (path.name, what)
            for path in sorted(directory.rglob("*"))
            if path.is_file()
            for what in self.found_in(path.read_bytes())
        ]


async def fill(router: RouterProcess, canaries: Canaries) -> tuple[str, str]:
    """Send every text about a person that there is; return the customer and a contact."""
    new = canaries.new
    async with Api(router, "gateway", "web") as web, Api(router) as admin:
        identities = [
            {"type": "app_user", "value": new("user"), "assurance": "verified"},
            {"type": "phone", "value": canaries.number()},
            {"type": "email", "value": new("mail", "canary-{}@example.com")},
            {"type": "device", "value": new("device")},
        ]
        contact = await web.submit(
            key=new("idempotency key"),
            reference=new("reference"),
            customer={"identities": identities},
            context={
                "screen": new("screen"),
                "intent": new("intent"),
                "summary": new("summary"),
                "data": {new("data key"): new("data value")},
            },
        )
        contact_id = contact["contact_id"]
        customer_id = (await web.ok("GET", f"/v1/contacts/{contact_id}"))["customer_id"]
        await admin.ok("PATCH", f"/v1/customers/{customer_id}", {"name": new("name", "Canary {}")})
        await admin.ok("POST", f"/v1/contacts/{contact_id}/notes", {"text": new("note")})
        step = {
            "id": new("step id"),
            "customer_id": customer_id,
            "type": "payment",
            "name": new("step name", "canary_{}"),
            "data": {"text": new("step text")},
            "refs": [{"kind": "recording", "ref": new("step ref"), "bytes": 9}],
        }
        answer = await web.ok("POST", "/v1/journey", {"steps": [step]})
        assert answer["accepted"] == 1, answer
        requested = {"channel": "voice", "queue_id": "support", "reference": new("reference of a request")}
        await web.ok("POST", "/v1/requests", {**requested, "customer": {"customer_id": customer_id}})
        for path, body in (
            ("/v1/contacts", {"channel": "voice", "queue_id": "support", "reference": new("wrong reference", "tel:{}")}),
            ("/v1/contacts", {"channel": new("wrong channel", "c{}"), "queue_id": "support"}),
            ("/v1/customers/resolve", {"identities": [{"type": "phone", "value": new("wrong number")}]}),
            ("/v1/journey", {"steps": [{"type": new("wrong type", "no type {}"), "customer_id": customer_id}]}),
        ):
            got = await web.call("POST", path, body)
            assert not canaries.found_in(got.body), (path, got)
    return customer_id, contact_id


async def metrics_of(router: RouterProcess) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(router.metrics_url) as response:
        return await response.read()


async def all_readable(router: RouterProcess, customer_id: str, contact_id: str) -> bytes:
    """Everything about the customer that anyone may read."""
    found: list[Any] = []
    async with Api(router) as admin:
        for method, path in (
            ("GET", "/v1/events?limit=1000"),
            ("GET", f"/v1/contacts/{contact_id}"),
            ("GET", "/v1/contacts"),
            ("GET", f"/v1/customers/{customer_id}"),
            ("GET", f"/v1/customers/{customer_id}/journey"),
            ("POST", f"/v1/customers/{customer_id}/export"),
        ):
            found.append((await admin.call(method, path, None if method == "GET" else {})).body)
    return b"\n".join(found)


async def test_nothing_about_a_person_is_in_a_file_a_log_a_metric_or_an_error(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    canaries = Canaries()
    async with asyncio.timeout(PATIENCE_S):
        customer_id, contact_id = await fill(router, canaries)
        exported = await all_readable(router, customer_id, contact_id)
        shown = set(canaries.found_in(exported))
        assert {"reference", "user", "number", "mail", "name", "note", "step text"} <= shown, "the search finds what is there"
        assert not canaries.found_in(await metrics_of(router))
    router.kill()
    assert canaries.found_in_files(router.directory) == []
    router.start()
    router.stop()
    assert canaries.found_in_files(router.directory) == [], "nor after an orderly stop, with a snapshot"
    assert not canaries.found_in("".join(router.log).encode())


async def test_an_erased_customer_is_shown_nowhere_also_after_a_kill(make_router: MakeRouter) -> None:
    for point in ("after the answer", "before the answer"):
        router = make_router(policy=WITH_REQUESTS, **FAST).start()
        canaries = Canaries()
        async with asyncio.timeout(PATIENCE_S), Api(router) as admin:
            customer_id, contact_id = await fill(router, canaries)
            if point == "after the answer":
                assert (await admin.ok("DELETE", f"/v1/customers/{customer_id}"))["state"] == "erased"
                assert not canaries.found_in(await all_readable(router, customer_id, contact_id))
            else:
                erasure = asyncio.create_task(admin.call("DELETE", f"/v1/customers/{customer_id}"))
                await asyncio.sleep(0.002)
                router.kill()
                await asyncio.gather(erasure, return_exceptions=True)
        router.kill()
        assert canaries.found_in_files(router.directory) == []
        router.start()
        async with asyncio.timeout(PATIENCE_S), Api(router) as admin:
            got = await admin.call("DELETE", f"/v1/customers/{customer_id}")
            assert got.status == 200 or got.code == "customer_erased", got
            assert not canaries.found_in(await all_readable(router, customer_id, contact_id))
            assert (await admin.ok("GET", f"/v1/contacts/{contact_id}"))["state"] == "queued"
        router.kill()
