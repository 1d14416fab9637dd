"""Check that the null server does the same as the router except for routing: compare their frames, responses and records.

The same desktops and gateways run the same lifecycles, one after the other, with each server. Every frame that a client receives
(except the welcome, which is sent before any measurement), every HTTP response and every record of the journal must occur in both,
in the same order and size, with the same fields and values. Only ids, history ids, times and counters may have other values. The
answers of a client are compared apart from its events: a submit is answered when its record and its reference are durable, and
nothing orders these two commits. Of the references, which the router seals, both must have stored the same number.

    python benchmarks/server/same_frames.py
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.server.http_load import HttpGateways
from benchmarks.server.load import Load
from benchmarks.server.null_references import FILE_NAME
from benchmarks.server.raw_websocket import RawWebSocket
from benchmarks.server.servers import Target, null_server, prepare, router
from router.context.sqlite.database import DATA_FILE
from router.journal.sqlite.journal import SqliteJournal

_DESKTOPS: Final = 3
_GATEWAYS: Final = 2
_CONTACTS: Final = 4
# Fields whose values differ between any two runs.
_RUN_SPECIFIC: Final = frozenset(
    {"at_ms", "assignment_id", "policy_version", "contact_id", "deadline_ms", "epoch", "first_seq", "history_id", "last_seq"}
    | {"offer_id", "seq", "subject", "waited_ms", "x-request-id", "location", "date"}
)
# MessagePack encodes greater numbers with more bytes.
_SIZE_DIFFERENCE_MAX_BYTES: Final = 4

Recorded: TypeAlias = dict[str, list[tuple[int, Any]]]
"""Size and content of all frames of each client, all HTTP responses and all records."""


async def differences(null: Callable[..., AbstractAsyncContextManager[Target]] = null_server) -> list[str]:
    """Return a text for each difference between the router and the null server, in one or more processes."""
    with tempfile.TemporaryDirectory() as directory:
        async with router(Path(directory, "router"), desktops=_DESKTOPS, gateways=_GATEWAYS) as target:
            from_router = await _drive(target)
        from_router["journal"] = await _records(Path(directory, "router", "journal.db"))
        from_router["references"] = _stored_references(Path(directory, "router", "context", DATA_FILE))
        async with null(Path(directory, "null"), desktops=_DESKTOPS, gateways=_GATEWAYS) as target:
            from_null = await _drive(target)
        from_null["journal"] = await _records(Path(directory, "null", "journal.db"))
        from_null["references"] = _stored_references(Path(directory, "null", FILE_NAME))
    return [
        difference
        for name in sorted(from_router | from_null)
        for difference in _compare(name, from_router.get(name, []), from_null.get(name, []))
    ]


async def _drive(target: Target) -> Recorded:
    """Run a few lifecycles, one after the other, with submits over WebSockets and HTTP."""
    recorded: Recorded = {}
    load = Load(target)
    await load.connect(ready=False)
    for desktop in load.desktops:
        # One after the other: the longest idle agent gets the first contact, and several edges have no order among them.
        await load.all_ready([desktop])
    http = HttpGateways(load)
    for socket in (*load.desktops, *load.gateways):
        _record_frames(socket, recorded)
    await http.connect(_GATEWAYS)
    responses = recorded["http"] = []
    http.on_raw_response = lambda head, body: responses.append((len(head) + len(body), _response_fields(head, body)))
    for submit in (load.submit, http.submit):
        for _ in range(_CONTACTS):
            submit(time.perf_counter_ns())
            await load.wait_until_idle()
            await asyncio.sleep(0.05)  # The last answers arrive after the event that completes the contact.
    http.close()
    load.close()
    if load.error_counts:
        raise SystemExit(f"{target.name}: {dict(load.error_counts)}")
    return recorded


def _record_frames(socket: RawWebSocket, recorded: Recorded) -> None:
    events = recorded[socket.name] = []
    answers = recorded[f"{socket.name}, answers"] = []

    def record(payload: bytes) -> None:
        frame = msgspec.msgpack.decode(payload)
        (events if frame["type"] == "event" else answers).append((len(payload), frame))

    socket.on_payload = record


def _response_fields(head: bytes, body: bytes) -> dict[str, Any]:
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return {"status": lines[0], "body": msgspec.json.decode(body), **headers}


async def _records(path: Path) -> list[tuple[int, Any]]:
    """Return the records of contacts and offers; only the router has records of agents."""
    journal = SqliteJournal(path, reserved_bytes=0)
    await journal.open()
    try:
        records = await journal.read("default", after_seq=0, limit=10_000)
    finally:
        await journal.close()
    wanted = (record for record in records if record.cause.partition(".")[0] in ("contact", "offer"))
    return [(len(data), msgspec.msgpack.decode(data)) for data in map(msgspec.msgpack.encode, wanted)]


def _stored_references(path: Path) -> list[tuple[int, Any]]:
    """Return an entry for each durable reference, without its value."""
    with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as connection:
        return [(0, None)] * len(connection.execute("SELECT contact_id FROM reference").fetchall())


def _compare(name: str, from_router: list[tuple[int, Any]], from_null: list[tuple[int, Any]]) -> list[str]:
    if len(from_router) != len(from_null):
        return [f"{name}: {len(from_router)} from the router, {len(from_null)} from the null server"]
    found = []
    for number, ((size, content), (null_size, null_content)) in enumerate(zip(from_router, from_null, strict=True)):
        if _without_run_values(content) != _without_run_values(null_content):
            found.append(f"{name} {number}: {_without_run_values(content)}\n   null: {_without_run_values(null_content)}")
        elif abs(size - null_size) > _SIZE_DIFFERENCE_MAX_BYTES:
            found.append(f"{name} {number}: {size} bytes from the router, {null_size} from the null server")
    return found


def _without_run_values(content: Any) -> Any:
    """Return the content with a placeholder for values that differ between runs."""
    if isinstance(content, dict):
        return {key: "…" if key in _RUN_SPECIFIC else _without_run_values(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_run_values(item) for item in content]
    return content


def main() -> int:
    """Print the differences; return 1 if there are any."""
    prepare(_DESKTOPS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(differences())
    print("\n".join(found) or "the same frames, responses and records")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
