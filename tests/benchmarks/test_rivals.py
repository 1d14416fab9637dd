"""The comparison with the alternatives: the same load for all sides, correct latencies, and complete figures."""

import asyncio
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks.rivals import bench_rivals, sides
from benchmarks.rivals.load import SKILLS, ComparisonLoad, SocketIoAgent, SocketIoGateway, skills_of

README = Path(sides.__file__).parent / "README.md"


class FakeServer:
    """A gateway and one agent without sockets: each contact is offered at once and ends in the next loop iteration."""

    def __init__(self, *, answers_first: bool) -> None:
        self.welcomed: asyncio.Future[None] = asyncio.Future()
        self.on_queued: Callable[[int, str], None]
        self.on_offered: Callable[[str], None]
        self.on_ended: Callable[[str], None]
        self.on_error: Callable[[str], None]
        self.skills: list[str] = []
        self._answers_first = answers_first

    def submit(self, number: int, skill: str) -> None:
        self.skills.append(skill)
        contact_id = f"c{number}"
        if self._answers_first:
            self.on_queued(number, contact_id)
        self.on_offered(contact_id)
        if not self._answers_first:
            self.on_queued(number, contact_id)
        asyncio.get_running_loop().call_soon(self.on_ended, contact_id)

    def ready(self) -> None: ...
    def close(self) -> None: ...


@pytest.mark.parametrize("answers_first", [True, False])
async def test_each_contact_has_one_latency_in_any_order_of_answer_and_offer(answers_first: bool) -> None:
    server = FakeServer(answers_first=answers_first)
    latencies = await ComparisonLoad([server], server).open_loop(0.2, 500)
    assert len(latencies) == 100
    assert latencies == sorted(latencies) and latencies[0] > 0


async def test_the_open_loop_measures_from_the_due_time_when_the_load_is_late() -> None:
    server = FakeServer(answers_first=True)
    load = ComparisonLoad([server], server)
    asyncio.get_running_loop().call_later(0.05, time.sleep, 0.2)
    latencies = await load.open_loop(0.4, 100)
    assert len(latencies) == 40
    assert latencies[-1] > 100_000_000, "contacts due during the pause waited"


async def test_the_closed_loop_keeps_its_window_and_uses_all_skills_equally() -> None:
    server = FakeServer(answers_first=True)
    load = ComparisonLoad([server], server)
    assert await load.closed_loop(0.2, 4) > 0
    assert load.in_flight == 0 and load.errors == {}
    counts = [server.skills.count(skill) for skill in SKILLS]
    assert max(counts) - min(counts) <= 1


async def test_refusals_are_counted_as_errors_and_not_as_lifecycles() -> None:
    server = FakeServer(answers_first=True)
    load = ComparisonLoad([server], server)
    server.on_error("expired")
    server.on_error("expired")
    assert load.errors == {"expired": 2} and load.lifecycles == 0


class SentPackets:
    """The packets that a Socket.IO client of the load sends."""

    def __init__(self, client: SocketIoAgent | SocketIoGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        self.packets: list[bytes] = []
        monkeypatch.setattr(client, "send", self.packets.append)


async def test_an_agent_on_socket_io_accepts_ends_and_answers_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = SocketIoAgent(3)
    packets = SentPackets(agent, monkeypatch).packets
    contacts: list[str] = []
    agent.on_offered = lambda contact_id: contacts.append(f"offered {contact_id}")
    agent.on_ended = lambda contact_id: contacts.append(f"ended {contact_id}")
    agent.on_message(b'0{"sid":"x"}')
    assert msgspec.json.decode(packets[-1][2:]) == {"agent": "d3", "skills": ["s3", "s4"]}
    agent.on_message(b'40{"sid":"y"}')
    assert agent.welcomed.done()
    agent.on_message(b"2")
    assert packets[-1] == b"3"
    agent.on_message(b'42["offer",{"contact_id":"c","offer_id":"c.1"}]')
    assert packets[-1] == b'421["accept",{"offer_id":"c.1"}]'
    agent.on_message(b'431[{"ok":true}]')
    assert packets[-1] == b'422["end",{"contact_id":"c"}]'
    agent.on_message(b'432[{"ok":true}]')
    assert contacts == ["offered c", "ended c"]


async def test_an_expired_offer_is_an_error_and_not_a_lifecycle(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = SocketIoAgent(0)
    packets = SentPackets(agent, monkeypatch).packets
    errors: list[str] = []
    agent.on_error = errors.append
    agent.on_message(b'42["offer",{"contact_id":"c","offer_id":"c.1"}]')
    agent.on_message(b'431[{"ok":false,"error":"expired"}]')
    assert errors == ["expired"] and len(packets) == 1


async def test_a_submit_is_matched_with_the_contact_id_in_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = SocketIoGateway()
    packets = SentPackets(gateway, monkeypatch).packets
    contacts: list[tuple[int, str]] = []
    gateway.on_queued = lambda number, contact_id: contacts.append((number, contact_id))
    gateway.submit(41, "s7")
    assert packets == [b'421["submit",{"skill":"s7"}]']
    gateway.on_message(b'431[{"ok":true,"contact_id":"c"}]')
    assert contacts == [(41, "c")]


def test_agents_have_two_skills_and_all_skills_have_equally_many_agents() -> None:
    have = [skill for number in range(200) for skill in skills_of(number)]
    assert {have.count(skill) for skill in SKILLS} == {40}


def measured_round(rate: float, **fields: Any) -> dict[str, Any]:
    fast = {"p50": 1.0, "p99": 2.0, "offers": 5}
    return {"lifecycles_per_s": rate, "server_cpu_us": 400.0, "load_share": 0.3, "at_80_per_s": fast, "errors": {}, **fields}


def test_the_figures_of_a_side_are_medians_of_its_rounds_with_their_limits() -> None:
    rival = sides.SIDES[1]
    rounds = [measured_round(300), measured_round(500, load_share=0.95), measured_round(400, errors={"expired": 3})]
    found = {figure.id: figure for figure in bench_rivals.figures(rival, 200, rounds)}
    throughput = found["lifecycles_per_s.redis_list.200"]
    assert (throughput.value, throughput.spread) == (400, (300, 500))
    assert throughput.limit == ("load at over 90 % of its core: a lower bound; 3 errors; too slow for latency at 1,000/s")
    assert found["submit_to_screen_p99_ms.80.redis_list.200"].value == 2
    assert "submit_to_screen_p99_ms.1000.redis_list.200" not in found, "it was not measured"


def test_only_figures_of_the_router_have_a_direction() -> None:
    router, rival = (bench_rivals.figures(side, 200, [measured_round(1)]) for side in sides.SIDES[:2])
    assert {figure.better for figure in rival} == {"none"}
    assert {figure.better for figure in router} == {"lower", "higher"}


def test_the_chart_has_a_bar_for_every_side_and_figure() -> None:
    found = {
        (side.key, agents): bench_rivals.figures(side, agents, [measured_round(1)])
        for side in sides.SIDES
        for agents in (200, 1_000)
    }
    svg = ElementTree.fromstring(bench_rivals.picture(found))
    assert len(svg.findall(".//{*}g/{*}rect")) == len(sides.SIDES) * 2 * 4


def test_the_limitations_of_each_side_are_documented() -> None:
    keys = [side.key for side in sides.SIDES]
    assert keys[0] == "router" and len(keys) == len(set(keys))
    assert all(side.limitations for side in sides.SIDES)
    paths = set(re.findall(r"`(benchmarks/rivals/[\w.]+)`", README.read_text()))
    assert len(paths) == 4
    for path in paths:
        source = (README.parents[2] / path).read_text()
        assert "does not do" in source or path.endswith("celery_server.py")


@pytest.fixture
def rivals_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sides, "INSTALLED", tmp_path / ".rivals")
    yield tmp_path


def test_without_node_its_rival_is_not_installed(rivals_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(rivals_folder))
    with pytest.raises(sides.NotInstalled, match="node and npm are not on this machine"):
        sides.install_node()


def test_libraries_are_installed_again_only_for_a_changed_list(rivals_folder: Path) -> None:
    requirements, stamp, log = (rivals_folder / "list", rivals_folder / "stamp", rivals_folder / "log")
    requirements.write_text("a==1")
    command = ([sys.executable, "-c", f"open({str(log)!r}, 'a').write('x')"],)
    for text in ("a==1", "a==1", "a==2"):
        requirements.write_text(text)
        sides._install_once(requirements, stamp, command)
    assert log.read_text() == "xx"
    requirements.write_text("a==3")
    with pytest.raises(sides.NotInstalled, match=r"failed: (?s:.*)ZeroDivisionError"):
        sides._install_once(requirements, stamp, ([sys.executable, "-c", "1/0"],))
    assert log.read_text() == "xx"


def test_the_error_of_a_server_that_does_not_start_contains_its_log(tmp_path: Path) -> None:
    with sides.running(sides.SIDES[1], tmp_path / "side") as server:
        log = server.start("broken", [sys.executable, "-c", "raise SystemExit('no disk')"], {})
        with pytest.raises(RuntimeError, match="no disk"):
            server.wait_for(log, lambda line: None)


def test_the_processes_of_a_side_are_stopped_and_their_cpu_time_is_added(tmp_path: Path) -> None:
    busy = (
        "import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    with sides.running(sides.SIDES[1], tmp_path / "side") as server:
        for name in ("one", "two"):
            log = server.start(name, [sys.executable, "-c", busy], {})
            server.wait_for(log, lambda line: 1 if line == "up" else None)
        assert server.cpu_s() >= 0.18
        assert server.rss_mib() > 5
        processes = list(server._processes)
    assert all(process.returncode is not None for process in processes)
