"""Connections that end: take-over, resume without holes, slow clients, drains."""

import asyncio
from pathlib import Path

import pytest

from router.client import DesktopClient, OutcomeUnknown, PermanentlyClosed
from router.client.connection import ConnectionOptions
from router.model import events as e
from router.model.states import AgentState, Presence
from router.protocol import frames as f
from router.protocol.close_codes import CloseCode
from router.server.auth.credentials import Role
from tests.acceptance.sockets.test_handshake import bearer, plain
from tests.support.builders import a_contact, an_agent
from tests.support.in_process_router import AT_ONCE, running_router

TIMEOUT_S = 20


async def test_a_newer_desktop_session_closes_the_older_one(tmp_path: Path) -> None:
    """I35."""
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        async with router.desktop("a0") as older:
            await older.ready()
            async with router.desktop("a0") as newer:
                with pytest.raises(PermanentlyClosed) as closed:
                    async for _ in older:
                        pass
                assert closed.value.code == CloseCode.TAKEN_OVER
                assert newer.state.state is AgentState.READY
                await router.do(a_contact("c1"))
                offer = await anext(event async for event in newer.events() if isinstance(event, e.OfferMade))
                await newer.accept(offer.offer_id)
            with pytest.raises(PermanentlyClosed):
                await older.ready()
        agent = (await router.writer.query("default", lambda engine: engine.agent("a0"))).value
        assert agent is not None
        assert len(agent.assignments) == 1


async def test_of_concurrent_desktop_sessions_exactly_one_stays(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        desktops = [router.desktop("a0") for _ in range(8)]
        entered = await asyncio.gather(*(desktop.__aenter__() for desktop in desktops), return_exceptions=True)
        survivors = 0
        for desktop, came in zip(desktops, entered, strict=True):
            if isinstance(came, BaseException):
                assert isinstance(came, PermanentlyClosed)
                assert came.code == CloseCode.TAKEN_OVER
                continue
            try:
                await desktop.ping()
                survivors += 1
            except (PermanentlyClosed, OutcomeUnknown):
                pass
        assert survivors == 1
        assert router.hub.connection_count("default", "agent", "a0") == 1
        for desktop in desktops:
            await desktop.__aexit__(None, None, None)


async def test_a_lost_desktop_that_comes_back_in_time_has_missed_nothing(tmp_path: Path) -> None:
    """Lesson A9."""
    async with running_router(tmp_path) as router, router.desktop("a0") as desktop, asyncio.timeout(TIMEOUT_S):
        await desktop.ready()
        await router.do(a_contact("c1"))
        session = desktop.welcome.session_id
        await desktop.drop_connection()
        frames = desktop.events()
        seen: list[e.Event] = []
        while not (seen and isinstance(seen[-1], e.DesktopConnected) and seen[-1].session_id != session):
            seen.append(await anext(frames))
        assert sum(isinstance(event, e.OfferMade) for event in seen) == 1
        assert desktop.connection_count == 2
        assert desktop.state.presence is Presence.ATTACHED
        assert list(desktop.state.offers) == ["c1.1"]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_no_event_is_lost_or_duplicated_over_many_reconnects(tmp_path: Path, codec: str) -> None:
    """I29, and the mirror at the end is that of a fresh welcome."""
    async with (
        running_router(tmp_path) as router,
        router.supervisor(codec=codec) as supervisor,
        router.gateway(codec=codec) as gateway,
        asyncio.timeout(TIMEOUT_S),
    ):
        first = supervisor.seq + 1
        stop = asyncio.Event()

        async def submit() -> None:
            for number in range(400):
                await router.do(a_contact(f"c{number}", gateway_id="web"))
                if number % 40 == 20:
                    await supervisor.ping()  # There is a connection to lose.
                    await supervisor.drop_connection()
                if number % 50 == 30:
                    await gateway.ping()
                    await gateway.drop_connection()
            stop.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(submit())
            numbers = []
            async for frame in supervisor:
                if isinstance(frame, f.EventFrame):
                    numbers.append(frame.seq)
                    if len(numbers) == 400:
                        break
        assert supervisor.connection_count > 5
        assert numbers == list(range(first, first + 400))
        own = []
        async for frame in gateway:
            if isinstance(frame, f.EventFrame):
                own.append(frame.event.contact_id)  # type: ignore[union-attr]
                if len(own) == 400:
                    break
        assert own == [f"c{number}" for number in range(400)]
        await gateway.ping()
        async with router.gateway() as fresh:
            assert gateway.contacts == fresh.contacts


@pytest.mark.parametrize("resume", ["{gen}:999999", "{gen}:-5", "{gen}:18446744073709551616", "other:1", "nonsense", ""])
async def test_an_unknown_position_gets_a_fresh_welcome(tmp_path: Path, resume: str) -> None:
    async with (
        running_router(tmp_path) as router,
        asyncio.timeout(TIMEOUT_S),
        plain(router, headers=bearer(router, "a0", Role.AGENT)) as socket,
    ):
        gen = router.writer.history_id("default")
        await socket.send_frame(type="hello", resume=resume.format(gen=gen))
        frame = await socket.receive()
        assert frame["type"] == "welcome"
        assert frame["agent"]["agent_id"] == "a0"


async def test_a_resume_gets_exactly_what_was_missed_and_goes_on(tmp_path: Path) -> None:
    """Lesson C4."""
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        gen = router.writer.history_id("default")
        for number in range(10):
            await router.do(a_contact(f"c{number}", gateway_id="web" if number % 2 else "phone"))
        last = router.writer.publisher.last_seq("default")
        headers = bearer(router, "web", Role.GATEWAY)
        async with plain(router, "/v1/gateway", headers=headers) as socket:
            await socket.send_frame(type="hello", resume=f"{gen}:{last - 6}")
            resumed = await socket.receive()
            assert resumed["type"] == "resumed"
            assert (resumed["seq"], resumed["until_seq"]) == (last - 6, last)
            missed = [await socket.receive() for _ in range(3)]
            assert [frame["event"]["contact_id"] for frame in missed] == ["c5", "c7", "c9"]
            await router.do(a_contact("c11", gateway_id="web"))
            live = await socket.receive()
            assert live["event"]["contact_id"] == "c11"
            assert live["seq"] == last + 1


async def test_more_missed_than_is_kept_gets_a_fresh_welcome(tmp_path: Path) -> None:
    """Lesson C4."""
    async with running_router(tmp_path, sockets={"resume_count_max": 20}) as router, asyncio.timeout(TIMEOUT_S):
        gen, first = (router.writer.history_id("default"), router.writer.publisher.last_seq("default"))
        for number in range(30):
            await router.do(a_contact(f"c{number}", gateway_id="web"))
        headers = bearer(router, "web", Role.GATEWAY)
        async with plain(router, "/v1/gateway", headers=headers) as socket:
            await socket.send_frame(type="hello", resume=f"{gen}:{first}")
            welcome = await socket.receive()
            assert welcome["type"] == "welcome"
            assert len(welcome["contacts"]) == 30


async def test_events_dropped_from_memory_are_resumed_from_the_journal(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        publisher = router.writer.publisher
        history_id, first = router.writer.history_id("default"), publisher.last_seq("default")
        for number in range(300):
            await router.do(a_contact(f"c{number}", gateway_id="web" if number % 3 else "mail"))
        while publisher.covers("default", history_id, first + 100):
            publisher._evict_oldest()
        headers = bearer(router, "web", Role.GATEWAY)
        async with plain(router, "/v1/gateway", headers=headers) as socket:
            await socket.send_frame(type="hello", resume=f"{history_id}:{first}")
            assert (await socket.receive())["type"] == "resumed"
            await router.do(a_contact("last", gateway_id="web"))
            contacts: list[str] = []
            while contacts[-1:] != ["last"]:
                frame = await socket.receive()
                assert frame["type"] == "event"
                if frame["event"]["type"] == "contact.queued":
                    contacts.append(frame["event"]["contact_id"])
        expected = [f"c{number}" for number in range(300) if number % 3]
        assert contacts == [*expected, "last"]


async def test_events_of_other_clients_do_not_count_as_missed(tmp_path: Path) -> None:
    async with running_router(tmp_path, sockets={"resume_count_max": 20}) as router, asyncio.timeout(TIMEOUT_S):
        gen, first = (router.writer.history_id("default"), router.writer.publisher.last_seq("default"))
        for number in range(100):
            await router.do(a_contact(f"c{number}", gateway_id="phone" if number % 10 else "web"))
        headers = bearer(router, "web", Role.GATEWAY)
        async with plain(router, "/v1/gateway", headers=headers) as socket:
            await socket.send_frame(type="hello", resume=f"{gen}:{first}")
            assert (await socket.receive())["type"] == "resumed"
            missed = [await socket.receive() for _ in range(10)]
            assert [frame["event"]["contact_id"] for frame in missed] == [f"c{number}" for number in range(0, 100, 10)]
        headers = bearer(router, "eve", Role.SUPERVISOR)
        async with plain(router, "/v1/supervisor", headers=headers) as socket:
            await socket.send_frame(type="hello", resume=f"{gen}:{first}")
            assert (await socket.receive())["type"] == "welcome"


async def test_after_a_mass_disconnect_only_absent_agents_are_lost(tmp_path: Path) -> None:
    """The losses are told at a pace: one that is told after its agent's return changes nothing."""
    count = 90
    async with running_router(tmp_path, agents=count) as router, asyncio.timeout(TIMEOUT_S):

        async def attached() -> dict[str, str]:
            answered = await router.writer.query("default", lambda engine: dict(engine.attached_sessions()))
            return answered.value

        names = [f"a{number}" for number in range(count)]
        desktops = [router.desktop(name) for name in names]
        await asyncio.gather(*(desktop.__aenter__() for desktop in desktops))
        before = await attached()
        assert sorted(before) == sorted(names)
        back = set(names[::3])
        for name, desktop in zip(names, desktops, strict=True):
            if name in back:
                await desktop._connection.abort()
            else:
                await desktop.__aexit__(None, None, None)
        while set(now := await attached()) != back or any(  # noqa: ASYNC110  (no event tells it)
            now[name] == before[name] for name in back
        ):
            await asyncio.sleep(0.01)
        await router.hub.disconnects.drain()
        assert set(await attached()) == back
        for name, desktop in zip(names, desktops, strict=True):
            if name in back:
                await desktop.__aexit__(None, None, None)


async def test_a_long_welcome_comes_in_pages(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(router.do(a_contact(f"c{number:04}", gateway_id="web")) for number in range(1_200)))
        await asyncio.gather(*(router.do(an_agent(f"b{number:04}")) for number in range(600)))
        async with router.gateway() as gateway, router.supervisor() as supervisor:
            assert gateway.welcome.state_page_count == 2
            assert len(gateway.contacts.by_id) == 1_200
            assert len(supervisor.workspace.agents) == 603


async def test_a_slow_consumer_is_closed_and_others_receive_everything(tmp_path: Path) -> None:
    """I43, F53: the slow one gets a code that it may resume from."""
    sockets = {"write_buffer_count_max": 64, "write_buffer_bytes_max": 65_536}
    async with (
        running_router(tmp_path, sockets=sockets) as router,
        router.supervisor() as fast,
        asyncio.timeout(TIMEOUT_S),
        plain(router, "/v1/supervisor", headers=bearer(router, "slow", Role.SUPERVISOR)) as slow,
    ):
        await slow.send_frame(type="hello")
        await slow.receive()
        connection = next(seat for seat in router.hub.subscribers() if seat.subject == "slow")
        # From here on it reads nothing: its kernel buffers fill, then the outbox.
        slow.ws._conn.protocol.transport.pause_reading()
        number = 0
        while connection.live:
            # Fewer than 128 at a time: beyond that a router on a slow machine may refuse submits as busy.
            await asyncio.gather(*(router.do(a_contact(f"c{number + offset}", reference="r" * 120)) for offset in range(100)))
            number += 100
            assert number < 60_000
        assert router.hub.connection_count("default", "supervisor", "slow") <= 1
        pong = await fast.ping()
        assert pong.seq == router.writer.publisher.last_seq("default")
        assert fast.connection_count == 1
        slow.ws._conn.protocol.transport.resume_reading()
        code = await slow.close_code()
        assert code in (CloseCode.SLOW_CONSUMER, 1006)


async def test_an_application_that_falls_behind_still_gets_all_events(tmp_path: Path) -> None:
    options = ConnectionOptions(event_buffer_max=50, backoff_base_s=0.02, backoff_max_s=0.1)
    async with running_router(tmp_path) as router, router.supervisor(options=options) as supervisor, asyncio.timeout(TIMEOUT_S):
        first = supervisor.seq + 1
        for number in range(300):
            await router.do(a_contact(f"c{number}"))
        numbers = []
        async for frame in supervisor:
            if isinstance(frame, f.EventFrame):
                numbers.append(frame.seq)
                if len(numbers) == 300:
                    break
        assert numbers == list(range(first, first + 300))


async def test_a_drain_sends_reconnect_and_closes_all_connections(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        asyncio.timeout(TIMEOUT_S),
        plain(router, headers=bearer(router, "a0", Role.AGENT)) as socket,
    ):
        await socket.send_frame(type="hello")
        await socket.receive()
        drained = asyncio.create_task(router.hub.drain(5))
        while (frame := await socket.receive())["type"] != "reconnect":
            pass
        assert frame["after_ms"] >= 0
        assert await socket.close_code() == CloseCode.SERVICE_RESTART
        await drained
        assert router.hub.subscriber_count == 0
        agent = (await router.writer.query("default", lambda engine: engine.agent("a0"))).value
        assert agent is not None
        assert agent.presence is Presence.LOST


async def test_the_desktop_of_a_removed_agent_is_closed(tmp_path: Path) -> None:
    from router.model.commands import RemoveAgent

    async with running_router(tmp_path) as router, router.desktop("a0") as desktop, asyncio.timeout(TIMEOUT_S):
        await router.do(RemoveAgent(agent_id="a0"))
        with pytest.raises(PermanentlyClosed) as closed:
            async for _ in desktop:
                pass
        assert closed.value.code == CloseCode.FORBIDDEN


async def test_a_command_in_flight_at_a_disconnect_has_an_unknown_outcome(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.gateway() as gateway, asyncio.timeout(TIMEOUT_S):
        asked = asyncio.create_task(gateway.submit("voice", queue_id="support"))
        await asyncio.sleep(0)
        await gateway.drop_connection()
        with pytest.raises(OutcomeUnknown) as unknown:
            await asked
        key = unknown.value.idempotency_key
        again = await gateway.submit("voice", queue_id="support", idempotency_key=key)
        other = await gateway.submit("voice", queue_id="support", idempotency_key=key)
        assert again.subject == other.subject


async def test_a_client_refreshes_its_token(tmp_path: Path) -> None:
    from router.server.auth.credentials import mint_token

    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        minted = []

        async def provide() -> str:
            minted.append(1)
            return mint_token(router.settings, subject="a0", role=Role.AGENT, lifetime_s=2)

        async with DesktopClient(router.ws_url, provide, options=AT_ONCE) as desktop:
            while len(minted) < 3:
                await desktop.ping()
                await asyncio.sleep(0.05)
            assert desktop.connection_count == 1


async def test_a_client_with_an_invalid_token_stops_reconnecting(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        with pytest.raises(PermanentlyClosed):
            async with DesktopClient(router.ws_url, "nonsense", options=AT_ONCE):
                pass
