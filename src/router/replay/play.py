"""One run on a reachable router, from the policy to the report; shared by ``router loadtest`` and ``router demo``."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, structs
from rich.console import Console

from router.edge.auth import mint_token
from router.model.commands import AdvanceTime
from router.model.policy import Policy
from router.replay.api import Api, Recorded
from router.replay.board import shown
from router.replay.checks import (
    Check,
    audit,
    check_agents,
    check_contacts,
    check_feed,
    check_offers,
    outcome_of,
    steps,
)
from router.replay.day_clock import DayClock
from router.replay.failure import ReplayFailed
from router.replay.floor import Floor, Place, Tokens, open_floor
from router.replay.report import ReplayReport, RunFigures, late_ms, latency_of, make_report
from router.replay.scaling import Scaling
from router.settings import Settings
from router.simulator.day import Day
from router.simulator.digest import HistoryDigest
from router.simulator.report import Audit

Options = dict[str, str | int | float | bool | None]


class Planned(Struct, frozen=True, kw_only=True):
    """Day to run, and how the report names it."""

    day: Day
    source: tuple[str, ...]
    options: Options
    speed: float


class Ways(Struct, frozen=True, kw_only=True):
    """Options of a run."""

    publish: bool
    """Whether to publish the day's policy in any case; otherwise only if no policy is active, else use the active one."""
    is_ours: bool
    """Whether the router was started for this run; its whole history is then audited."""
    cores_apart: bool = False
    """Whether the router has a processor core of its own."""
    serve_strangers: bool = False
    """Whether the agents accept contacts that are not part of the day."""


async def play_day(
    place: Place,
    planned: Planned,
    ways: Ways,
    *,
    console: Console,
    afterwards: Callable[[Floor, ReplayReport], Awaitable[None]] | None = None,
) -> ReplayReport:
    """Run the day and return its report; ``afterwards`` is awaited while all clients are still connected."""
    contacts = sorted(planned.day.contacts, key=lambda contact: contact.at_ms)
    planned = structs.replace(planned, day=structs.replace(planned.day, contacts=contacts))
    scaling = Scaling(planned.speed)
    clock = DayClock(start_ms=planned.day.start_ms, speed=planned.speed)
    admin = place.tokens("admin", place.supervisor_id)
    async with Api(place.url, lambda: str(admin())) as api:
        in_force = await _settle_policy(api, scaling.policy(planned.day.policy), ways)
        async with open_floor(
            place,
            planned.day,
            api=api,
            scaling=scaling,
            clock=clock,
            serve_strangers=ways.serve_strangers,
        ) as floor:
            async with shown(floor, console):
                await floor.play()
            report = await _conclude(floor, api, planned, ways, scaling, in_force)
            if afterwards is not None:
                await afterwards(floor, report)
    return report


def tokens_of(settings: Settings, *, workspace: str = "default") -> Tokens:
    """Return a factory of token providers; tokens are signed with the secret that the settings point to."""

    def tokens(role: str, subject: str) -> Callable[[], str]:
        def mint() -> str:
            return mint_token(settings, subject=subject, role=role, workspace=workspace)

        return mint

    return tokens


# --- policy -----------------------------------------------------------------------------------------


async def _settle_policy(api: Api, wanted: Policy, ways: Ways) -> Policy:
    """Publish the policy if necessary, or check that the active one fits the day; return the active policy."""
    present = await api.policy()
    if present == wanted:
        return wanted
    if ways.publish or present is None:
        await api.publish(wanted)
        return wanted
    missing = [
        *(f"channel {name}" for name in wanted.channels if name not in present.channels),
        *(f"queue {name}" for name in wanted.queues if name not in present.queues),
        *(f"skill {name}" for name in wanted.skills if name not in present.skills),
    ]
    if missing:
        raise ReplayFailed(
            f"the router's policy lacks elements that the day needs ({', '.join(missing[:5])}"
            f"{' …' if len(missing) > 5 else ''}); give --publish to replace the router's policy by the "
            "day's, or omit --url to start a separate router"
        )
    return present


# --- report -----------------------------------------------------------------------------------------


async def _conclude(
    floor: Floor, api: Api, planned: Planned, ways: Ways, scaling: Scaling, in_force: Policy
) -> ReplayReport:
    watch = floor.watch
    first_seq = 0 if ways.is_ours else watch.first_seq - 1
    recorded = [one async for one in api.history(gen=watch.supervisor.gen, after_seq=first_seq)]
    history = [one for one in recorded if one.seq >= watch.first_seq]
    if not history:
        raise ReplayFailed("the router has recorded no events of the day")
    checks = [
        *check_contacts(floor.book, history),
        check_agents(floor.day.agents, in_force, history),
        check_offers(history),
        *check_feed(watch, history),
    ]
    books = Audit(checks=len(checks))
    if ways.is_ours:
        books, agreed = audit(recorded, live=await api.live_contacts())
        checks.append(agreed)
    options = planned.options | {"speed": planned.speed}
    if in_force != scaling.policy(planned.day.policy):
        options["policy_in_force"] = "the router's own"
    return make_report(
        day=floor.day,
        book=floor.book,
        clock=floor.clock,
        history=history,
        source=planned.source,
        options=options,
        digests=(_digest(history), await api.digest()),
        audit=books,
        run=_run_figures(floor, checks, scaling, ways),
    )


def _run_figures(floor: Floor, checks: Sequence[Check], scaling: Scaling, ways: Ways) -> RunFigures:
    return RunFigures(
        speed=floor.clock.speed,
        wall_s=floor.wall_s,
        desktops=len(floor.desks),
        connections_lost=floor.connections_lost,
        cores_apart=ways.cores_apart,
        latency=latency_of(floor.book),
        submit_late_p99_ms=late_ms(floor.book, 0.99),
        submit_late_max_ms=late_ms(floor.book, 1.0),
        rounded=scaling.notes(),
        checks=tuple(checks),
    )


def _digest(history: Sequence[Recorded]) -> str:
    """Return the digest of the history with the simulator's definition: first number, time and events of each group."""
    digest = HistoryDigest()
    for step in steps(history):
        events = [recorded.event for recorded in step]
        digest.record(AdvanceTime(), outcome_of(step, at_ms=step[0].at_ms, events=events))
    return digest.hexdigest()
