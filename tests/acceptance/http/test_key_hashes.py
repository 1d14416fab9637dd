"""Idempotency keys in the journal: no one who has its files can try numbers, and a repetition is found all the same."""

from pathlib import Path
from typing import Any

from router.protocol.frames import ContactFields
from router.server.api.guards import hash_parts
from router.server.api.idempotency import fingerprint_of
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

KEY = "call-of-+4915112345678"
AS_BEFORE = (
    "-c",
    "import runpy; from router.server.auth.hash_secrets import HashSecrets; HashSecrets.hashed = lambda self, command: command; "
    "runpy.run_module('router', run_name='__main__')",
)
"""A router of the time before there were secrets."""


async def submit(web: Api, **fields: Any) -> tuple[int, Any, bool]:
    body = {"channel": "voice", "queue_id": "support", "reference": "4915112345678x", **fields}
    got = await web.call("POST", "/v1/contacts", body, headers={"Idempotency-Key": KEY})
    return got.status, got.json, "Idempotency-Replayed" in got.headers


def plain_hashes() -> list[bytes]:
    """What can be computed by those who try numbers."""
    fields = ContactFields(channel="voice", queue_id="support", reference="4915112345678x")
    return [hash_parts(b"gateway:web", KEY.encode()), fingerprint_of(fields)]


def found(router: RouterProcess) -> list[str]:
    contents = [path.read_bytes() for path in Path(router.settings.journal.path).parent.rglob("*") if path.is_file()]
    return [one.hex() for one in plain_hashes() if any(one in content for content in contents)]


async def test_a_key_is_found_after_a_kill_and_cannot_be_guessed_from_the_files(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "gateway", "web") as web:
        first = await submit(web)
        assert await submit(web) == (*first[:2], True)
        cancelled = await web.call("POST", f"/v1/contacts/{first[1]['contact_id']}/cancel", {}, headers={"Idempotency-Key": "c"})
    router.kill()
    assert found(router) == []
    router.start()
    async with Api(router, "gateway", "web") as web:
        assert await submit(web) == (*first[:2], True)
        again = await web.call("POST", f"/v1/contacts/{first[1]['contact_id']}/cancel", {}, headers={"Idempotency-Key": "c"})
        assert (again.json, again.headers["Idempotency-Replayed"]) == (cancelled.json, "true")
        assert (await submit(web, channel="chat"))[1]["code"] == "idempotency_key_reused"
    router.stop()
    assert found(router) == [], "nor in a snapshot"


async def test_a_key_from_before_there_were_secrets_is_found(make_router: MakeRouter) -> None:
    router = make_router()
    now, router.program = router.program, AS_BEFORE
    router.start()
    async with Api(router, "gateway", "web") as web:
        first = await submit(web)
    router.kill()
    assert len(found(router)) == 2, "the search finds them where they are"
    Path(router.settings.journal.path).with_name("hash-secrets.json").unlink()
    router.program = now
    router.start()
    async with Api(router, "gateway", "web") as web:
        assert await submit(web) == (*first[:2], True)
        assert (await submit(web, channel="chat"))[1]["code"] == "idempotency_key_reused"


async def test_a_lost_file_of_secrets_is_no_reason_not_to_start(make_router: MakeRouter) -> None:
    router = make_router().start()
    path = Path(router.settings.journal.path).with_name("hash-secrets.json")
    async with Api(router, "gateway", "web") as web:
        first = await submit(web)
    router.kill()
    path.unlink()
    router.start()
    async with Api(router, "gateway", "web") as web:
        status, receipt, is_repeated = await submit(web)
        assert (status, is_repeated) == (201, False) and receipt["contact_id"] != first[1]["contact_id"]
    router.kill()
    path.write_text("{}")
    router.spawn()
    assert router.wait() != 0
    assert any("is no file of secrets of hashes; restore it, or delete it" in line for line in router.log), router.log[-3:]
