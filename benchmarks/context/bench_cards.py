"""Submit to offer with customers, cards and steps, against the same contacts without: what does the customer context cost?

Two routers with the default settings run side by side. To one of them, contacts are submitted without a customer. To the other one
each contact comes with a customer and a context, so that the submit asks the customer context, the offer has a card, and what
changes is pushed; meanwhile 2,000 steps a second of the same customers are appended over HTTP. The due times are a Poisson process;
a latency lasts from the time at which a contact was due until the desktop has the offer, and every contact is accepted and ended.

Both are measured in alternating rounds, one after the other; the other router is idle then. The result is the median of the ratios
of the rounds (with customers / without) and an interval that contains it with 95 % (sign test; at least six rounds).

    python benchmarks/context/bench_cards.py [--quick] [--json FILE] [--rounds 20] [--rate 200] [--seconds 5] [--desktops 200]
        [--steps 2000] [--customers 5000]
"""

import asyncio
import gc
import random
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser
from benchmarks.paired_rounds import Comparison, compare_rounds, run_rounds, show
from benchmarks.server.load import Load, poisson
from benchmarks.server.servers import Target, prepare, router
from router.context.cards import ContactContext
from router.protocol import frames as f
from router.protocol.frames.fields import ContactCustomer

QUICK_BUDGET_S = 30

GATEWAYS: Final = 4
BATCH: Final = 50
IMPORTED: Final = 200
WARM_UP_S: Final = 1.0
RATIO_MAX: Final = 1.2
SHARES: Final = {"offer_p50_ms": 0.5, "offer_p95_ms": 0.95, "offer_p99_ms": 0.99}
SETTINGS: Final = {
    # The steps are of few customers, all of them active.
    "ROUTER__CONTEXT__CUSTOMER_STEPS_PER_MINUTE": "100000",
    "ROUTER__CONTEXT__STEPS_BURST": "100000",
    "ROUTER__CONTEXT__STEPS_PER_S": "4000",
    "ROUTER__SERVER__REQUESTS_PER_S": "10000",
    "ROUTER__SERVER__REQUESTS_BURST": "20000",
}


class Side(Struct, kw_only=True):
    """One of the routers, with its load."""

    name: str
    load: Load
    customer_ids: list[str]
    """Customers of the contacts; empty: they have none."""
    steps: "Steps | None" = None

    def submit(self, due_ns: int) -> None:
        """Submit a contact that was due at this time."""
        load = self.load
        reference = load.next_reference(due_ns)
        number = int(reference)
        customer = context = None
        if self.customer_ids:
            customer = ContactCustomer(customer_id=self.customer_ids[number * 7919 % len(self.customer_ids)])
            context = ContactContext(screen="loan/rates", intent="refinance", summary=f"Compared offer {number}.")
        fields = f.ContactFields(channel="voice", queue_id="support", reference=reference, customer=customer, context=context)
        load.gateways[number % len(load.gateways)].send(f.SubmitFrame(id=reference, contact=fields))


class Steps:
    """Appends steps at a fixed rate over HTTP, in batches, whether or not the answers come in time."""

    def __init__(self, session: aiohttp.ClientSession, target: Target, customer_ids: list[str], per_s: int) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{target.port}/v1/journey"
        self._headers = {"Authorization": f"Bearer {target.gateways[0][1]}", "Content-Type": "application/json"}
        self._customer_ids = customer_ids
        self._pause_s = BATCH / per_s if per_s else 0.0
        self._random = random.Random(3)
        self.accepted = 0

    def _body(self) -> bytes:
        chosen = self._random.choices(self._customer_ids, k=BATCH)
        step = {"type": "payment", "name": "invoice", "result": "failed", "channel": "app"}
        steps = [{"customer_id": name, **step} for name in chosen]
        return msgspec.json.encode({"steps": steps})

    async def _post(self) -> None:
        async with self._session.post(self._url, data=self._body(), headers=self._headers) as answer:
            found = await answer.json()
            if answer.status != 202 or found["accepted"] != BATCH:
                raise SystemExit(f"not a valid measurement: steps were not accepted: {answer.status} {found}")
            self.accepted += BATCH

    async def run(self) -> None:
        """Append steps until it is cancelled."""
        if not self._pause_s:
            return
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._post())
                due_s += self._pause_s
                await asyncio.sleep(max(0.0, due_s - loop.time()))


async def create_customers(session: aiohttp.ClientSession, target: Target, count: int) -> list[str]:
    """Create customers with a profile and return their ids."""
    headers = {"Authorization": f"Bearer {target.gateways[0][1]}"}
    found: list[str] = []
    for first in range(0, count, IMPORTED):
        entries: list[dict[str, Any]] = [
            {
                "identities": [
                    {"type": "app_user", "value": f"user-{number}", "assurance": "verified"},
                    {"type": "phone", "value": f"+4915{number:09d}"},
                ],
                "profile": {"name": f"Ann Miller {number}", "tier": "gold", "locale": "de-DE"},
            }
            for number in range(first, min(count, first + IMPORTED))
        ]
        url = f"http://127.0.0.1:{target.port}/v1/customers/batch"
        async with session.post(url, json={"customers": entries}, headers=headers) as answer:
            receipt = await answer.json()
            if receipt.get("rejected") or answer.status >= 300:
                raise SystemExit(f"customers could not be created: {receipt}")
            found += receipt["customer_ids"]
    return found


async def measure(side: Side, rate: float, seconds: float, seed: int) -> dict[str, float]:
    """Return the latencies of one round. Raises SystemExit if a contact was lost or refused."""
    load = side.load
    appending = None if side.steps is None else asyncio.create_task(side.steps.run())
    await load.open_loop(poisson(rate, WARM_UP_S, seed=seed), side.submit)
    load.offers = type(load.offers)()
    gc.collect()
    before = 0 if side.steps is None else side.steps.accepted
    await load.open_loop(poisson(rate, seconds, seed=seed + 1), side.submit)
    found = {} if side.steps is None else {"steps_per_s": (side.steps.accepted - before) / seconds}
    await load.wait_until_idle()
    if appending is not None:
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)
    if load.error_counts:
        raise SystemExit(f"not a valid measurement: {dict(load.error_counts)}")
    return found | {name: load.offers.quantile(share) / 1e6 for name, share in SHARES.items()}


async def card_counts(session: aiohttp.ClientSession, target: Target) -> dict[str, int]:
    """Return how many offers had a card, by its status."""
    async with session.get(target.metrics_url) as answer:
        lines = (await answer.text()).splitlines()
    found = {}
    for line in lines:
        if line.startswith("router_context_cards_total{"):
            labels, _, value = line.partition("} ")
            found[labels.partition('"')[2].rstrip('"')] = int(float(value))
    return found


def result_of(
    comparisons: list[Comparison], measured: dict[str, list[dict[str, float]]], cards: dict[str, int], options: Any
) -> Result:
    """Return the ratios and the latencies as figures."""
    figures = [
        Figure(
            id=f"{one.name.removesuffix('_ms')}.ratio",
            title=f"{one.title}, with customers / without",
            value=one.ratio,
            unit="ratio",
            better="lower",
            target=RATIO_MAX if one.name == "offer_p50_ms" else None,
            spread=one.interval,
            limit=None if one.interval else f"{one.rounds} rounds are too few for an interval",
        )
        for one in comparisons
    ]
    figures += [
        Figure(
            id=f"with.{one.name}", title=f"{one.title}, with customers", value=one.new, unit="ms", better="lower", baseline=one.base
        )
        for one in comparisons
    ]
    rates = [round_["steps_per_s"] for round_ in measured["with"]]
    figures.append(Figure.of_repeats(rates, id="steps_per_s", title="steps appended meanwhile", unit="/s"))
    shown = cards.get("complete", 0) + cards.get("partial", 0)
    offers = sum(number for status, number in cards.items() if not status.startswith("after_"))
    figures.append(
        Figure(
            id="cards.with_offer", title="offers that had their card", value=shown / max(1, offers), unit="ratio", better="higher"
        )
    )
    return Result(
        name="bench_cards",
        what=f"Submit to offer at {options.rate:g}/s with {options.desktops} desktops, with customers, cards and {options.steps:,} "
        f"steps a second of {options.customers:,} customers against without, in {options.rounds} alternating rounds of "
        f"{options.seconds:g} s: median of the ratios, with its 95 % interval as spread.",
        figures=figures,
        details={"rounds": measured, "cards": cards},
    )


def main() -> None:
    """Start both routers, measure in alternating rounds, and compare."""
    arguments = parser(__doc__)
    full: dict[str, float] = {"rounds": 20, "rate": 200.0, "seconds": 5.0, "desktops": 200, "steps": 2_000, "customers": 5_000}
    short: dict[str, float] = {"rounds": 2, "rate": 50.0, "seconds": 1.0, "desktops": 20, "steps": 500, "customers": 400}
    for name, value in full.items():
        arguments.add_argument(f"--{name}", type=type(value), metavar="N", default=None, help=f"default {value:g}")
    options = arguments.parse_args()
    for name, value in (short if options.quick else full).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    prepare(2 * options.desktops)
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stack = AsyncExitStack()

        async def start() -> tuple[dict[str, Side], aiohttp.ClientSession]:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            sides = {}
            for name in ("without", "with"):
                running = router(Path(directory, name), desktops=options.desktops, gateways=GATEWAYS, settings=SETTINGS)
                target = await stack.enter_async_context(running)
                load = Load(target)
                await load.connect()
                side = Side(name=name, load=load, customer_ids=[])
                if name == "with":
                    side.customer_ids = await create_customers(session, target, options.customers)
                    side.steps = Steps(session, target, side.customer_ids, options.steps)
                sides[name] = side
            return sides, session

        try:
            sides, session = runner.run(start())
            seeds = iter(range(1_000_000))

            def measure_now(side: Side) -> dict[str, float]:
                # The two sides of a round get the same due times.
                return runner.run(measure(side, options.rate, options.seconds, 2 * (next(seeds) // 2) + 1))

            measured = run_rounds(sides, options.rounds, measure_now, describe=lambda found: f"p50 {found['offer_p50_ms']:.2f} ms")
            cards = runner.run(card_counts(session, sides["with"].load.target))
            for side in sides.values():
                side.load.close()
        finally:
            runner.run(stack.aclose())
    if not cards.get("complete"):
        raise SystemExit(f"not a valid measurement: no offer had a card: {cards}")
    comparisons = [
        compare_rounds(
            name,
            [one[name] for one in measured["without"]],
            [one[name] for one in measured["with"]],
            title=f"submit to offer, p{share * 100:g}",
            unit="ms",
            better="lower",
        )
        for name, share in SHARES.items()
    ]
    show("cards: with customers / without", comparisons, Console(width=132))
    finish(result_of(comparisons, measured, cards, options), options)


if __name__ == "__main__":
    main()
