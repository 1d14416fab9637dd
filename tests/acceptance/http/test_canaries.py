"""Personal data by random strings, from outside: where it may be shown, that it is in no file, log, metric or error, and erased.

Every text that a client can send about a person is a random string. The files are searched as they are, also after a kill.
"""

import asyncio
import secrets
import signal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from router.client import DesktopClient, GatewayClient, SupervisorClient
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_requests import FAST, WITH_REQUESTS
from tests.acceptance.sockets.test_isolation import everything_received
from tests.support.command_line import run_command
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


def spoiled(example: Any, canary: str) -> list[Any]:
    """Return copies of a body with one leaf each replaced by something with the canary in it, and with one more field."""
    forms: list[Any] = [canary, f"{canary}\n", f"+{canary}", [canary], {"text": canary}, canary * 300]
    if isinstance(example, dict):
        found = [{**example, "another": form} for form in forms[:1]]
        return found + [{**example, name: one} for name, value in example.items() for one in spoiled(value, canary)] + forms[:1]
    if isinstance(example, list):
        return [[one, *example[1:]] for one in spoiled(example[0] if example else "", canary)] + forms[:1]
    return forms


WITHOUT_PEOPLE = {"put_policy", "check_policy", "put_shadow", "try_policy", "issue_ws_ticket"}
WITHOUT_EXAMPLE = {"search_customers": {"name": "Ann", "identity": {"type": "phone", "value": "1"}}}


async def test_no_refusal_repeats_what_was_sent_about_a_person(make_router: MakeRouter) -> None:
    """Each field of each operation on customers, contacts and requests, replaced by a canary in several forms."""
    temporary = make_router().directory / "tmp"
    temporary.mkdir()
    router = make_router(policy=WITH_REQUESTS, **FAST, telemetry__log_level="debug", context__steps_burst=100_000)
    router.start(TMPDIR=str(temporary), PYTHONFAULTHANDLER="1")
    canary = f"Canary {secrets.token_hex(8)}"
    refused: dict[str, int] = {}
    async with asyncio.timeout(4 * PATIENCE_S), Api(router) as admin, Api(router, "gateway", "web") as web:
        identity = {"type": "app_user", "value": "user-7", "assurance": "verified"}
        customer_id = (await web.ok("POST", "/v1/customers/resolve", {"identities": [identity]}))["customer_id"]
        contact_id = (await web.submit(customer={"identities": [identity]}))["contact_id"]
        request = await web.ok(
            "POST", "/v1/requests", {"channel": "voice", "queue_id": "support", "customer": {"identities": [identity]}}
        )
        document = await admin.ok("GET", "/openapi.json")
        ids = {"customer_id": customer_id, "contact_id": contact_id, "request_id": request["request_id"]}
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if operation["operationId"] in WITHOUT_PEOPLE or "requestBody" not in operation:
                    continue
                content = operation["requestBody"]["content"]
                [media] = [name for name in content if name.endswith("json")][:1]
                example = next(iter(content[media].get("examples", {"": {"value": {}}}).values()))["value"]
                example = content[media].get("example", example) | WITHOUT_EXAMPLE.get(operation["operationId"], {})
                for body in spoiled(example, canary):
                    filled = path.format_map({**{one["name"]: "x" for one in operation["parameters"]}, **ids})
                    headers = {"Content-Type": media, "Idempotency-Key": f"{canary} {secrets.token_hex(8)}"}
                    got = await admin.call(method.upper(), filled, data=msgspec.json.encode(body), headers=headers)
                    assert got.status < 500, (operation["operationId"], body, got)
                    if got.status >= 400 or b'"rejected":[{' in got.body:
                        refused[operation["operationId"]] = refused.get(operation["operationId"], 0) + 1
                        assert canary.encode() not in got.body, (operation["operationId"], body, got)
        assert len(refused) >= 40, refused
        assert canary.encode() not in await metrics_of(router)
    router.signal(signal.SIGABRT)
    router.wait()
    assert any("Fatal Python error: Aborted" in line for line in router.log), "it has ended with a dump of its stacks"
    assert canary not in "".join(router.log)
    for directory in (router.directory, temporary):
        for path in directory.rglob("*"):
            assert not path.is_file() or canary.encode() not in path.read_bytes(), path.name
            assert not path.name.startswith("core")


async def test_no_foreign_socket_receives_what_is_about_a_person(make_router: MakeRouter) -> None:
    """The agent of the contact has the card; its gateway and supervisors the references; all others nothing."""
    named = "facts:\n  alias: {type: ident, applies_to: agent}\n"
    router = make_router(policy=WITH_REQUESTS.replace("facts:\n", named) + "  agent_name: alias\n", **FAST).start()
    canaries, url = Canaries(), router.url.replace("http", "ws")
    async with (
        asyncio.timeout(PATIENCE_S),
        Api(router) as admin,
        Api(router, "gateway", "app") as app,
        GatewayClient(url, router.token("gateway", "web")) as own_gateway,
        GatewayClient(url, router.token("gateway", "other")) as other_gateway,
        GatewayClient(url, router.token("gateway", "web", "other")) as other_workspace,
        SupervisorClient(url, router.token("supervisor", "eve")) as supervisor,
        aiohttp.ClientSession() as session,
    ):
        for name in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{name}", {"attributes": {"alias": f"alias-{name}"}})
        asked = await app.ok("POST", "/v1/requests", {"channel": "voice", "queue_id": "support"})
        async with (
            session.ws_connect(f"{router.url}/v1/customer", protocols=("router.v1+json",)) as customer,
            DesktopClient(url, router.token("agent", "ada")) as ada,
            DesktopClient(url, router.token("agent", "bob")) as bob,
        ):
            await customer.send_json({"type": "hello", "token": asked["token"]})
            frames: list[bytes] = []

            async def read() -> None:
                frames.extend([message.data.encode() async for message in customer])

            reading = asyncio.create_task(read())
            await ada.ready()
            customer_id, contact_id = await fill(router, canaries)
            await ada.accept(f"{contact_id}.1")
            await admin.ok("POST", "/v1/journey", {"steps": [{"customer_id": customer_id, "type": "page"}]})
            wanted = {"name", "note", "summary", "data value", "step text", "step ref"}
            # Changed cards are sent at most twice a second.
            while not wanted <= set(canaries.found_in(msgspec.json.encode(dict(ada.cards)))):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            seen = {
                "own gateway": await everything_received(own_gateway),
                "supervisor": await everything_received(supervisor),
                "other gateway": await everything_received(other_gateway),
                "other workspace": await everything_received(other_workspace),
                "other agent": await everything_received(bob),
            }
            await customer.close()
            await reading
        assert frames, "the customer is shown their own contact"
        seen["other customer"] = b"".join(frames)
        found = {who: set(canaries.found_in(content)) for who, content in seen.items()}
        references = {"reference", "reference of a request"}
        assert found.pop("own gateway") == references and found.pop("supervisor") == references
        assert not any(found.values()), found
        assert b"alias-" not in seen["other customer"], "nor the name of an agent of another contact"


async def test_no_command_line_and_no_backup_of_the_journal_shows_what_is_about_a_person(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    canaries, data = Canaries(), Path(router.settings.journal.path).parent
    backup = router.directory / "backup"
    async with asyncio.timeout(PATIENCE_S):
        await fill(router, canaries)

    def outputs() -> list[str]:
        wrong = canaries.new("wrong number on the command line")
        name = canaries.new("name in a file", "Canary {}")
        file = router.directory.parent / "import.ndjson"
        file.write_text(msgspec.json.encode({"name": name, "identities": [{"type": "phone", "value": wrong}]}).decode() + "\n")
        found = [
            run_command("customer", "--data", str(data), "--url", router.url, "search", "--identity", "phone", text=f"{wrong}\n"),
            run_command("customer", "--data", str(data), "--url", router.url, "import", str(file)),
            run_command("customer", "--data", str(data), "--url", router.url, "show", "c_" + "0" * 32),
            run_command("doctor", "--data", str(data), "--url", router.url, "--json"),
            run_command("backup", "--data", str(data), "--to", str(backup)),
        ]
        assert [one.exit_code for one in found[:3]] == [1, 1, 1], [one.output for one in found]
        assert found[-1].exit_code == 0, found[-1].output
        router.kill()
        found += [
            run_command("journal", "audit-personal", str(data / "journal.db"), "--json"),
            run_command("verify", str(data / "journal.db")),
        ]
        assert [one.exit_code for one in found[-2:]] == [0, 0], [one.output for one in found[-2:]]
        # The test shows what is typed behind the prompt.
        return [one.output.replace(f"Value: {wrong}", "") for one in found]

    shown = await asyncio.to_thread(outputs)
    assert not canaries.found_in("\n".join(shown).encode()), shown
    assert (backup / "journal.db").exists() and canaries.found_in_files(backup) == []
    assert not (backup / "hash-secrets.json").exists()
