"""The examples of the API documents, sent as a reader's "Try it out" would send them, to each policy of the package."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.cli.serve import TEMPLATES_PATH
from router.client import DesktopClient, GatewayClient
from router.demo.main import DEMO_CENTRE_PATH
from router.model.states import AgentState
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICIES = {
    "init": (TEMPLATES_PATH / "policy.yaml").read_text(),
    "demo": yaml.safe_dump(yaml.safe_load(DEMO_CENTRE_PATH.read_text())["policy"]),
}


@pytest.fixture(params=POLICIES)
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RouterProcess]:
    process = RouterProcess(tmp_path, policy=POLICIES[request.param]).start()
    yield process
    process.kill()


class Reader:
    """A reader of /docs who sends the examples, with the ids of earlier answers in the paths."""

    def __init__(self, router: RouterProcess, document: dict[str, Any], apis: dict[str, Api]) -> None:
        self.router = router
        self._operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }
        self._apis = apis
        self.tried: set[str] = set()

    async def send(self, name: str, by: str = "admin", body: Any = None, **ids: str) -> Any:
        """Send an operation with its example, or with ``body``, and return the answer, which must be a success."""
        method, path, operation = self._operations[name]
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                value = ids.get(parameter["name"]) or parameter["example"]
                path = path.replace(f"{{{parameter['name']}}}", value)
        headers = {}
        if any(parameter["name"] == "Idempotency-Key" and parameter["required"] for parameter in operation["parameters"]):
            headers["Idempotency-Key"] = name
        if any(parameter["name"] == "If-Match" for parameter in operation["parameters"]) and name in (
            "put_policy",
            "rollback_policy",
        ):
            headers["If-Match"] = (await self._apis["admin"].call("GET", "/v1/policy")).headers["ETag"]
        if body is None and "requestBody" in operation:
            body = self.example(name)
            self.tried.add(name)
        got = await self._apis[by].call(method, path, body, headers=headers)
        assert 200 <= got.status < 300, (name, body, got)
        return got.json

    def example(self, name: str) -> Any:
        """Return the example of an operation's body."""
        return self._operations[name][2]["requestBody"]["content"]["application/json"]["example"]

    async def offer_to(self, agent_id: str) -> str:
        """Make the agent ready and return the id of the offer that they get."""
        await self.send("set_agent_state", agent_id, {"state": "ready"}, agent_id=agent_id)
        agent = await self.send("get_agent", agent_id=agent_id)
        return str(agent["offers"][0]["offer_id"])

    def bodies(self) -> dict[str, set[str]]:
        """Return the operations by the schema of their body."""
        found: dict[str, set[str]] = {}
        for name, (_, _, operation) in self._operations.items():
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                found.setdefault(json.dumps(schema), set()).add(name)
        return found


async def test_every_example_of_a_body_is_accepted(router: RouterProcess) -> None:
    async with (
        Api(router) as admin,
        Api(router, "operator") as operator,
        Api(router, "agent", "ada") as ada,
        Api(router, "agent", "grace") as grace,
        Api(router, "supervisor", "sue") as sue,
        Api(router, "gateway", "web") as web,
    ):
        document = await admin.ok("GET", "/openapi.json")
        apis = {"admin": admin, "operator": operator, "ada": ada, "grace": grace, "sue": sue, "web": web}
        reader = Reader(router, document, apis)
        await prepare_agents_and_queues(reader)
        await move_waiting_contacts(reader)
        await work_on_a_conversation(reader)
        await continue_on_another_channel(reader)
        await let_a_customer_choose(reader)
        await call_a_customer_back(reader)
        await know_a_customer(reader)
        await reader.send("put_policy")
        await reader.send("rollback_policy")
        await reader.send("create_workspace", "operator")
    untried = {schema: names for schema, names in reader.bodies().items() if not names & reader.tried}
    assert not untried


async def prepare_agents_and_queues(reader: Reader) -> None:
    await reader.send("put_agent")
    await reader.send("put_agent", agent_id="grace")
    await reader.send("update_agent")
    await reader.send("preview_bulk")
    assert (await reader.send("execute_bulk"))["applied"] == 1
    await reader.send("set_agent_channels", "ada")
    await reader.send("set_agent_state", "ada")
    await reader.send("open_queue")
    await reader.send("check_policy")
    await reader.send("put_shadow")
    await reader.send("try_policy")


async def move_waiting_contacts(reader: Reader) -> None:
    contact_id = (await reader.send("submit_contact"))["contact_id"]
    await reader.send("update_contact", contact_id=contact_id)
    await reader.send("requeue_contact", contact_id=contact_id)
    await reader.send("cancel_contact", contact_id=contact_id)


async def work_on_a_conversation(reader: Reader) -> None:
    contact_id = (await reader.send("submit_contact"))["contact_id"]
    offer_id = await reader.offer_to("ada")
    await reader.send("decline_offer", "ada", offer_id=offer_id)
    await reader.send("assign_contact", contact_id=contact_id)
    assignment_id = (await reader.send("get_agent"))["assignments"][0]["assignment_id"]
    await reader.send("report_goal", "ada", contact_id=contact_id)
    assert (await reader.send("get_goal", "ada", contact_id=contact_id))["ease"] == 6
    await reader.send("monitor_contact", "sue", contact_id=contact_id)
    await reader.send("report_monitor", contact_id=contact_id)
    await reader.send("stop_monitoring", "sue", contact_id=contact_id)
    await reader.send("hold_assignment", "ada", assignment_id=assignment_id)
    await reader.send("set_agent_state", "grace", {"state": "ready"}, agent_id="grace")
    await reader.send("transfer_contact", "ada", contact_id=contact_id)
    assert (await reader.send("get_agent", agent_id="grace"))["offers"]
    # Withdrawn, not declined: after a decline the agent is in cool-down for the contact and cannot be consulted.
    await reader.send("cancel_transfer", "ada", contact_id=contact_id)
    for end in ("leave_contact", "hand_over_contact"):
        await reader.send("start_consult", "ada", contact_id=contact_id)
        consult = (await reader.send("get_agent", agent_id="grace"))["offers"][0]["offer_id"]
        await reader.send("accept_offer", "grace", offer_id=consult)
        await reader.send("start_conference", "ada", contact_id=contact_id)
        await reader.send(end, "ada" if end == "hand_over_contact" else "admin", contact_id=contact_id)
        await finish_wrap_up(reader, "grace" if end == "leave_contact" else "ada")
    await reader.send("end_contact", "grace", contact_id=contact_id)
    owner = (await reader.send("get_agent", agent_id="grace"))["assignments"][0]["assignment_id"]
    await reader.send("extend_wrap_up", "grace", assignment_id=owner)
    await reader.send("complete_assignment", "grace", assignment_id=owner)


async def finish_wrap_up(reader: Reader, agent_id: str) -> None:
    for assignment in (await reader.send("get_agent", agent_id=agent_id)).get("assignments", ()):
        await reader.send("complete_assignment", agent_id, {}, assignment_id=assignment["assignment_id"])


async def continue_on_another_channel(reader: Reader) -> None:
    """Grace has a chat that goes on by voice, and later again; Ada has paused chats."""
    for agent_id in ("ada", "grace"):
        await reader.send("set_agent_state", agent_id, {"state": "not_ready"}, agent_id=agent_id)
    chat = reader.example("submit_contact") | {"channel": "chat"}
    contact_id = (await reader.send("submit_contact", body=chat))["contact_id"]
    await reader.send("accept_offer", "grace", offer_id=await reader.offer_to("grace"))
    await reader.send("switch_channel", "grace", contact_id=contact_id)
    assert (await reader.send("get_contact", contact_id=contact_id))["channel"] == "chat"
    await reader.send("report_channel", contact_id=contact_id)
    assert (await reader.send("get_contact", contact_id=contact_id))["channel"] == "voice"
    await reader.send("set_agent_state", "grace", {"state": "not_ready"}, agent_id="grace")
    await reader.send("suspend_contact", "grace", contact_id=contact_id)
    assert (await reader.send("get_contact", contact_id=contact_id))["state"] == "suspended"
    await finish_wrap_up(reader, "grace")
    assert (await reader.send("resume_contact", contact_id=contact_id))["state"] == "queued"
    await reader.send("cancel_contact", contact_id=contact_id)


async def let_a_customer_choose(reader: Reader) -> None:
    request_id = (await reader.send("create_request"))["request_id"]
    await reader.send("get_request", request_id=request_id)
    await reader.send("choose_option", request_id=request_id)
    await reader.send("cancel_request", request_id=request_id)
    own_id = (await reader.send("create_request", "web"))["request_id"]
    await reader.send("answer_request", "web", request_id=own_id)
    contact_id = (await reader.send("submit_contact"))["contact_id"]
    assert (await reader.send("issue_link", contact_id=contact_id))["channels"] == ["chat"]
    assert (await reader.send("switch_request_channel", request_id=contact_id))["channel"] == "chat"
    assert (await reader.send("suspend_request", request_id=contact_id))["state"] == "suspended"
    assert (await reader.send("resume_request", request_id=contact_id))["state"] == "waiting"
    await reader.send("cancel_contact", contact_id=contact_id)


async def call_a_customer_back(reader: Reader) -> None:
    for agent_id in ("ada", "grace"):
        await reader.send("set_agent_state", agent_id, {"state": "not_ready"}, agent_id=agent_id)
    contact_id = (await reader.send("submit_contact"))["contact_id"]
    await reader.send("request_callback", contact_id=contact_id)
    await reader.send("move_callback", contact_id=contact_id)
    offer_id = await reader.offer_to("grace")
    await reader.send("accept_offer", "grace", offer_id=offer_id)
    await reader.send("claim_callback", contact_id=contact_id)
    await reader.send("report_callback", contact_id=contact_id)


async def know_a_customer(reader: Reader) -> None:
    customer_id = (await reader.send("resolve_customer"))["customer_id"]
    await reader.send("append_steps")
    steps = (await reader.send("get_journey", customer_id=customer_id))["steps"]
    assert [step["name"] for step in steps] == ["invoice"]
    await reader.send("put_customers")
    await reader.send("update_customer", customer_id=customer_id)
    await reader.send("attach_identity", customer_id=customer_id)
    found = (await reader.send("search_customers"))["customers"]
    assert [one["customer_id"] for one in found] == [customer_id]
    visitor = {"identities": [{"type": "device", "value": "tablet-1"}]}
    other_id = (await reader.send("resolve_customer", body=visitor))["customer_id"]
    example = reader.example("merge_customers") | {"from": other_id}
    merge = await reader.send("merge_customers", body=example, customer_id=customer_id)
    reader.tried.add("merge_customers")
    await reader.send("undo_merge", merge_id=merge["merge_id"])
    submit = reader.example("submit_contact") | {"customer": {"customer_id": customer_id}}
    contact_id = (await reader.send("submit_contact", body=submit))["contact_id"]
    await reader.send("verify_customer", contact_id=contact_id)
    await reader.send("add_contact_note", contact_id=contact_id)
    await reader.send("cancel_contact", contact_id=contact_id)


async def test_the_examples_of_frames_are_accepted(router: RouterProcess) -> None:
    async with Api(router) as admin:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {"english": 8}})
        messages = (await admin.ok("GET", "/asyncapi.json"))["components"]["messages"]

    def fields(name: str) -> dict[str, Any]:
        """Return the fields of a frame's example that its client method takes."""
        payload = messages[name]["examples"][0]["payload"]
        return {key: value for key, value in payload.items() if key not in ("type", "id", "contact_id")}

    url = router.url.replace("http", "ws")
    async with GatewayClient(url, router.token("gateway", "web")) as gateway:
        submit = fields("submit")
        contact_id = (await gateway.submit(**submit["contact"], idempotency_key=submit["idempotency_key"])).subject
        assert (await gateway.expected_wait(**fields("expected_wait"))) is not None
        await gateway.update(contact_id, **fields("update"))
        await gateway.callback(contact_id, **fields("callback"))
        await gateway.cancel(contact_id)
    async with DesktopClient(url, router.token("agent", "ada")) as desktop:
        await desktop.pause_channels(*fields("set_channels")["paused"])
        await desktop.set_state(AgentState(fields("set_state")["state"]))
