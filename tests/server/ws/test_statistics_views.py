"""Frames of watched statistics: as fast as they leave, so that the write buffer of a connection never overflows."""

import asyncio
from typing import Any

import msgspec
import pytest

from router.model.filters import SupervisorScope
from router.protocol.frames import ServerFrame
from router.server.ws import statistics_views
from router.server.ws.statistics_views import StatisticsViews
from router.server.ws.write_buffer import WriteBuffer
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period
from router.statistics.rows import StatisticsRow

BYTES_MAX = 100_000
COMMON: dict[str, object] = {"by": Dimension.AGENT, "period": Period.TODAY, "seq": 1, "at_ms": 1}
ROWS = [StatisticsRow(from_ms=0, to_ms=1, agent_id=f"a{number}") for number in range(1_000)]


class SlowTransport:
    """A transport whose client reads so many bytes before each look at what is left."""

    def __init__(self, bytes_a_look: int) -> None:
        self.buffered = self.written = 0
        self._bytes_a_look = bytes_a_look

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self.buffered += len(data)

    def get_write_buffer_size(self) -> int:
        self.buffered = max(0, self.buffered - self._bytes_a_look)
        return self.buffered

    def is_closing(self) -> bool:
        return False


class Watching:
    """A connection that watches."""

    session_id = "s"
    subprotocol = "json"
    live = True
    scope: SupervisorScope | None = None

    def __init__(self, bytes_a_look: int) -> None:
        self.transport = SlowTransport(bytes_a_look)
        loop = asyncio.get_running_loop()
        self.buffer = WriteBuffer(
            self.transport, schedule_flush=loop.call_soon, count_max=1_000, bytes_max=BYTES_MAX, on_overflow=self._overflowed
        )
        self.deliver = self.buffer.put

    @property
    def takes_more(self) -> bool:
        return self.buffer.takes_more

    def _overflowed(self) -> None:
        self.live = False


class Sender:
    """Encodes as JSON."""

    def encode(self, frame: ServerFrame, _subprotocol: str) -> bytes:
        return msgspec.json.encode(frame)

    def track_task(self, task: asyncio.Task[None]) -> None:
        """Do nothing."""


async def send(*connections: Watching) -> None:
    nothing: Any = None
    await StatisticsViews(Sender(), nothing, {}, 1_000)._send(list(connections), ROWS, is_whole=True, common=COMMON)
    await asyncio.sleep(0)


async def test_many_rows_are_sent_as_fast_as_they_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_views, "_PAUSE_S", 0)
    monkeypatch.setattr(statistics_views, "_PATIENCE_S", 3_600)
    slow, fast = Watching(20_000), Watching(1_000_000)
    await send(slow, fast)
    assert slow.live and fast.live
    assert slow.transport.written == fast.transport.written > 5 * BYTES_MAX


async def test_a_connection_that_takes_nothing_delays_others_only_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_views, "_PATIENCE_S", 0.02)
    stuck, fast = Watching(0), Watching(1_000_000)
    await send(stuck, fast)
    assert fast.live and not stuck.live
    assert fast.transport.written > 5 * BYTES_MAX
