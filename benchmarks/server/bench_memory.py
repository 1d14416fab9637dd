"""How much memory a desktop and a waiting contact take, as the operating system counts it: resident memory, before and after.

* **An idle desktop**: the agents exist; then all desktops connect (MessagePack, token in the header), are welcomed, and say
  nothing. Counted is all that the process takes for it: socket object, session, buffers, token, journaled event. Not counted is
  what the kernel holds for a connection, which belongs to no process. The null server's connection is the yardstick.
* **A waiting contact**: nobody is there to take it. Contacts are submitted over sockets until so many wait. Counted is
  everything that grows with them, the core's records and indexes before all; what the process keeps anyway (the newest
  records for those who resume) is filled by contacts before the counting begins.

Resident memory never quite shrinks, and allocators round up: differences of a per cent say nothing.

    python benchmarks/server/bench_memory.py [--quick] [--desktops 10000] [--contacts 100000] [--json FILE]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser
from benchmarks.server.load import Load
from benchmarks.server.servers import Target, null_server, prepare, router

QUICK_BUDGET_S = 25
GATEWAYS: Final = 8
IN_FLIGHT: Final = 512
FIRST_CONTACTS: Final = 10_000
REST_S: Final = 2.0


async def of_desktops(target: Target, errors: dict[str, int]) -> float:
    """Bytes for each connection."""
    load = Load(target)
    await asyncio.sleep(REST_S)
    before = target.process.rss_bytes()
    await load.connect(ready=False)
    await asyncio.sleep(REST_S)
    grown = target.process.rss_bytes() - before
    load.close()
    note(errors, load)
    return grown / len(target.desktops)


async def of_contacts(target: Target, contacts: int, errors: dict[str, int]) -> float:
    """Bytes for each contact that waits."""
    load = Load(target)
    await load.connect(ready=False)
    await submit_all(load, FIRST_CONTACTS)
    await asyncio.sleep(REST_S)
    before = target.process.rss_bytes()
    await submit_all(load, contacts)
    await asyncio.sleep(REST_S)
    grown = target.process.rss_bytes() - before
    load.close()
    note(errors, load)
    return grown / contacts


async def submit_all(load: Load, count: int) -> None:
    """Submit so many, a fixed number without an answer at a time; return when all are acknowledged."""
    until = load.acknowledged + count
    last = load.submitted + count
    done = asyncio.get_running_loop().create_future()

    def acknowledged() -> None:
        if load.submitted < last:
            load.submit(time.perf_counter_ns())
        elif load.acknowledged == until and not done.done():
            done.set_result(None)

    load.on_acknowledged = acknowledged
    load.on_refused = lambda: (
        None if done.done() else done.set_exception(RuntimeError("a submit was refused"))
    )
    for _ in range(min(IN_FLIGHT, count)):
        load.submit(time.perf_counter_ns())
    await asyncio.wait_for(done, 120)
    load.on_acknowledged = load.on_refused = lambda: None


def note(errors: dict[str, int], load: Load) -> None:
    """Keep what went wrong."""
    for what, count in load.error_counts.items():
        errors[what] = errors.get(what, 0) + count


async def run(options: argparse.Namespace, errors: dict[str, int]) -> tuple[float, float, float]:
    """The desktop, the null server's, the contact."""
    with tempfile.TemporaryDirectory() as directory:
        async with router(Path(directory, "idle"), desktops=options.desktops, gateways=1) as target:
            desktop = await of_desktops(target, errors)
        async with null_server(
            Path(directory, "null"), desktops=options.desktops, gateways=1
        ) as target:
            null_desktop = await of_desktops(target, errors)
        async with router(Path(directory, "waiting"), desktops=1, gateways=GATEWAYS) as target:
            contact = await of_contacts(target, options.contacts, errors)
    return desktop, null_desktop, contact


def main() -> int:
    """Parse, pin, run, print; 1 where anything was refused, lost or broken."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int)
    arguments.add_argument("--contacts", type=int)
    options = arguments.parse_args()
    options.desktops = options.desktops or (3_000 if options.quick else 10_000)
    options.contacts = options.contacts or (20_000 if options.quick else 100_000)
    prepare(options.desktops)
    errors: dict[str, int] = {}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        desktop, null_desktop, contact = runner.run(run(options, errors))
    result = Result(
        name="bench_memory",
        what="Resident memory of the router's process; yardstick: a connection of the null server",
        figures=[
            Figure(
                id="desktop_kib",
                title=f"an idle desktop, of {options.desktops:,}",
                value=desktop / 1024,
                unit="KiB",
                better="lower",
                target=20,
                floor=null_desktop / 1024,
            ),
            Figure(
                id="contact_kib",
                title=f"a waiting contact, of {options.contacts:,}",
                value=contact / 1024,
                unit="KiB",
                better="lower",
                target=2,
            ),
        ],
        details={"errors": errors},
    )
    finish(result, options)
    if errors:
        print(f"FAILED: {errors}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
