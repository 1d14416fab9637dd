"""The longest hold of the event loop by one request, for each role and request, in a large centre that routes.

A router with a memory journal serves in this process; another process sends one request after the other. Meanwhile contacts are
submitted, offered, accepted and ended at a constant rate. A task that runs in every iteration of the event loop notes the CPU time
of each iteration; the longest one during a request is its hold. CPU time of the loop's thread is counted, so other processes on
the machine do not disturb the figure. The baseline is the longest iteration while only the contacts are routed.

Most contacts wait for a skill that no agent has. One gateway owns 40 % of them, another none.

    python benchmarks/server/bench_dearest_request.py [--quick] [--live 100000 --ended 20000 --agents 5000 --queues 900]
        [--rate 1000] [--repeats 3] [--json FILE]
"""

import argparse
import asyncio
import contextlib
import gc
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser
from router.app.composition import App
from router.app.process import freeze_and_resume_garbage_collection
from router.model.commands import (
    AcceptOffer,
    CancelContact,
    Command,
    CompleteAssignment,
    EndContact,
    EnqueueContact,
    PublishPolicy,
    PutAgent,
    SetAgentState,
)
from router.model.events import OfferAccepted, OfferMade
from router.model.policy import ChannelPolicy, EntryRule, FactPolicy, FactType, Policy, QueuePolicy, RetentionPolicy
from router.model.states import AgentState
from router.runtime.publisher import PublishedRecord
from router.settings import settings_from

QUICK_BUDGET_S = 25
HOLD_MS_TARGET: Final = 5.0
WORKSPACE: Final = "default"
SERVED_QUEUES: Final = 20
"""Queues whose contacts agents can take; the contacts of the others wait."""
_BATCH: Final = 100
_STEP_S: Final = 0.002
_SUBMITS_PER_STEP: Final = 5
_ANSWERS_PER_STEP: Final = 15


def the_policy(queues: int, *, mail: bool = False) -> Policy:
    """Return a policy with rules; ``mail`` adds a channel, which changes every index."""
    channels = {"voice": ChannelPolicy(offer_timeout_s=600), "chat": ChannelPolicy(units=30, per_agent_max=3)}
    rules = (*(f'contact.tier == "gold" && queues.q{n}.waiting > {n}' for n in range(30)), 'contact.tier == "silver"')
    return Policy(
        channels=channels | ({"mail": ChannelPolicy()} if mail else {}),
        queues={f"q{n}": QueuePolicy(requires={f"s{n % 50}": 1}) for n in range(queues)},
        skills=("rare", *(f"s{n}" for n in range(50))),
        facts={"tier": FactPolicy(type=FactType.ENUM, values=("gold", "silver"))},
        entry=tuple(EntryRule(name=f"rule{n}", when=when, queue="q1") for n, when in enumerate(rules)),
        default_queue="q0",
        retention=RetentionPolicy(ended_contacts_max=100_000),
    )


class Loop:
    """Measures the CPU time of each iteration of the event loop."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._ends = False

    async def run(self) -> None:
        """Note every iteration until the end."""
        before = time.thread_time()
        while not self._ends:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest_s = max(self.longest_s, now - before)
            before = now

    def end(self) -> None:
        """Stop measuring."""
        self._ends = True

    def take_ms(self) -> float:
        """Return the longest iteration since the last call."""
        taken, self.longest_s = self.longest_s, 0.0
        return taken * 1000


class Traffic:
    """Submits contacts at a constant rate, accepts their offers and ends them."""

    def __init__(self, app: App, rate: int, queues: int) -> None:
        self._writer = app._writer
        self._rate = rate
        self._queues = min(SERVED_QUEUES, queues)
        self._answers: list[Command] = []
        self._number = 0
        self.ended = 0
        self._writer.feed.subscribe_inline("traffic", self._on_record)

    def _on_record(self, published: PublishedRecord) -> None:
        for event in published.record.events:
            if type(event) is OfferMade:
                self._answers.append(AcceptOffer(offer_id=event.offer_id, agent_id=event.agent_id))
            elif type(event) is OfferAccepted:
                self.ended += 1
                self._answers.append(EndContact(contact_id=event.contact_id))
                self._answers.append(CompleteAssignment(assignment_id=event.offer_id))

    async def run(self) -> None:
        """Submit until cancelled."""
        started = time.perf_counter()
        while True:
            # Few at a time, also when the machine was busy with something else: the figures are those of the requests.
            answers, self._answers = self._answers[:_ANSWERS_PER_STEP], self._answers[_ANSWERS_PER_STEP:]
            due = int((time.perf_counter() - started) * self._rate) - self._number
            for _ in range(min(due, _SUBMITS_PER_STEP)):
                self._number += 1
                queue_id = f"q{self._number % self._queues}"
                answers.append(EnqueueContact(contact_id=f"t{self._number}", channel="voice", queue_id=queue_id, gateway_id="busy"))
            for command in answers:
                self._writer.submit(WORKSPACE, command, actor="traffic", reply=None)
            await asyncio.sleep(_STEP_S)


async def execute_all(app: App, commands: Iterable[Command]) -> None:
    """Execute commands, many in one batch."""
    batch: list[Command] = []
    for command in commands:
        batch.append(command)
        if len(batch) == _BATCH:
            await asyncio.gather(*(app._writer.execute(WORKSPACE, one, actor="fill") for one in batch))
            batch = []
    await asyncio.gather(*(app._writer.execute(WORKSPACE, one, actor="fill") for one in batch))


async def fill(app: App, options: argparse.Namespace) -> None:
    """Publish the policy and create agents and contacts."""
    await execute_all(app, [PublishPolicy(policy=the_policy(options.queues))])
    await execute_all(
        app,
        (
            PutAgent(agent_id=f"a{n}", skills={f"s{n % 50}": 3, f"s{n * 7 % 50}": 2, f"s{n // 50 % 50}": 1 + n % 5})
            for n in range(options.agents)
        ),
    )
    await execute_all(app, (SetAgentState(agent_id=f"a{n}", state=AgentState.READY) for n in range(options.agents)))
    for prefix, count in (("e", options.ended), ("c", options.live)):
        await execute_all(
            app,
            (
                EnqueueContact(
                    contact_id=f"{prefix}{n}",
                    channel="voice",
                    queue_id=f"q{n % options.queues}",
                    skills={"rare": 1 + n % 5},
                    gateway_id="large" if n % 5 < 2 else "other",
                )
                for n in range(count)
            ),
        )
        if prefix == "e":
            await execute_all(app, (CancelContact(contact_id=f"e{n}") for n in range(count)))


def requests(options: argparse.Namespace) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the requests: role and subject, title, and what the client sends."""
    policy = msgspec.json.encode(the_policy(options.queues)).decode()
    changed = msgspec.json.encode(the_policy(options.queues, mail=True)).decode()
    middle = f"c{options.live // 2}"

    def get(path: str) -> dict[str, Any]:
        return {"method": "GET", "path": path}

    def send(method: str, path: str, body: str, **headers: str) -> dict[str, Any]:
        return {"method": method, "path": path, "body": body, "headers": {"Content-Type": "application/json", **headers}}

    return [
        ("gateway:none", "list, owning none", get("/v1/contacts?limit=1")),
        ("gateway:none", "welcome, owning none", {"socket": "/v1/gateway"}),
        ("gateway:large", "list, 500 of a state and queue", get("/v1/contacts?limit=500&state=queued&queue=q3")),
        ("gateway:large", "list, 500", get("/v1/contacts?limit=500")),
        ("gateway:large", "list, a state that none has", get("/v1/contacts?limit=500&state=assigned")),
        ("gateway:large", "welcome, owning 40 %", {"socket": "/v1/gateway"}),
        ("gateway:large", "contact", get("/v1/contacts/c0")),
        ("gateway:large", "availability", get("/v1/queues/q7/availability")),
        ("gateway:large", "expected wait", get("/v1/queues/q7/expected-wait")),
        ("gateway:large", "submit by rules", send("POST", "/v1/contacts", '{"channel":"voice","attributes":{"tier":"gold"}}')),
        ("agent:a1", "agent", get("/v1/agents/a1")),
        ("agent:a1", "welcome", {"socket": "/v1/desktop"}),
        ("supervisor:eve", "list of contacts, 500", get("/v1/contacts?limit=500")),
        ("supervisor:eve", "list of ended contacts, 500", get("/v1/contacts?limit=500&state=cancelled")),
        ("supervisor:eve", "list of agents, 500", get("/v1/agents?limit=500")),
        ("supervisor:eve", "list of queues", get("/v1/queues")),
        ("supervisor:eve", "state", get("/v1/state")),
        ("supervisor:eve", "why a contact waits", get(f"/v1/contacts/{middle}/why")),
        ("supervisor:eve", "doctor", get("/v1/doctor")),
        ("supervisor:eve", "rules", get("/v1/policy/rules")),
        ("supervisor:eve", "welcome", {"socket": "/v1/supervisor"}),
        ("supervisor:eve", "change an agent's skills", send("PUT", "/v1/agents/a7", '{"skills":{"s3":5}}')),
        ("admin:root", "events, 1,000", get("/v1/events?limit=1000")),
        ("admin:root", "policy", get("/v1/policy")),
        ("admin:root", "policy as YAML", get("/v1/policy") | {"headers": {"Accept": "application/yaml"}}),
        ("admin:root", "policy check", send("POST", "/v1/policy/check", policy)),
        ("admin:root", "policy try", send("POST", "/v1/policy/try", '{"channel":"voice","attributes":{"tier":"gold"}}')),
        ("admin:root", "policy, unchanged", send("PUT", "/v1/policy", policy, **{"If-Match": "*"})),
        ("admin:root", "policy that changes everything", send("PUT", "/v1/policy", changed, **{"If-Match": "*"})),
        ("operator:metrics", "metrics", {"metrics": True}),
    ]


# --- the client process ---------------------------------------------------------------------------------------------------
async def send_requests() -> None:
    """Read requests as lines of JSON, send each, and print its status and duration."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:
        while line := await reader.readline():
            request = json.loads(line)
            started = time.perf_counter()
            headers = request.get("headers", {})
            if request["token"]:
                headers["Authorization"] = f"Bearer {request['token']}"
            if request.get("socket"):
                status, size = await welcome(session, request["url"] + request["socket"], headers)
            else:
                async with session.request(
                    request.get("method", "GET"),
                    request["url"] + request.get("path", ""),
                    data=request.get("body"),
                    headers=headers,
                ) as response:
                    size, status = len(await response.read()), response.status
            print(json.dumps([status, size, (time.perf_counter() - started) * 1000]), flush=True)


async def welcome(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> tuple[int, int]:
    """Connect and read the whole state."""
    async with session.ws_connect(url, headers=headers, protocols=("router.v1+json",), max_msg_size=0) as socket:
        await socket.send_str('{"type":"hello"}')
        size, pages = 0, 1
        while pages:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return 0, size
            size += len(message.data)
            if '"type":"welcome"' in message.data[:40]:
                pages += int(json.loads(message.data).get("state_page_count", 0))
            pages -= 1
        return 200, size


# --- the measurement ----------------------------------------------------------------------------------------------------
@asynccontextmanager
async def client() -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the process that sends the requests."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--client", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def measure(
    app: App, options: argparse.Namespace, errors: list[str]
) -> tuple[float, list[tuple[str, str, list[float], float]]]:
    """Return the baseline, and for each request role, title, holds and the last duration in milliseconds."""
    loop, traffic = Loop(), Traffic(app, options.rate, options.queues)
    tasks = [asyncio.create_task(loop.run()), asyncio.create_task(traffic.run())]
    await asyncio.sleep(1)
    loop.take_ms()
    await asyncio.sleep(2)
    baseline_ms = loop.take_ms()
    found: list[tuple[str, str, list[float], float]] = []
    async with client() as process:
        assert process.stdin is not None and process.stdout is not None
        for who, title, request in requests(options):
            if options.only not in f"{who} {title}":
                continue
            role, _, subject = who.partition(":")
            token = "" if role == "operator" else app.mint_token(subject=subject, role=role)
            url = app.url
            if request.get("metrics"):
                url = app.metrics_url or ""
            line = json.dumps(request | {"url": url, "token": token}).encode() + b"\n"
            holds: list[float] = []
            took_ms = 0.0
            for _ in range(1 if "everything" in title else options.repeats):
                await asyncio.sleep(0.05)
                loop.take_ms()
                process.stdin.write(line)
                await process.stdin.drain()
                status, size, took_ms = json.loads(await process.stdout.readline())
                holds.append(loop.take_ms())
                if status >= 400 or not status:
                    errors.append(f"{who} {title}: status {status} after {size} bytes")
            found.append((role, title, holds, took_ms))
            print(f"{role:12}{title:36}{max(holds):9.2f} ms hold {took_ms:9.0f} ms until the answer", flush=True)
    loop.end()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return baseline_ms, found


async def run(options: argparse.Namespace, errors: list[str]) -> tuple[float, list[tuple[str, str, list[float], float]]]:
    """Start a router, fill it and measure."""
    with tempfile.TemporaryDirectory() as directory:
        settings = settings_from(
            {
                "journal": {"backend": "memory", "path": str(Path(directory, "journal.db"))},
                "server": {"port": 0, "answer_timeout_s": 60},
                "telemetry": {"access_log": False, "metrics_port": 0},
            }
        )
        app = App(settings)
        gc.disable()
        await app.start()
        await fill(app, options)
        gc.enable()
        freeze_and_resume_garbage_collection()
        try:
            return await measure(app, options, errors)
        finally:
            await app.stop_immediately()


def main() -> int:
    """Parse the options, measure, print; return 1 if a request failed."""
    arguments = parser(__doc__)
    for name, value in (("live", 100_000), ("ended", 20_000), ("agents", 5_000), ("queues", 900), ("rate", 1_000), ("repeats", 3)):
        arguments.add_argument(f"--{name}", type=int, default=None, help=f"default {value:,}")
    arguments.add_argument("--only", default="", metavar="TEXT", help="only requests whose role and title contain the text")
    options = arguments.parse_args()
    short = {"live": 10_000, "ended": 2_000, "agents": 500, "queues": 90, "rate": 300, "repeats": 2}
    full = {"live": 100_000, "ended": 20_000, "agents": 5_000, "queues": 900, "rate": 1_000, "repeats": 3}
    for name, value in (short if options.quick else full).items():
        setattr(options, name, getattr(options, name) or value)
    errors: list[str] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        baseline_ms, found = runner.run(run(options, errors))
    figures = [
        Figure.of_repeats(
            holds,
            id=f"{role}.{title.lower().replace(',', '').replace(' ', '_').replace('%', 'percent').replace(chr(39), '')}",
            title=f"{role}: {title}",
            unit="ms",
            better="lower",
            target=None if "everything" in title else HOLD_MS_TARGET,
            baseline=baseline_ms,
        )
        for role, title, holds, _ in found
    ]
    dearest: dict[str, tuple[float, str]] = {}
    for role, title, holds, _ in found:
        dearest[role] = max(dearest.get(role, (0.0, "")), (max(holds), title))
    result = Result(
        name="bench_dearest_request",
        what=f"Longest hold of the event loop (CPU time of one iteration) during a request, with {options.live:,} live and "
        f"{options.ended:,} ended contacts, {options.agents:,} agents, {options.queues} queues, while {options.rate:,} contacts/s "
        "are routed; baseline: without a request. Dearest: "
        + "; ".join(f"{role}: {title} {hold:.1f} ms" for role, (hold, title) in dearest.items()),
        figures=figures,
        details={"duration_ms": {f"{role}: {title}": took_ms for role, title, _, took_ms in found}},
    )
    finish(result, options)
    for error in errors:
        print(f"FAILED: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--client"]:
        asyncio.run(send_requests())
    else:
        raise SystemExit(main())
