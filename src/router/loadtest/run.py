"""One run on a reachable router, from the policy to the report; shared by ``router loadtest`` and ``router demo``."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, structs
from rich.console import Console

from router.loadtest.checks import (
    RunCheck,
    audit_history,
    check_agents,
    check_contacts,
    check_feed,
    check_offers,
    group_by_moment,
    outcome_at,
)
from router.loadtest.execution import DayClock, LoadTestFailed
from router.loadtest.http_api import RecordedEvent, RouterHttpApi
from router.loadtest.live_view import live_view
from router.loadtest.report import LoadTestMeasurements, LoadTestReport, make_report, measure_offer_latency, submit_lateness_ms
from router.loadtest.scaling import PolicyScaling
from router.loadtest.session import LoadTestSession, RouterTarget, TokenFactory, open_session
from router.model.commands import AdvanceTime
from router.model.policy import Policy
from router.server.auth.credentials import mint_token
from router.settings import Settings
from router.simulator.day import Day
from router.simulator.results.report import AuditResult
from router.simulator.simulation import HistoryDigest

ReportOptions = dict[str, str | int | float | bool | None]


class LoadTestPlan(Struct, frozen=True, kw_only=True):
    """Day to run, and how the report names it."""

    day: Day
    source: tuple[str, ...]
    options: ReportOptions
    speed: float


class RunOptions(Struct, frozen=True, kw_only=True):
    """Options of a run."""

    publish: bool
    """Whether to publish the day's policy in any case; otherwise only if no policy is active, else use the active one."""
    owns_router: bool
    """Whether the router was started for this run; its whole history is then audited."""
    separate_cores: bool = False
    """Whether the router has a processor core of its own."""
    accept_foreign_contacts: bool = False
    """Whether the agents accept contacts that are not part of the day."""


async def run_day(
    target: RouterTarget,
    plan: LoadTestPlan,
    run_options: RunOptions,
    *,
    console: Console,
    after_run: Callable[[LoadTestSession, LoadTestReport], Awaitable[None]] | None = None,
) -> LoadTestReport:
    """Run the day and return its report; ``after_run`` is awaited while all clients are still connected."""
    contacts = sorted(plan.day.contacts, key=lambda contact: contact.at_ms)
    plan = structs.replace(plan, day=structs.replace(plan.day, contacts=contacts))
    scaling = PolicyScaling(plan.speed)
    clock = DayClock(start_ms=plan.day.start_ms, speed=plan.speed)
    admin = target.token_factory("admin", target.supervisor_id)
    async with RouterHttpApi(target.url, lambda: str(admin())) as api:
        active_policy = await _ensure_policy(api, scaling.scale_policy(plan.day.policy), run_options)
        async with open_session(
            target, plan.day, api=api, scaling=scaling, clock=clock, accept_foreign_contacts=run_options.accept_foreign_contacts
        ) as session:
            async with live_view(session, console):
                await session.run_day()
            report = await _make_run_report(session, api, plan, run_options, scaling, active_policy)
            if after_run is not None:
                await after_run(session, report)
    return report


def token_factory(settings: Settings, *, workspace: str = "default") -> TokenFactory:
    """Return a factory of token providers; tokens are signed with the secret that the settings point to."""

    def tokens(role: str, subject: str) -> Callable[[], str]:
        def mint() -> str:
            return mint_token(settings, subject=subject, role=role, workspace=workspace)

        return mint

    return tokens


# --- policy -----------------------------------------------------------------------------------------


async def _ensure_policy(api: RouterHttpApi, wanted: Policy, run_options: RunOptions) -> Policy:
    """Publish the policy if necessary, or check that the active one fits the day; return the active policy."""
    active = await api.policy()
    if active == wanted:
        return wanted
    if run_options.publish or active is None:
        await api.publish(wanted, replaces=active is not None)
        return wanted
    missing = [
        *(f"channel {name}" for name in wanted.channels if name not in active.channels),
        *(f"queue {name}" for name in wanted.queues if name not in active.queues),
        *(f"skill {name}" for name in wanted.skills if name not in active.skills),
    ]
    if missing:
        raise LoadTestFailed(
            f"the router's policy lacks elements that the day needs ({', '.join(missing[:5])}"
            f"{' …' if len(missing) > 5 else ''}); give --publish to replace the router's policy by the "
            "day's, or omit --url to start a separate router"
        )
    return active


# --- report -----------------------------------------------------------------------------------------


async def _make_run_report(
    session: LoadTestSession,
    api: RouterHttpApi,
    plan: LoadTestPlan,
    run_options: RunOptions,
    scaling: PolicyScaling,
    active_policy: Policy,
) -> LoadTestReport:
    monitor = session.monitor
    first_seq = 0 if run_options.owns_router else monitor.first_seq - 1
    recorded = [one async for one in api.history(history_id=monitor.supervisor.history_id, after_seq=first_seq)]
    history = [one for one in recorded if one.seq >= monitor.first_seq]
    if not history:
        raise LoadTestFailed("the router has recorded no events of the day")
    checks = [
        *check_contacts(session.tracker, history),
        check_agents(session.day.agents, active_policy, history),
        check_offers(history),
        *check_feed(monitor, history),
    ]
    audit = AuditResult(checks=len(checks))
    if run_options.owns_router:
        audit, agreed = audit_history(recorded, live=await api.live_contact_count())
        checks.append(agreed)
    options = plan.options | {"speed": plan.speed}
    if active_policy != scaling.scale_policy(plan.day.policy):
        options["policy_in_force"] = "the router's own"
    return make_report(
        day=session.day,
        tracker=session.tracker,
        clock=session.clock,
        history=history,
        source=plan.source,
        options=options,
        digests=(_history_digest(history), await api.digest()),
        audit=audit,
        run=_measure_run(session, checks, scaling, run_options),
    )


def _measure_run(
    session: LoadTestSession, checks: Sequence[RunCheck], scaling: PolicyScaling, run_options: RunOptions
) -> LoadTestMeasurements:
    return LoadTestMeasurements(
        speed=session.clock.speed,
        wall_s=session.wall_s,
        desktops=len(session.agents),
        connections_lost=session.connections_lost,
        separate_cores=run_options.separate_cores,
        latency=measure_offer_latency(session.tracker),
        submit_late_p99_ms=submit_lateness_ms(session.tracker, 0.99),
        submit_late_max_ms=submit_lateness_ms(session.tracker, 1.0),
        rounded=scaling.rounding_notes(),
        checks=tuple(checks),
    )


def _history_digest(history: Sequence[RecordedEvent]) -> str:
    """Return the digest of the history with the simulator's definition: first number, time and events of each group."""
    digest = HistoryDigest()
    for step in group_by_moment(history):
        events = [recorded.event for recorded in step]
        digest.on_outcome(AdvanceTime(), outcome_at(step, at_ms=step[0].at_ms, events=events))
    return digest.hexdigest()
