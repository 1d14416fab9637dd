"""The split null server: the same frames and records as the router, the protocol between its processes, and estimates."""

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
    decode_edge_messages,
    decode_leader_messages,
    encode_bundle,
)
from benchmarks.server.split import DirectLoad, MeteredLoad, split_server
from router.protocol.codec import MSGPACK, frame_encoder
from router.protocol.frames import AcceptFrame, ContactFields, OkFrame
from router.protocol.session import Endpoint
from router.server.ws.write_buffer import FlushScheduler

encode = frame_encoder(MSGPACK).encode


@pytest.mark.parametrize("size", [1, 3, 4, 5, 64, 1000])
def test_bundles_are_complete_for_any_chunk_size(size: int) -> None:
    bundles = [encode_bundle([client_message(number, b"\x01" * number)]) for number in (0, 1, 300, 2)]
    stream = b"".join(bundles)
    reader = BundleReader()

    found = [bundle for start in range(0, len(stream), size) for bundle in reader.feed(stream[start : start + size])]

    assert found == [bundle[4:] for bundle in bundles]


def test_the_leader_decodes_the_messages_of_an_edge() -> None:
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

    assert decode_edge_messages(data[4:]) == [
        OpenedMessage(3, "ada", Endpoint.DESKTOP),
        ClientMessage(3, accept),
        HttpSubmitMessage(4, "web", fields),
        ClosedMessage(3),
    ]


class RecordingTransport(asyncio.Transport):
    """Records the data written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(data)


def test_a_loop_iteration_is_one_bundle_with_each_shared_frame_once() -> None:
    scheduled: list[Any] = []
    transport = RecordingTransport()
    link = BundleConnection(FlushScheduler(scheduled.append), decode=decode_leader_messages, on_bundle=print, on_lost=lambda: None)
    link.connection_made(transport)
    event, ok, other = (OkFrame(id=id, seq=1, subject="s", state="x") for id in "eoo")

    for number, frame in ((1, event), (2, event), (2, ok), (3, other)):
        link.send_frame(number, frame)
    for flush in scheduled:
        flush()
    link.send_frame(1, event)
    scheduled[-1]()

    first, second = (decode_leader_messages(data[4:]) for data in transport.written)
    assert first == [([1, 2], Raw(encode(event))), ([2], Raw(encode(ok))), ([3], Raw(encode(other)))]
    assert second == [([1], Raw(encode(event)))]
    assert (link.messages, link.bundles) == (4, 2)


@pytest.mark.parametrize("edges", [1, 3])
async def test_the_split_null_server_sends_and_writes_the_same_as_the_router(edges: int) -> None:
    assert await same_frames.differences(partial(split_server, edges=edges)) == []


async def test_a_direct_load_needs_no_edges(tmp_path: Path) -> None:
    async with split_server(tmp_path / "fed", desktops=5, gateways=2, edges=0) as target:
        load = DirectLoad(target, 2)
        await load.connect()
        for _ in range(20):
            load.submit(0)
        await load.wait_until_idle()
        load.close()

    assert (load.completed, load.acknowledged, load.error_counts) == (20, 20, {})


async def test_when_an_edge_ends_the_other_clients_are_still_served(tmp_path: Path) -> None:
    async with split_server(tmp_path / "two", desktops=4, gateways=1) as target:
        over_edge = MeteredLoad(target)
        await over_edge.connect(ready=False)
        target.desktops, target.gateways = [("z", "z")], [("w", "w")]
        direct = DirectLoad(target, 1)
        await direct.connect()

        target.edges[0].stop()
        for _ in range(3):
            direct.submit(0)
        await direct.wait_until_idle()

        assert over_edge.errors.total() == 5, "four desktops and a gateway lose their connections"
        assert target.process.is_running and not target.edges[0].is_running
        assert (direct.completed, direct.error_counts) == (3, {})
        over_edge.close()
        direct.close()


def test_estimates_assume_that_routing_stays_in_the_leader() -> None:
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
