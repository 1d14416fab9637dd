"""Resident memory of the router per connected desktop and per waiting contact.

* **An idle desktop**: the agents exist; all desktops connect (MessagePack, token in the header), receive the welcome and send
  nothing. The figure contains everything that the process allocates: socket object, session, buffers, token, journaled event. It
  does not contain the kernel's memory for the connection. The baseline is a connection of the null server.
* **A waiting contact**: no agent is ready. Contacts are submitted over sockets until the given number waits. The figure contains
  everything that grows with them, mostly the engine's records and indexes. Buffers of constant size (the newest records, kept for
  resume) are filled by contacts submitted before.

Resident memory rarely shrinks, and allocators round up: differences of a per cent are not significant.

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
PAUSE_S: Final = 2.0


async def bytes_per_desktop(target: Target, errors: dict[str, int]) -> float:
    """Return the bytes per connected desktop."""
    load = Load(target)
    await asyncio.sleep(PAUSE_S)
    before = target.process.rss_bytes()
    await load.connect(ready=False)
    await asyncio.sleep(PAUSE_S)
    grown = target.process.rss_bytes() - before
    load.close()
    add_errors(errors, load)
    return grown / len(target.desktops)


async def bytes_per_contact(target: Target, contacts: int, errors: dict[str, int]) -> float:
    """Return the bytes per waiting contact."""
    load = Load(target)
    await load.connect(ready=False)
    await submit_all(load, FIRST_CONTACTS)
    await asyncio.sleep(PAUSE_S)
    before = target.process.rss_bytes()
    await submit_all(load, contacts)
    await asyncio.sleep(PAUSE_S)
    grown = target.process.rss_bytes() - before
    load.close()
    add_errors(errors, load)
    return grown / contacts


async def submit_all(load: Load, count: int) -> None:
    """Submit contacts, a fixed number of them unacknowledged, and wait until all are acknowledged."""
    acknowledged_end = load.acknowledged + count
    submitted_end = load.submitted + count
    done = asyncio.get_running_loop().create_future()

    def acknowledged() -> None:
        if load.submitted < submitted_end:
            load.submit(time.perf_counter_ns())
        elif load.acknowledged == acknowledged_end and not done.done():
            done.set_result(None)

    load.on_acknowledged = acknowledged
    load.on_refused = lambda: None if done.done() else done.set_exception(RuntimeError("a submit was refused"))
    for _ in range(min(IN_FLIGHT, count)):
        load.submit(time.perf_counter_ns())
    await asyncio.wait_for(done, 120)
    load.on_acknowledged = load.on_refused = lambda: None


def add_errors(errors: dict[str, int], load: Load) -> None:
    """Add the errors of a load."""
    for kind, count in load.error_counts.items():
        errors[kind] = errors.get(kind, 0) + count


async def run(options: argparse.Namespace, errors: dict[str, int]) -> tuple[float, float, float]:
    """Return the bytes per desktop of the router and of the null server, and per waiting contact."""
    with tempfile.TemporaryDirectory() as directory:
        async with router(Path(directory, "idle"), desktops=options.desktops, gateways=1) as target:
            desktop = await bytes_per_desktop(target, errors)
        async with null_server(Path(directory, "null"), desktops=options.desktops, gateways=1) as target:
            null_desktop = await bytes_per_desktop(target, errors)
        async with router(Path(directory, "waiting"), desktops=1, gateways=GATEWAYS) as target:
            contact = await bytes_per_contact(target, options.contacts, errors)
    return desktop, null_desktop, contact


def main() -> int:
    """Parse the options, measure, print; return 1 if anything failed or was refused or lost."""
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
        what="Resident memory of the router's process; baseline: a connection of the null server",
        figures=[
            Figure(
                id="desktop_kib",
                title=f"an idle desktop, of {options.desktops:,}",
                value=desktop / 1024,
                unit="KiB",
                better="lower",
                target=20,
                baseline=null_desktop / 1024,
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
