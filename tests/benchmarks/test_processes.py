"""The null server in several processes: the same frames and records, whole bundles however they are cut, and estimates."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from benchmarks.server import same_frames
from benchmarks.server.bench_processes import estimates
from benchmarks.server.message_bundles import (
    BundleConnection,
    BundleReader,
    ClientMessage,
    ClosedMessage,
    HttpSubmitMessage,
    OpenedMessage,
    client_message,
    decode_downwards,
    decode_upwards,
    encode_bundle,
)
from benchmarks.server.split import DirectLoad, MeteredLoad, split_server
from router.protocol.codec import MSGPACK, frame_encoder
from router.protocol.frames import AcceptFrame, ContactFields, OkFrame
from router.protocol.session import Endpoint
from router.server.ws.write_buffer import FlushScheduler

encode = frame_encoder(MSGPACK).encode


@pytest.mark.parametrize("size", [1, 3, 4, 5, 64, 1000])
def test_bundles_are_whole_however_the_bytes_are_cut(size: int) -> None:
    bundles = [
        encode_bundle([client_message(number, b"\x01" * number)]) for number in (0, 1, 300, 2)
    ]
    stream = b"".join(bundles)
    reader = BundleReader()

    found = [
        one
        for start in range(0, len(stream), size)
        for one in reader.feed(stream[start : start + size])
    ]

    assert found == [one[4:] for one in bundles]


def test_what_an_edge_says_is_what_the_leader_reads() -> None:
    accept = AcceptFrame(id="a", offer_id="c.1")
    fields = ContactFields(channel="voice", reference="7")

    data = encode_bundle(
        [
            OpenedMessage(3, "ada", Endpoint.DESKTOP),
            client_message(3, encode(accept)),
            HttpSubmitMessage(4, "web", fields),
            ClosedMessage(3),
        ]
    )

    assert decode_upwards(data[4:]) == [
        OpenedMessage(3, "ada", Endpoint.DESKTOP),
        ClientMessage(3, accept),
        HttpSubmitMessage(4, "web", fields),
        ClosedMessage(3),
    ]


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(data)


def test_a_tick_is_one_bundle_and_what_several_hear_is_in_it_once() -> None:
    soon: list[Any] = []
    wire = Wire()
    link = BundleConnection(
        FlushScheduler(soon.append), decode=decode_downwards, hear=print, lost=lambda: None
    )
    link.connection_made(wire)
    event, ok, other = (OkFrame(id=id, seq=1, subject="s", state="x") for id in "eoo")

    for number, told in ((1, event), (2, event), (2, ok), (3, other)):
        link.flush(number, told)
    for run in soon:
        run()
    link.flush(1, event)
    soon[-1]()

    first, second = (decode_downwards(one[4:]) for one in wire.written)
    assert first == [
        ([1, 2], Raw(encode(event))),
        ([2], Raw(encode(ok))),
        ([3], Raw(encode(other))),
    ]
    assert second == [([1], Raw(encode(event)))]
    assert (link.messages, link.bundles) == (4, 2)


@pytest.mark.parametrize("edges", [1, 3])
async def test_split_it_sends_and_writes_what_the_router_does(edges: int) -> None:
    assert await same_frames.differences(partial(split_server, edges=edges)) == []


async def test_a_load_can_be_its_own_edges(tmp_path: Path) -> None:
    async with split_server(tmp_path / "fed", desktops=5, gateways=2, edges=0) as target:
        load = DirectLoad(target, 2)
        await load.connect()
        for _ in range(20):
            load.submit(0)
        await load.settle()
        load.close()

    assert (load.completed, load.acknowledged, load.error_counts) == (20, 20, {})


async def test_an_edge_ends_with_its_clients_and_the_others_go_on(tmp_path: Path) -> None:
    async with split_server(tmp_path / "two", desktops=4, gateways=1) as target:
        edge = MeteredLoad(target)
        await edge.connect(ready=False)
        target.desktops, target.gateways = [("z", "z")], [("w", "w")]
        fed = DirectLoad(target, 1)
        await fed.connect()

        target.edges[0].stop()
        for _ in range(3):
            fed.submit(0)
        await fed.settle()

        assert edge.errors.total() == 5, "four desktops and a gateway are lost"
        assert target.process.is_running and not target.edges[0].is_running
        assert (fed.completed, fed.error_counts) == (3, {})
        edge.close()
        fed.close()


def test_estimates_leave_routing_with_the_leader() -> None:
    found = estimates(
        {
            "router.main_us": 180.0,
            "router.http.main_us": 330.0,
            "one.main_us": 150.0,
            "one.http.main_us": 210.0,
            "two_cores.main_us": 90.0,
            "two_cores.http.main_us": 100.0,
            "two_cores.edges_us": 60.0,
            "two_cores.http.edges_us": 110.0,
        }
    )

    assert found == {
        "leader_us": 120.0,
        "times": 1.5,
        "edges": 0.5,
        "leader_us.http": 220.0,
        "times.http": 1.5,
        "edges.http": 0.5,
        "times.http_at_best": 2.75,
    }
