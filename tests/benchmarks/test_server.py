"""The load on the edge: what it counts with is right, and the null server does what the router does, without routing."""

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
from router.protocol.frames import PongFrame


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@pytest.mark.parametrize("share", [0.001, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_a_quantile_is_at_most_a_hundredth_above_the_true_one(share: float) -> None:
    chance = random.Random(7)
    values = sorted(int(chance.expovariate(1 / 3_000_000)) for _ in range(20_000))

    quantile = filled(values).quantile(share)

    true = values[max(0, round(len(values) * share) - 1)]
    assert true <= quantile <= true * 1.008 + 1


def test_small_values_and_the_longest_are_exact() -> None:
    histogram = filled([0, 1, 2, 255, 10**11])

    assert [histogram.quantile(share) for share in (0.2, 0.4, 0.6, 0.8)] == [0, 1, 2, 255]
    assert histogram.quantile(1.0) == histogram.max == 10**11
    assert filled([-5]).quantile(1.0) == 0
    assert Histogram().quantile(0.99) == 0


def test_two_histograms_together_are_that_of_all_values() -> None:
    both = filled([1, 1000]) + filled([5, 70_000])

    assert list(both.points()) == list(filled([1, 5, 1000, 70_000]).points())
    assert (both.count, both.max, both.mean) == (4, 70_000, 71_006 / 4)


def test_arrivals_come_at_the_rate_and_the_same_in_every_run() -> None:
    at = list(poisson(1_000, 20))

    assert len(at) == pytest.approx(20_000, rel=0.03)
    assert at == sorted(at) == list(poisson(1_000, 20))
    assert at != list(poisson(1_000, 20, seed=2))[: len(at)]
    assert list(evenly(4, 1)) == [0, 0.25, 0.5, 0.75]


def test_the_picture_shows_every_curve_and_every_target(tmp_path: Path) -> None:
    path = tmp_path / "latency.svg"
    slow = filled([10**6 * (1 + number // 900) for number in range(1000)])

    draw(path, "a title", [Curve("a", slow), Curve("b", slow)], [Mark(0.99, 5, "a target")])

    words = "".join(ElementTree.fromstring(path.read_text()).itertext())
    assert all(word in words for word in ("a title", "a target", "99.9 %"))
    assert path.read_text().count("<polyline") == 2


async def test_frames_are_heard_however_the_bytes_are_cut() -> None:
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
        heard: list[ReceivedFrame] = []
        socket = RawWebSocket("/v1/desktop", "d", "token")
        socket.connection_made(FakeTransport())
        socket.hear = heard.append

        for start in range(0, len(stream), size):
            socket.data_received(stream[start : start + size])

        assert [(one.type, one.seq) for one in heard] == [("pong", 7), ("pong", 8)]
        assert socket.position.endswith(":8")


class FakeTransport(asyncio.Transport):
    """Takes what is written."""

    def write(self, data: Any) -> None:
        """Nobody reads it."""


async def test_the_null_server_sends_and_writes_what_the_router_does() -> None:
    assert await same_frames.differences() == []
