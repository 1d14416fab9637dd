"""Is the null server the router without routing? The same lifecycles through both, compared frame by frame and record by record.

The same desktops and gateways do the same, one thing after the other, with each server. Every frame that each client gets (but
for the welcome, which is sent before any measurement), every HTTP answer and every record in the journal has to be there in
both, in the same order and of the same size, with the same fields and values; only ids, generations, times and what counts up
may differ in value.

    python benchmarks/server/same_frames.py
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.server.http_load import HttpGateways
from benchmarks.server.load import Load
from benchmarks.server.raw_websocket import RawWebSocket
from benchmarks.server.servers import Target, null_server, prepare, router
from router.journal.sqlite.journal import SqliteJournal

_DESKTOPS: Final = 3
_GATEWAYS: Final = 2
_CONTACTS: Final = 4
# What no two runs have in common. `cfg` is the seq of the policy.
_OWN: Final = frozenset(
    {
        "at_ms",
        "assignment_id",
        "policy_version",
        "contact_id",
        "deadline_ms",
        "epoch",
        "first_seq",
        "history_id",
        "last_seq",
    }
    | {"offer_id", "seq", "subject", "waited_ms", "x-request-id", "location", "date"}
)
# Encoded numbers grow with the number.
_GROWS_BYTES: Final = 4

Seen: TypeAlias = dict[str, list[tuple[int, Any]]]
"""For each client, and for the journal: what it got, as size and content."""


async def differences(
    null: Callable[..., AbstractAsyncContextManager[Target]] = null_server,
) -> list[str]:
    """What differs, in words; nothing where the null server, in one process or more, is fair."""
    with tempfile.TemporaryDirectory() as directory:
        async with router(
            Path(directory, "router"), desktops=_DESKTOPS, gateways=_GATEWAYS
        ) as target:
            ours = await _drive(target)
        ours["journal"] = await _records(Path(directory, "router", "journal.db"))
        async with null(Path(directory, "null"), desktops=_DESKTOPS, gateways=_GATEWAYS) as target:
            theirs = await _drive(target)
        theirs["journal"] = await _records(Path(directory, "null", "journal.db"))
    return [
        difference
        for name in sorted(ours | theirs)
        for difference in _compare(name, ours.get(name, []), theirs.get(name, []))
    ]


async def _drive(target: Target) -> Seen:
    """A few lifecycles, one after the other, by socket and by HTTP."""
    seen: Seen = {}
    load = Load(target)
    await load.connect(ready=False)
    for desktop in load.desktops:
        # One after the other: whoever was ready first gets the first contact, and several edges promise no order among them.
        await load.all_ready([desktop])
    http = HttpGateways(load)
    for socket in (*load.desktops, *load.gateways):
        _listen(socket, seen)
    await http.connect(_GATEWAYS)
    answers = seen["http"] = []
    http.on_answer = lambda head, body: answers.append((len(head) + len(body), _plain(head, body)))
    for submit in (load.submit, http.submit):
        for _ in range(_CONTACTS):
            submit(time.perf_counter_ns())
            await load.settle()
            await asyncio.sleep(0.05)  # The last answers come after the event that settles it.
    http.close()
    load.close()
    if load.error_counts:
        raise SystemExit(f"{target.name}: {dict(load.error_counts)}")
    return seen


def _listen(socket: RawWebSocket, seen: Seen) -> None:
    mine = seen[socket.name] = []
    socket.on_payload = lambda payload: mine.append((len(payload), msgspec.msgpack.decode(payload)))


def _plain(head: bytes, body: bytes) -> dict[str, Any]:
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return {"status": lines[0], "body": msgspec.json.decode(body), **headers}


async def _records(path: Path) -> list[tuple[int, Any]]:
    """The records of contacts: agents are created and connected by the router's journal alone."""
    journal = SqliteJournal(path, reserved_bytes=0)
    await journal.open()
    try:
        records = await journal.read("default", after_seq=0, limit=10_000)
    finally:
        await journal.close()
    wanted = (
        record for record in records if record.cause.partition(".")[0] in ("contact", "offer")
    )
    return [
        (len(data), msgspec.msgpack.decode(data)) for data in map(msgspec.msgpack.encode, wanted)
    ]


def _compare(name: str, ours: list[tuple[int, Any]], theirs: list[tuple[int, Any]]) -> list[str]:
    if len(ours) != len(theirs):
        return [f"{name}: {len(ours)} from the router, {len(theirs)} from the null server"]
    found = []
    for number, ((size, content), (null_size, null_content)) in enumerate(
        zip(ours, theirs, strict=True)
    ):
        if _bare(content) != _bare(null_content):
            found.append(f"{name} {number}: {_bare(content)}\n   null: {_bare(null_content)}")
        elif abs(size - null_size) > _GROWS_BYTES:
            found.append(
                f"{name} {number}: {size} bytes from the router, {null_size} from the null server"
            )
    return found


def _bare(content: Any) -> Any:
    """Without the values that are a run's own."""
    if isinstance(content, dict):
        return {key: "…" if key in _OWN else _bare(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_bare(one) for one in content]
    return content


def main() -> int:
    """1 where something differs."""
    prepare(_DESKTOPS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(differences())
    print("\n".join(found) or "the same frames, answers and records")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
