"""The load generator of the server benchmarks, and the null server: the same frames and records as the router."""

import asyncio
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.server import same_frames
from benchmarks.server.chart import Curve, Mark, draw
from benchmarks.server.histogram import Histogram
from benchmarks.server.load import evenly, poisson
from benchmarks.server.raw_websocket import RawWebSocket, ReceivedFrame
from router.protocol.codec import MSGPACK, frame_encoder
from router.protocol.frames import PongFrame, WelcomeFrame


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@pytest.mark.parametrize("share", [0.001, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_a_quantile_is_at_most_one_per_cent_too_high(share: float) -> None:
    generator = random.Random(7)
    values = sorted(int(generator.expovariate(1 / 3_000_000)) for _ in range(20_000))

    quantile = filled(values).quantile(share)

    exact = values[max(0, round(len(values) * share) - 1)]
    assert exact <= quantile <= exact * 1.008 + 1


def test_small_values_and_the_maximum_are_exact() -> None:
    histogram = filled([0, 1, 2, 255, 10**11])

    assert [histogram.quantile(share) for share in (0.2, 0.4, 0.6, 0.8)] == [0, 1, 2, 255]
    assert histogram.quantile(1.0) == histogram.max == 10**11
    assert filled([-5]).quantile(1.0) == 0
    assert Histogram().quantile(0.99) == 0


def test_the_sum_of_two_histograms_contains_all_values() -> None:
    both = filled([1, 1000]) + filled([5, 70_000])

    assert list(both.points()) == list(filled([1, 5, 1000, 70_000]).points())
    assert (both.count, both.max, both.mean) == (4, 70_000, 71_006 / 4)


def test_arrival_times_have_the_rate_and_are_reproducible() -> None:
    times_s = list(poisson(1_000, 20))

    assert len(times_s) == pytest.approx(20_000, rel=0.03)
    assert times_s == sorted(times_s) == list(poisson(1_000, 20))
    assert times_s != list(poisson(1_000, 20, seed=2))[: len(times_s)]
    assert list(evenly(4, 1)) == [0, 0.25, 0.5, 0.75]


def test_the_chart_shows_every_curve_and_every_target(tmp_path: Path) -> None:
    path = tmp_path / "latency.svg"
    slow = filled([10**6 * (1 + number // 900) for number in range(1000)])

    draw(path, "a title", [Curve("a", slow), Curve("b", slow)], [Mark(0.99, 5, "a target")])

    text = "".join(ElementTree.fromstring(path.read_text()).itertext())
    assert all(word in text for word in ("a title", "a target", "99.9 %"))
    assert path.read_text().count("<polyline") == 2


async def test_a_client_resumes_from_the_position_in_its_welcome() -> None:
    welcome = WelcomeFrame(
        role="agent", workspace="default", history_id="h", epoch=1, seq=7, at_ms=0, heartbeat_s=20, session_id="s"
    )
    payload = frame_encoder(MSGPACK).encode(welcome)
    socket = RawWebSocket("/v1/desktop", "d", "token")
    socket.connection_made(FakeTransport())

    socket.data_received(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    socket.data_received(bytes((0x82, len(payload))) + payload)

    assert socket.welcomed.done() and socket.position == "h:7"


async def test_frames_are_decoded_for_any_chunk_size() -> None:
    payload = frame_encoder(MSGPACK).encode(PongFrame(id="p" * 60, at_ms=1, seq=7))
    long = frame_encoder(MSGPACK).encode(PongFrame(id="q" * 200, at_ms=1, seq=8))
    stream = (
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        + bytes((0x82, len(payload)))
        + payload
        + bytes((0x82, 126))
        + len(long).to_bytes(2, "big")
        + long
    )
    for size in (1, 3, 50, len(stream)):
        frames: list[ReceivedFrame] = []
        socket = RawWebSocket("/v1/desktop", "d", "token")
        socket.connection_made(FakeTransport())
        socket.on_frame = frames.append

        for start in range(0, len(stream), size):
            socket.data_received(stream[start : start + size])

        assert [(frame.type, frame.seq) for frame in frames] == [("pong", 7), ("pong", 8)]
        assert socket.position.endswith(":8")


class FakeTransport(asyncio.Transport):
    """Ignores the data written."""

    def write(self, data: Any) -> None:
        """Ignore the data."""


async def test_the_null_server_sends_and_writes_the_same_as_the_router() -> None:
    assert await same_frames.differences() == []
