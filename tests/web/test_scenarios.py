"""The Python and the JavaScript client do the same in every scenario of ``scenarios.yaml``, against a router behind a proxy."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

from router.client import DesktopClient, GatewayClient, SupervisorClient
from router.client.http_query import exchange
from tests.properties.test_client_state import difference
from tests.support.network_proxy import NetworkProxy
from tests.support.router_process import RouterProcess
from tests.web.client_states import agent_of, state_of
from tests.web.driver import Driver, NodeDriver, PythonDriver

SCENARIOS: Final[list[dict[str, Any]]] = yaml.safe_load(Path(__file__).with_name("scenarios.yaml").read_text())
LANGUAGES: Final = ("python", "javascript")
WORKSPACES: Final = [
    (scenario["name"], scenario.get("settings", {}), f"{language}-{number}")
    for number, scenario in enumerate(SCENARIOS)
    for language in LANGUAGES
]
DELAY_S: Final = 0.02
SUBJECTS: Final = {"agent": "ada", "gateway": "phone", "supervisor": "eve", "admin": "root"}


class Routers:
    """Routers by their settings, each with a workspace for every run of a scenario."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[str, RouterProcess] = {}

    def get(self, **settings: Any) -> RouterProcess:
        name = json.dumps(settings, sort_keys=True)
        if name not in self._running:
            directory = self._directory / str(len(self._running))
            own = [workspace for (_, of, workspace) in WORKSPACES if of == settings]
            self._running[name] = RouterProcess(directory, workspaces=f"[{', '.join(own)}]", **settings).start()
        return self._running[name]

    def stop(self) -> None:
        for router in self._running.values():
            router.kill()


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routers]:
    found = Routers(tmp_path_factory.mktemp("routers"))
    yield found
    found.stop()


class Run:
    """One scenario with one client."""

    def __init__(
        self, scenario: dict[str, Any], driver: Driver, router: RouterProcess, proxy: NetworkProxy, workspace: str
    ) -> None:
        self.scenario, self.driver, self.router, self.proxy, self.workspace = scenario, driver, router, proxy, workspace
        self.role: str = scenario["role"]
        self.ids: dict[str, str] = {}
        self.delivered: list[list[Any]] = []
        self.started: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self.others: list[Any] = []

    # --- the router, past the proxy ---------------------------------------------------------------------------------
    async def http(self, role: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        document = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json", **headers}
        token = self.token(role)
        answer = await exchange(self.router.url, path, token=token, method=method, document=document, headers=headers)
        return msgspec.json.decode(answer.body)

    def token(self, role: str) -> str:
        return self.router.token(role, SUBJECTS[role], self.workspace)

    async def tokens(self) -> list[str]:
        if self.role == "customer":
            asked = {"channel": "voice", "queue_id": "support", "choose": "first"}
            return [(await self.http("gateway", "POST", "/v1/requests", asked, **{"Idempotency-Key": "r"}))["token"]]
        return list(self.scenario.get("tokens", ())) or [self.token(self.scenario.get("as", self.role))]

    async def submit(self, name: str) -> None:
        contact = {"channel": "voice", "queue_id": "support"}
        self.ids[name] = (await self.http("gateway", "POST", "/v1/contacts", contact))["contact_id"]

    async def until(self, what: str, value: Any) -> None:
        """Wait until a contact has an owner, or there are so many contacts."""
        async with asyncio.timeout(60):
            while True:
                found = (await self.http("supervisor", "GET", "/v1/contacts"))["contacts"]
                owned = {one["contact_id"] for one in found if one.get("agent_id")}
                if value in owned if what == "owner" else len(found) == value:
                    return

    # --- steps --------------------------------------------------------------------------------------------------------
    async def play(self) -> None:
        self.proxy.target_port = int(self.router.url.rsplit(":", 1)[1])
        await self.http("admin", "PUT", "/v1/agents/ada", {"skills": {}})
        opened = await self.driver.ask(
            "open", role=self.role, url=self.proxy.url, tokens=await self.tokens(), options=self.scenario.get("options", {})
        )
        if "open" in self.scenario:
            self.check_error(opened, self.scenario["open"])
            return
        assert "value" in opened, opened
        for step in self.scenario["steps"]:
            async with asyncio.timeout(60):
                await self.step(step)
        if self.scenario.get("state", True):
            await self.compare_state()
        self.check_delivered()
        if "connections" in self.scenario:
            await self.asked("wait", connections=self.scenario["connections"])

    async def step(self, step: dict[str, Any]) -> None:
        match step:
            case {"call": [method, *arguments], **rest}:
                args = [await self.filled(one) for one in arguments]
                asking = self.driver.ask("call", method=method, args=args, options=rest.get("options", {}))
                if "start" in rest:
                    self.started[rest["start"]] = asyncio.ensure_future(asking)
                else:
                    self.check(await asking, step)
            case {"finish": name}:
                self.check(await self.started.pop(name), step)
            case {"submit": name, **rest}:
                for _ in range(rest.get("count", 1)):
                    await self.submit(name)
            case {"read": event, **rest}:
                answer = await self.driver.ask("read", until=event, count=rest.get("count", 1))
                self.check(answer, step)
                self.delivered += answer.get("value", [])
            case {"set_agent": state}:
                await self.http("supervisor", "POST", "/v1/agents/ada/state", {"state": state})
            case {"wait": count}:
                await self.asked("wait", connections=count)
            case {"lost": True}:
                await self.asked("wait_lost")
            case {"until": [what, value]}:
                await self.until(what, await self.filled(value))
            case {"take_over": True}:
                other = DesktopClient(self.router.url.replace("http", "ws", 1), self.token("agent"))
                self.others.append(await other.__aenter__())
            case _:
                await self.fail_or_repair(step)

    async def fail_or_repair(self, step: dict[str, Any]) -> None:
        match step:
            case {"proxy": "drop"}:
                self.proxy.drop()
            case {"proxy": "freeze" | "freeze_replies" as how}:
                self.proxy.freeze(only_replies=how == "freeze_replies")
            case {"proxy": "refuse" | "accept" as how}:
                self.proxy.refuses = how == "refuse"
            case {"proxy": "delay"}:
                self.proxy.delay_s = DELAY_S
            case {"router": "kill"}:
                await asyncio.to_thread(self.router.kill)
            case {"router": "start"}:
                await asyncio.to_thread(self.router.start)
                self.proxy.target_port = int(self.router.url.rsplit(":", 1)[1])
            case _:
                raise AssertionError(f"no such step: {step}")

    async def filled(self, value: Any) -> Any:
        """Return an argument with the ids that it names."""
        if not (isinstance(value, str) and value.startswith("$")):
            return value
        name, dot, rest = value[1:].partition(".")
        if name in ("offer", "assignment"):
            (found,) = (await self.asked("state"))[f"{name}s"]
            return found
        return self.ids[name] + dot + rest

    # --- checks -------------------------------------------------------------------------------------------------------
    async def asked(self, action: str, **given: Any) -> Any:
        answer = await self.driver.ask(action, **given)
        assert "value" in answer, answer
        return answer["value"]

    def check(self, answer: dict[str, Any], step: dict[str, Any]) -> None:
        if "error" in step:
            self.check_error(answer, step["error"])
            return
        assert "value" in answer, (step, answer)
        if "replayed" in step:
            assert answer["value"].get("replayed", False) is step["replayed"]

    def check_error(self, answer: dict[str, Any], expected: dict[str, Any]) -> None:
        assert "error" in answer, answer
        assert {name: answer["error"][name] for name in expected} == expected, answer

    async def compare_state(self) -> None:
        """Compare the state of the client with that of a fresh welcome, after all events that were sent have arrived."""
        await self.asked("call", method="ping", args=[], options={})
        address = self.router.url.replace("http", "ws", 1)
        if self.role == "gateway":
            async with GatewayClient(address, self.token("gateway")) as gateway:
                expected = state_of(gateway)
        else:
            async with SupervisorClient(address, self.token("supervisor")) as supervisor:
                agents = supervisor.workspace.agents
                expected = state_of(supervisor) if self.role == "supervisor" else agent_of(agents["ada"])
        found = await self.asked("state")
        assert found == expected, difference(found, expected)

    def check_delivered(self) -> None:
        """Check that events come once and in order, and which they are."""
        if self.role == "customer":
            return
        numbers = [seq for seq, _ in self.delivered]
        assert numbers == sorted(set(numbers)), self.delivered
        if "delivered" in self.scenario:
            assert [kind for _, kind in self.delivered] == self.scenario["delivered"]

    async def stop(self) -> None:
        await self.driver.stop()
        for other in self.others:
            await other.__aexit__(None, None, None)


@pytest.fixture
async def proxy() -> AsyncIterator[NetworkProxy]:
    async with NetworkProxy() as found:
        yield found


@pytest.mark.slow  # Some fifty starts of clients, and connections that are lost.
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[one["name"] for one in SCENARIOS])
async def test_scenario(scenario: dict[str, Any], language: str, routers: Routers, proxy: NetworkProxy) -> None:
    router = routers.get(**scenario.get("settings", {}))
    driver: Driver = PythonDriver() if language == "python" else NodeDriver()
    run = Run(scenario, driver, router, proxy, f"{language}-{SCENARIOS.index(scenario)}")
    try:
        await run.play()
    finally:
        stopping: Awaitable[None] = run.stop()
        await stopping
