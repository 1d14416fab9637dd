"""Measure one checkout once and print the figures as JSON; started by ``pairs.py`` with the checkout's own sources.

    python pair_side.py CHECKOUT --desktops 500 --seconds 2 --rate 500

Lifecycles per second with 256 contacts in flight, over WebSockets and over HTTP, with the server's CPU time for each; the latency
from submit to offer of a Poisson process with the given rate; and a lifecycle in the engine alone.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    # The folder of this script holds the sources of another checkout.
    sys.path[0] = sys.argv[1]

from benchmarks.server.http_load import HttpGateways
from benchmarks.server.load import Load, poisson
from benchmarks.server.servers import POLICY, prepare, router
from router.engine.engine import Engine
from router.model.commands import (
    AcceptOffer,
    CompleteAssignment,
    EndContact,
    EnqueueContact,
    PublishPolicy,
    PutAgent,
    SetAgentState,
)
from router.model.states import AgentState
from router.policy.document.parsing import parse_policy

_WINDOW: Final = 256
_GATEWAYS: Final = 8
_HTTP_CONNECTIONS: Final = 128
# Few desktops carry the load of a large centre.
_LIMITS: Final = {
    f"ROUTER__SOCKETS__{name}": "1000000"
    for name in ("FRAMES_PER_S", "FRAMES_BURST", "GATEWAY_FRAMES_PER_S", "GATEWAY_FRAMES_BURST")
}
_ENGINE_REPEATS: Final = 5
_START_MS: Final = 1_800_000_000_000


async def measure(desktops: int, seconds: float, rate: float) -> dict[str, float]:
    """Return the figures of the running server. Raises SystemExit if a contact was lost or refused."""
    prepare(desktops)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        async with router(Path(directory, "router"), desktops=desktops, gateways=_GATEWAYS, settings=_LIMITS) as target:
            load = Load(target)
            await load.connect()
            pool = HttpGateways(load)
            await pool.connect(_HTTP_CONNECTIONS)
            for name, submit in (("ws", load.submit), ("http", pool.submit)):
                measured = await load.closed_loop(seconds, _WINDOW, submit)
                found[f"{name}_per_s"] = measured.per_s
                found[f"{name}_cpu_us"] = measured.server_us
            load.offers = type(load.offers)()
            await load.open_loop(poisson(rate, seconds * 1.5), load.submit)
            await load.wait_until_idle()
            for share in (50, 95, 99):
                found[f"offer_p{share}_ms"] = load.offers.quantile(share / 100) / 1e6
            errors = load.error_counts
            pool.close()
            load.close()
    if not all(found.values()):
        raise SystemExit(f"not a valid measurement: nothing happened, the load is too short: {found}")
    if errors:
        raise SystemExit(f"not a valid measurement: {dict(errors)}")
    return found


def engine_lifecycle_us(agents: int, contacts: int) -> float:
    """Return the processor time of a lifecycle in the engine: submit, offer, accept, end; the best of some repeats."""
    engine = Engine()
    engine.handle(PublishPolicy(policy=parse_policy(POLICY.encode())), _START_MS)
    for number in range(agents):
        engine.handle(PutAgent(agent_id=f"a{number}"), _START_MS)
        engine.handle(SetAgentState(agent_id=f"a{number}", state=AgentState.READY), _START_MS)
    best_s = float("inf")
    for repeat in range(_ENGINE_REPEATS):
        started_s = time.thread_time()
        for number in range(contacts):
            contact_id, at_ms = f"c{repeat}-{number}", _START_MS + repeat * contacts + number
            queued = engine.handle(EnqueueContact(contact_id=contact_id, channel="voice", queue_id="support"), at_ms)
            offer_id = f"{contact_id}.1"
            agent_id = getattr(queued.events[-1], "agent_id", None)
            if agent_id is None:
                raise SystemExit("not a valid measurement: the engine made no offer")
            engine.handle(AcceptOffer(offer_id=offer_id, agent_id=agent_id), at_ms)
            engine.handle(EndContact(contact_id=contact_id), at_ms)
            engine.handle(CompleteAssignment(assignment_id=offer_id), at_ms)
        best_s = min(best_s, time.thread_time() - started_s)
    return best_s / contacts * 1e6


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("checkout", type=Path)
    arguments.add_argument("--desktops", type=int, default=500)
    arguments.add_argument("--seconds", type=float, default=2.0)
    arguments.add_argument("--rate", type=float, default=500.0)
    options = arguments.parse_args()
    found = asyncio.run(measure(options.desktops, options.seconds, options.rate))
    found["engine_us"] = engine_lifecycle_us(options.desktops, max(50, int(1_000 * options.seconds)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
