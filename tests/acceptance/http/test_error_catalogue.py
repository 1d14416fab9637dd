"""The catalogue of errors: complete, explained by the router itself, and each code provoked from outside."""

import ast
import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from router.context.identities import Identity, normalise
from router.context.port import ContextStore
from router.engine.engine import Engine
from router.journal.memory import MemoryJournal
from router.model.commands import RemoveWorkspace
from router.model.errors import JournalUnavailable
from router.model.results import RefusalCode
from router.protocol.close_codes import CloseCode
from router.protocol.problem_types import PROBLEMS
from router.runtime.writer import Writer
from router.server.auth.credentials import Role, mint_token
from tests.support.in_process_router import InProcessRouter, running_router

SOURCES: Final = Path(__file__).parents[3] / "src" / "router"
# Functions whose first argument is a code.
RAISING: Final = frozenset({"ProblemError", "problem_reply", "error_frame"})
PATIENCE_S: Final = 120
YAML: Final = {"Content-Type": "application/yaml", "If-Match": "*"}
POLICY: Final = """\
skills: [english]
channels: {voice: {wrap_up_s: 30, wrap_up_max_s: 40}, chat: {participants_max: 1}, fax: {}, film: {units: 1000}}
queues:
  support: {callback: {schedule_max_s: 3600}}
  tiny: {length_max: 1}
  plain: {}
  absent: {when_no_agents_ready: refuse}
  talks: {}
  rings: {}
retention: {suspended_contacts_max: 1}
facts: {tier: {type: enum, values: [gold]}}
monitoring: {modes: [listen], monitors_max: 1}
"""
LIMITS: Final = {"server": {"body_timeout_s": 1, "answer_timeout_s": 1, "state_changes_burst": 1_000}}


def codes_in_sources() -> set[str]:
    """Every code that the program can answer with: refusals of the engine, and literals given to the functions that raise."""
    found = {code.name.lower() for code in RefusalCode}
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISING and node.args:
                found |= {
                    one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
    return found


def test_the_catalogue_has_every_code_that_the_program_can_produce_and_no_other() -> None:
    found = codes_in_sources()
    assert not found - PROBLEMS.keys(), "answered, but not in the catalogue"
    others = (path for path in SOURCES.rglob("*.py") if path.name != "problem_types.py")
    words = {word for path in others for word in re.findall(r'"([a-z_]+)"', path.read_text())}
    assert not PROBLEMS.keys() - found - words, "in the catalogue, but never answered"


def test_every_entry_says_what_it_means_and_what_to_do() -> None:
    for code, kind in PROBLEMS.items():
        assert kind.title and kind.meaning.endswith(".") and kind.action.endswith("."), code
        assert 400 <= kind.status < 600 and kind.applied in ("no", "unknown"), code


# Codes with several causes: the meaning of the code does not say which field or limit it is.
SPECIFIC: Final = frozenset({"rate_limited", "busy", "malformed", "invalid_value", "too_large", "unsupported_media_type"})


def test_every_answer_with_several_causes_says_which() -> None:
    silent = []
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if node.func.id in RAISING and node.args and isinstance(node.args[0], ast.Constant):
                says = len(node.args) > 1 or "detail" in given
                silent += [f"{path.name}:{node.lineno}"] if node.args[0].value in SPECIFIC and not says else []
            elif node.func.id == "Refused" and isinstance(code := given.get("code"), ast.Attribute):
                says = code.attr.lower() not in SPECIFIC or "detail" in given
                silent += [] if says else [f"{path.name}:{node.lineno}"]
    assert silent == []


def test_no_source_writes_a_path_with_a_dollar_sign() -> None:
    written = [path.name for path in SOURCES.rglob("*.py") if re.search(r'f?"\$[.\[]', path.read_text())]
    assert written == []


class Provoker:
    """Sends requests that must fail, and keeps the code of each answer."""

    def __init__(self, router: InProcessRouter, http: aiohttp.ClientSession) -> None:
        self._router, self._http = router, http
        self.seen: dict[str, dict[str, Any]] = {}

    async def call(
        self, method: str, path: str, body: Any = None, *, role: Role | None = Role.ADMIN, subject: str = "me", **options: Any
    ) -> tuple[int, Any]:
        """One request; the status and the decoded answer."""
        headers = dict(options.get("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self._router.token(subject, role)}"
        data = options.get("data")
        async with self._http.request(method, self._router.server.url + path, json=body, data=data, headers=headers) as got:
            answer = await got.json(content_type=None)
            if got.status >= 400:
                self._note(got.status, answer, got.headers.get("Content-Type", ""))
            return got.status, answer

    def _note(self, status: int, problem: dict[str, Any], content_type: str) -> None:
        code = problem["code"]
        assert content_type == "application/problem+json"
        assert problem["type"] == f"/docs/errors#{code}" and problem["status"] == status == PROBLEMS[code].status
        assert problem["action"] == PROBLEMS[code].action
        assert problem["detail"], code
        assert not problem.get("field", "a").startswith(("$", ".")), problem
        if code == "rate_limited":
            assert re.search(r"`(?:server|sockets|auth)\.[a-z_]+`", problem["detail"]), problem
        self.seen.setdefault(code, problem)

    async def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """One request that must succeed."""
        status, answer = await self.call(method, path, body, **options)
        assert status < 400, answer
        return answer

    async def fails(self, code: str, method: str, path: str, body: Any = None, *, field: str | None = None, **options: Any) -> None:
        """One request that must fail with this code and, if given, name this field and say what would be valid."""
        _, answer = await self.call(method, path, body, **options)
        assert answer["code"] == code, answer
        if field is not None:
            assert answer["field"] == field and answer["detail"], answer

    async def submit(self, role: Role = Role.ADMIN, **fields: Any) -> str:
        answer = await self.ok("POST", "/v1/contacts", {"channel": "voice", "queue_id": "plain", **fields}, role=role)
        return str(answer["contact_id"])

    async def taken(self, agent_id: str, **fields: Any) -> str:
        """Submit a contact that this agent accepts; return its id."""
        queue_id = fields.get("queue_id", "talks")
        await self.ok("PUT", f"/v1/agents/{agent_id}", {"queues": [queue_id]})
        contact_id = await self.submit(queue_id=queue_id, **{key: value for key, value in fields.items() if key != "queue_id"})
        await self.ok("POST", f"/v1/agents/{agent_id}/state", {"state": "ready"})
        await self.ok("POST", f"/v1/offers/{contact_id}.1/accept", role=Role.AGENT, subject=agent_id)
        return contact_id

    async def raw(self, *lines: str, wait_s: float = 5) -> None:
        """Send a head as it is, and keep the code of the answer."""
        address = self._router.server.url.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(address[0], int(address[1]))
        head = ("Host: a", f"Authorization: Bearer {self._router.token('me', Role.ADMIN)}")
        writer.write("\r\n".join((lines[0], *head, *lines[1:], "", "")).encode())
        async with asyncio.timeout(wait_s):
            answer = await reader.readuntil(b"}")
        writer.close()
        status = int(answer.split(b" ", 2)[1])
        self._note(status, msgspec.json.decode(answer.partition(b"\r\n\r\n")[2]), "application/problem+json")


@asynccontextmanager
async def provoking(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[InProcessRouter, Provoker]]:
    async with (
        running_router(tmp_path, agents=0, **settings) as router,
        aiohttp.ClientSession() as http,
        asyncio.timeout(PATIENCE_S),
    ):
        yield router, Provoker(router, http)


async def provoke_by_names(p: Provoker) -> None:
    await p.fails("unknown_contact", "GET", "/v1/contacts/none", field=None)
    await p.fails("unknown_record", "GET", "/v1/records/none")
    await p.fails("unknown_agent", "GET", "/v1/agents/none")
    await p.fails("unknown_queue", "GET", "/v1/queues/none", field="queue_id")
    await p.fails("unknown_offer", "POST", "/v1/offers/none.1/accept", role=Role.AGENT)
    await p.fails("unknown_assignment", "POST", "/v1/assignments/none.1/complete")
    await p.fails("unknown_channel", "POST", "/v1/contacts", {"channel": "pigeon"}, field="channel")
    await p.fails("unknown_skill", "PUT", "/v1/agents/a", {"skills": {"klingon": 1}}, field="skills.klingon")
    await p.fails("unknown_fact", "POST", "/v1/contacts", {"channel": "voice", "attributes": {"x": 1}}, field="attributes.x")
    await p.fails("unknown_goal", "POST", "/v1/contacts", {"channel": "voice", "goal": "none"}, field="goal")
    await p.fails("no_shadow_policy", "GET", "/v1/shadow")
    await p.fails("workspace_in_use", "DELETE", "/v1/workspaces/default", role=Role.OPERATOR, field="workspace")
    await p.fails("workspace_exists", "POST", "/v1/workspaces", {"name": "default"}, role=Role.OPERATOR, field="name")
    await p.fails("no_scheduled_policy", "GET", "/v1/policy/scheduled")
    await p.fails("not_found", "GET", "/v1/nothing")
    await p.fails("invalid_value", "POST", "/v1/contacts", {"channel": "voice", "ttl_s": 0}, field="ttl_s")
    await p.fails("no_matching_queue", "POST", "/v1/contacts", {"channel": "voice"}, field="queue_id")
    await p.fails("history_reset", "GET", "/v1/events?after=other:1")
    await p.fails("event_not_reached", "GET", "/v1/state?min_seq=999999")


async def provoke_by_requests(p: Provoker) -> None:
    json = {"Content-Type": "application/json"}
    await p.fails("malformed", "POST", "/v1/contacts", data=b"{", headers=json)
    await p.fails("too_large", "POST", "/v1/contacts", data=b" " * 300_000, headers=json)
    await p.fails("unsupported_media_type", "POST", "/v1/contacts", data=b"{}", headers={"Content-Type": "text/plain"})
    await p.fails("method_not_allowed", "DELETE", "/v1/contacts")
    await p.fails("upgrade_required", "GET", "/v1/supervisor")
    await p.fails("unauthenticated", "GET", "/v1/state", role=None)
    await p.fails("forbidden", "GET", "/v1/state", role=Role.GATEWAY)
    await p.raw("POST /v1/contacts HTTP/1.1", "Content-Type: application/json", "Content-Length: 2", "Expect: the-impossible")
    await p.raw("POST /v1/contacts HTTP/1.1", "Content-Type: application/json", "Content-Length: 2")
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
    await p.raw("GET /v1/supervisor HTTP/1.1", *upgrade, "Sec-WebSocket-Protocol: router.v1+json", "Origin: https://evil.example")


async def provoke_by_conditions(p: Provoker) -> None:
    contact_id = await p.submit()
    path = f"/v1/contacts/{contact_id}"
    await p.fails("precondition_failed", "PATCH", path, {"priority_s": 1}, headers={"If-Match": '"x"'}, field="If-Match")
    yaml = {"Content-Type": "application/yaml"}
    await p.fails("precondition_required", "PUT", "/v1/policy", data=POLICY, headers=yaml, field="If-Match")
    await p.fails(
        "policy_version_conflict", "PUT", "/v1/policy", data=POLICY, headers=yaml | {"If-Match": '"99"'}, field="If-Match"
    )
    await p.ok("PATCH", path, {"priority_s": 1}, headers={"Idempotency-Key": "k"})
    reused = {"Idempotency-Key": "k"}
    await p.fails("idempotency_key_reused", "PATCH", path, {"priority_s": 2}, headers=reused, field="Idempotency-Key")
    await p.fails("invalid_policy", "PUT", "/v1/policy", data="queues: {}", headers=YAML)
    without_plain = POLICY.replace("  plain: {}\n", "")
    await p.fails("drain_target_required", "PUT", "/v1/policy", data=without_plain, headers=YAML, field="drain_to.plain")
    fax = await p.submit(channel="fax")
    await p.fails(
        "channel_in_use", "PUT", "/v1/policy", data=POLICY.replace(", fax: {}", ""), headers=YAML, field="policy.channels.fax"
    )
    await p.ok("POST", f"/v1/contacts/{fax}/cancel", {})


async def provoke_by_admission(p: Provoker) -> None:
    await p.submit(queue_id="tiny")
    await p.fails("queue_full", "POST", "/v1/contacts", {"channel": "voice", "queue_id": "tiny"})
    await p.fails("no_agents_ready", "POST", "/v1/contacts", {"channel": "voice", "queue_id": "absent"})
    await p.ok("POST", "/v1/queues/plain/close", {})
    await p.fails("queue_closed", "POST", "/v1/contacts", {"channel": "voice", "queue_id": "plain"})
    await p.ok("POST", "/v1/queues/plain/open", {})
    waiting = await p.submit()
    await p.fails("callback_not_offered", "POST", f"/v1/contacts/{waiting}/callback", {})
    callback = await p.submit(queue_id="support")
    await p.fails("invalid_callback_time", "POST", f"/v1/contacts/{callback}/callback", {"at_ms": 1}, field="at_ms")
    await p.ok("POST", f"/v1/contacts/{callback}/callback", {})
    await p.fails("callback_exists", "POST", f"/v1/contacts/{callback}/callback", {"mode": "customer_first"})
    await p.ok("POST", f"/v1/contacts/{callback}/cancel", {})
    await p.fails("invalid_contact_state", "POST", f"/v1/contacts/{waiting}/park", {})
    await p.ok("POST", f"/v1/contacts/{waiting}/suspend", {})
    other = await p.submit()
    await p.fails("suspended_limit", "POST", f"/v1/contacts/{other}/suspend", {})
    await p.ok("POST", f"/v1/contacts/{waiting}/resume", {})
    for within_s in (1.5, 6, 24):  # A slow machine handles a request only when a short time has passed already.
        resume_by_s = time.time() + within_s
        status, _ = await p.call("POST", f"/v1/contacts/{other}/suspend", {"resume_by_ms": round(resume_by_s * 1000)})
        if status == 200:
            break
    await asyncio.sleep(max(0.0, resume_by_s + 0.2 - time.time()))
    await p.fails("resume_expired", "POST", f"/v1/contacts/{other}/resume", {})


async def provoke_by_work(p: Provoker) -> None:
    talk = await p.taken("ada", role=Role.GATEWAY)
    await p.fails("channel_not_possible", "POST", f"/v1/contacts/{talk}/channel", {"channel": "film"}, field="channel")
    ada: dict[str, Any] = {"role": Role.AGENT, "subject": "ada"}
    await p.fails("agent_busy", "DELETE", "/v1/agents/ada")
    await p.fails("monitoring_not_allowed", "POST", f"/v1/contacts/{talk}/monitor", {"mode": "whisper"}, field="mode")
    await p.ok("POST", f"/v1/contacts/{talk}/monitor", {"mode": "listen"})
    await p.fails(
        "monitor_limit_exceeded", "POST", f"/v1/contacts/{talk}/monitor", {"mode": "listen"}, subject="tom", field="contact_id"
    )
    await p.fails("invalid_consult_state", "POST", f"/v1/contacts/{talk}/consult/complete", **ada)
    await p.ok("PUT", "/v1/agents/bob", {"queues": ["plain"]})
    await p.fails("invalid_agent_state", "POST", f"/v1/contacts/{talk}/participants", {"agent_id": "bob"}, field=None)
    await p.fails("agent_unavailable", "POST", f"/v1/contacts/{talk}/consult", {"to_agent_id": "bob"}, **ada)
    await p.ok("POST", "/v1/agents/bob/state", {"state": "not_ready"})
    await p.fails("not_participant", "POST", f"/v1/contacts/{talk}/leave", {"agent_id": "bob"})
    await p.ok("POST", f"/v1/contacts/{talk}/participants", {"agent_id": "bob"})
    await p.fails("not_owner", "POST", f"/v1/contacts/{talk}/end", {}, role=Role.AGENT, subject="bob")
    await p.ok("POST", f"/v1/requests/{talk}/answer", {"ease": 2}, role=Role.GATEWAY)
    await p.fails("customer_has_answered", "POST", f"/v1/contacts/{talk}/goal", {"ease": 7}, field="ease", **ada)
    other = await p.submit(queue_id="talks")
    await p.fails("capacity_exceeded", "POST", f"/v1/contacts/{other}/assign", {"agent_id": "ada"})
    await p.ok("POST", f"/v1/contacts/{other}/cancel", {})
    work = f"/v1/assignments/{talk}.1"
    await p.fails("invalid_assignment_state", "POST", f"{work}/extend", {"extend_s": 5}, **ada)
    await p.ok("POST", f"/v1/contacts/{talk}/end", {}, **ada)
    await p.fails("wrap_up_limit_exceeded", "POST", f"{work}/extend", {"extend_s": 60}, field="extend_s", **ada)
    chat = await p.taken("cy", channel="chat", queue_id="talks")
    for number in range(2):
        await p.ok("PUT", f"/v1/agents/p{number}", {"queues": ["plain"]})
        await p.ok("POST", f"/v1/agents/p{number}/state", {"state": "not_ready"})
    await p.call("POST", f"/v1/contacts/{chat}/participants", {"agent_id": "p0"})
    await p.call("POST", f"/v1/contacts/{chat}/participants", {"agent_id": "p1"})
    offered = await p.submit(queue_id="rings")
    await p.ok("PUT", "/v1/agents/dan", {"queues": ["rings"]})
    await p.ok("POST", "/v1/agents/dan/state", {"state": "ready"})
    dan: dict[str, Any] = {"role": Role.AGENT, "subject": "dan"}
    await p.ok("POST", f"/v1/offers/{offered}.1/decline", {}, **dan)
    await p.fails("offer_not_pending", "POST", f"/v1/offers/{offered}.1/accept", **dan)


async def provoke_by_callbacks(p: Provoker) -> None:
    await p.ok("PUT", "/v1/agents/eve", {"queues": ["support"]})
    await p.ok("POST", "/v1/agents/eve/state", {"state": "ready"})
    called = await p.submit(queue_id="support", callback={})
    path = f"/v1/contacts/{called}/callback"
    offer = (await p.ok("GET", "/v1/agents/eve"))["offers"][0]
    await p.ok("POST", f"/v1/offers/{offer['offer_id']}/accept", role=Role.AGENT, subject="eve")
    await p.ok("POST", f"{path}/claim", {"claimant": "pod-1"})
    await p.fails("callback_claimed", "POST", f"{path}/claim", {"claimant": "pod-2"})


async def provoke_by_choices(p: Provoker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = await p.ok("POST", "/v1/requests", {"channel": "voice", "queue_id": "plain"})
    await p.fails("option_not_available", "POST", f"/v1/requests/{asked['request_id']}/choose", {"option": "fax"}, field="option")
    with monkeypatch.context() as patch:
        patch.setattr("router.engine.commands.requests.CHOOSING_MAX", 1)
        await p.fails("too_many_requests", "POST", "/v1/requests", {"channel": "voice", "queue_id": "plain"})


async def provoke_by_faults(router: InProcessRouter, p: Provoker, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("router.server.api.idempotency.new_contact_id", lambda: "twice")
        await p.submit()
        await p.fails("contact_exists", "POST", "/v1/contacts", {"channel": "voice", "queue_id": "plain"}, field="contact_id")
    with monkeypatch.context() as patch:

        def broken(self: Engine, **_: Any) -> None:
            raise RuntimeError("a fault of the test")

        patch.setattr(Engine, "diagnose_in_slices", broken)
        await p.fails("internal", "GET", "/v1/doctor")
    for _ in range(300):
        _, answer = await p.call("POST", "/v1/agents/ada/state", {"state": "ready"}, role=Role.AGENT, subject="ada")
        if answer.get("code") == "rate_limited":
            break
    readiness = router.services.readiness
    readiness.ready = False
    await p.fails("not_ready", "GET", "/readyz", role=None)
    readiness.ready, readiness.stopping = True, True
    await p.fails("stopping", "GET", "/readyz", role=None)
    readiness.stopping = False
    await provoke_by_a_removed_workspace(router, p)
    monkeypatch.setattr("router.server.api.workspaces.WORKSPACES_MAX", 1)
    await p.fails("no_more_workspaces", "POST", "/v1/workspaces", {"name": "branch"}, role=Role.OPERATOR)


async def test_every_code_is_provoked_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with provoking(tmp_path, **LIMITS) as (router, p):
        await p.ok("PUT", "/v1/policy", data=POLICY, headers={"If-Match": "*", **YAML})
        await provoke_by_names(p)
        await provoke_by_requests(p)
        await provoke_by_conditions(p)
        await provoke_by_admission(p)
        await provoke_by_work(p)
        await provoke_by_callbacks(p)
        await provoke_by_choices(p, monkeypatch)
        await provoke_by_faults(router, p, monkeypatch)
        page = await p._http.get(f"{router.server.url}/docs/errors")
        text = await page.text()
        for code in PROBLEMS:
            assert f"id='{code}'" in text
        for close in CloseCode:
            assert f"id='{close.value}'" in text
        seen = set(p.seen)
    seen |= await provoked_by_a_slow_journal(tmp_path, monkeypatch)
    seen |= await provoked_by_customers(tmp_path)
    assert seen == PROBLEMS.keys(), PROBLEMS.keys() ^ seen


async def provoke_by_a_removed_workspace(router: InProcessRouter, p: Provoker) -> None:
    """A command that comes when the workspace is removed, of a token that was accepted before."""
    await p.ok("POST", "/v1/workspaces", {"name": "closed"}, role=Role.OPERATOR)
    await router.do(RemoveWorkspace(removed_by="operator:olga"), "closed")
    router.services.authenticator.add_workspace("closed")
    token = mint_token(router.settings, subject="me", role=Role.ADMIN, workspace="closed", may_be_unlisted=True)
    await p.fails("workspace_removed", "PUT", "/v1/agents/ann", {}, role=None, headers={"Authorization": f"Bearer {token}"})


async def provoked_by_customers(tmp_path: Path) -> set[str]:
    """Codes of the operations on customers."""
    ids, unknown = [], "c_" + "0" * 32
    context = {"path": str(tmp_path / "context"), "master_key_path": str(tmp_path / "master.json")}
    async with provoking(tmp_path, context=context) as (router, p):
        for number in range(2):
            identity = {"type": "app_user", "value": f"user-{number}", "assurance": "verified"}
            ids.append((await p.ok("POST", "/v1/customers/resolve", {"identities": [identity]}))["customer_id"])
        one, other = (f"/v1/customers/{customer_id}" for customer_id in ids)
        await p.fails("unknown_customer", "GET", f"/v1/customers/{unknown}")
        await p.fails("unknown_identity", "DELETE", f"{one}/identities/999")
        await p.fails("unknown_merge", "POST", "/v1/merges/m_" + "0" * 32 + "/undo", {})
        await p.fails("merge_refused", "POST", f"{one}/merge", {"from": ids[0], "reason": "same"})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("router.context.service.REWRAP_PAUSE_S", 3_600.0)
            await p.ok("POST", "/v1/customer-keys/rotate", {})
            await p.fails("rotation_running", "POST", "/v1/customer-keys/rotate", {})
        await p.fails("unknown_proposal", "POST", "/v1/merge-proposals/p_" + "0" * 32 + "/confirm", {})
        by_phone = {"identities": [{"type": "phone", "value": "+4915112345678"}]}
        phone_id = (await p.ok("POST", "/v1/customers/resolve", by_phone))["customer_id"]
        proposal_id = await a_dismissed_proposal(router, phone_id)
        await p.fails("proposal_decided", "POST", f"/v1/merge-proposals/{proposal_id}/confirm", {})
        body = {"channel": "voice", "queue_id": "support", "customer": {"customer_id": ids[0]}}
        contact = (await p.ok("POST", "/v1/contacts", body))["contact_id"]
        await p.fails("not_erasable", "DELETE", f"/v1/contacts/{contact}/personal-data")
        stranger = {"identity": {"type": "app_user", "value": "user-1"}, "method": "x"}
        await p.fails("identity_conflict", "POST", f"/v1/contacts/{contact}/verify", stranger)
        await p.fails("identity_taken", "POST", f"{other}/identities", {"type": "app_user", "value": "user-0"})
        for number in range(19):
            await p.ok("POST", f"{one}/identities", {"type": "email", "value": f"a{number}@example.org"})
        await p.fails("identity_limit_exceeded", "POST", f"{one}/identities", {"type": "email", "value": "more@example.org"})
        contact = (await p.ok("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"}))["contact_id"]
        for number in range(50):
            await p.ok("POST", f"/v1/contacts/{contact}/notes", {"text": str(number)})
        await p.fails("note_limit_exceeded", "POST", f"/v1/contacts/{contact}/notes", {"text": "one more"})
        await p.ok("DELETE", other)
        await p.fails("customer_erased", "GET", other)
        assert router.services.context is not None and router.services.records is not None
        await router.services.records.stop()
        await p.fails("records_unavailable", "GET", "/v1/records")
        await router.services.context.stop()
        await p.fails("context_unavailable", "GET", one)
        return set(p.seen)


async def a_dismissed_proposal(router: InProcessRouter, customer_id: str) -> str:
    """A proposal to merge a customer with that of ``user-1``, which was dismissed."""
    identity = normalise(Identity(type="app_user", value="user-1"), region="ZZ")
    context = router.services.context
    assert context is not None

    def propose(store: ContextStore) -> str:
        options: dict[str, Any] = {"method": "x", "actor": "agent:ada", "for_good": False, "may_merge": False, "now_ms": 1}
        done = store.verifications.verify("default", "contact-1", customer_id, identity, **options)
        assert done.proposal is not None
        return store.verifications.dismiss("default", done.proposal.proposal_id, actor="admin:root", now_ms=2).proposal_id

    return await context.run(propose)


async def provoked_by_a_slow_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Codes of requests that wait for a journal that is slow or has failed."""
    released, append = asyncio.Event(), MemoryJournal.append
    released.set()

    async def slow_append(self: MemoryJournal, batch: Any) -> None:
        await released.wait()
        await append(self, batch)

    async def failed(*_: Any, **__: Any) -> None:
        raise JournalUnavailable("a fault of the test")

    monkeypatch.setattr(MemoryJournal, "append", slow_append)
    async with provoking(tmp_path / "slow", server={"answer_timeout_s": 1, "in_flight_max": 1}) as (_, p):
        await p.submit(queue_id="support")
        released.clear()
        waiting = asyncio.create_task(p.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"}))
        await asyncio.sleep(0.2)
        await p.fails("busy", "GET", "/v1/queues")
        _, answer = await waiting
        assert (answer["code"], answer["applied"]) == ("answer_timeout", "unknown")
        released.set()
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "execute", failed)
            _, answer = await p.call("PUT", "/v1/agents/ada", {})
            assert (answer["code"], answer["applied"]) == ("journal_unavailable", "unknown")
        return set(p.seen)
