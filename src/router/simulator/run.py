"""Entry point of the simulator: a specification (logs or a workload, a policy, a seed) in, a report out.

``announced`` returns the seed and all options before the run; ``simulate`` runs the specification.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated

from msgspec import Meta, Struct, structs

from router.engine.engine import Engine
from router.model.errors import PolicyInvalid
from router.model.policy import DAY_S, Policy
from router.policy.checks.consistency import policy_problems
from router.policy.document.parsing import parse_policy
from router.simulator import workload as workloads
from router.simulator.alerts import AlertTrial
from router.simulator.audit.auditor import Auditor
from router.simulator.day import Day, DayWindow, WorkloadInvalid
from router.simulator.distributions import derived_seed, random_generator
from router.simulator.formats import RecordedLog, parse_log, parse_logs
from router.simulator.formats.recorded_log import day_from_log, derived_policy, unplaced_kinds
from router.simulator.formats.recorded_rows import iso_time
from router.simulator.handle_times import HandleTimeSource, by_agent, wrap_up_notes
from router.simulator.patience import CustomerRequests, PatienceSource, callback_notes, estimate_patience, patience_notes
from router.simulator.placement import ContactKind, check_placement, entry_rule_notes
from router.simulator.results.alert_report import AlertReport
from router.simulator.results.estimates import AgentLoadReport, BatchSums, agent_load, mean_agent_load
from router.simulator.results.forecast_accuracy import ForecastStats, ForecastSums, forecast_reports
from router.simulator.results.report import AuditResult, RunSpeed, SimulationReport, build_report
from router.simulator.results.run_stats import RunStats
from router.simulator.simulation import HistoryDigest, RunListener, Simulation
from router.simulator.workload import Workload

Progress = Callable[[float], None]
ListenerFactory = Callable[[Day], RunListener]
"""Factory of an additional listener for each replication; listeners must not change the run."""


class SimulationSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Specification of a simulation: either ``logs`` or a ``workload``."""

    logs: tuple[str, ...] = ()
    """Recorded logs as ``FORMAT:PATH``; several are merged."""
    workload: str | None = None
    """Path of a workload file."""
    policy: str | None = None
    """Path of a policy file that replaces the policy of the workload or the derived one."""
    wrap_up_s: Annotated[int, Meta(ge=0, le=7 * DAY_S)] | None = None
    """Wrap-up time of every channel and queue; none: as in the policy."""
    seed: int | None = None
    """Master seed; none: that of the workload, 1 for logs."""
    replications: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """Number of replications; none: that of the workload. A log is always run once."""
    patience: PatienceSource | None = None
    """Patience of the customers who were served in the logs; none: recorded, in comparisons of policies estimated."""
    handle_times: HandleTimeSource = HandleTimeSource.RECORDED
    """What the handle times of a log depend on."""
    callback_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Share of the customers of a log who request a callback where the policy allows it."""
    callback_after_s: Annotated[int, Meta(ge=0, le=DAY_S)] = 60
    """Wait after which they request it."""
    redial_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Share of the customers of a log who call again, once, after they have abandoned."""
    redial_after_s: Annotated[int, Meta(ge=0, le=DAY_S)] = 300
    """Mean of the exponential time until they do."""
    audit: bool = True
    """Whether the run is audited, which takes about as long as the run itself."""
    from_ms: int | None = None
    """Contacts of the logs that arrive earlier are left out, epoch milliseconds; none: no limit."""
    to_ms: int | None = None
    """Likewise those that arrive at this time or later."""
    recording: RecordedLog | None = None
    """The logs as they were read, so that several runs have the same day; none: they are read by each run."""


def with_logs_read(spec: SimulationSpec) -> SimulationSpec:
    """Return the specification with its logs read, as several runs need it. Raises ``WorkloadInvalid``, ``JournalError``."""
    if not spec.logs or spec.recording is not None:
        return spec
    window = DayWindow(spec.from_ms, spec.to_ms)
    return structs.replace(spec, recording=parse_logs(spec.logs, window))


class _RunPlan(Struct, frozen=True, kw_only=True):
    """Specification that has been read and checked."""

    name: str
    source: tuple[str, ...]
    seed: int
    replications: int
    options: dict[str, str | int | float | bool | None]
    policy: Policy
    log: RecordedLog | None
    workload: Workload | None
    notes: tuple[str, ...]

    def day(self, replication: int) -> Day:
        """Return the day of a replication; its contacts can be read once."""
        return structs.replace(self._drawn_day(replication), notes=self.notes)

    def _drawn_day(self, replication: int) -> Day:
        if self.workload is not None:
            return workloads.draw_day(self.workload, policy=self.policy, seed=self.seed, replication=replication)
        assert self.log is not None
        behaviour_seed = derived_seed(self.seed, replication, "behaviour")
        return day_from_log(self.log, policy=self.policy, behaviour_seed=behaviour_seed)


def resolved_options(spec: SimulationSpec) -> dict[str, str | int | float | bool | None]:
    """Return the seed and all options, given or drawn, for display before the run. Raises the same errors as ``simulate``."""
    return _plan(spec).options


def first_day(spec: SimulationSpec) -> tuple[Day, tuple[str, ...]]:
    """Return the first day that ``simulate`` would run, and its sources. Raises the same errors as ``simulate``."""
    plan = _plan(spec)
    return plan.day(0), plan.source


def simulate(
    spec: SimulationSpec, *, progress: Progress | None = None, make_listener: ListenerFactory | None = None
) -> SimulationReport:
    """Run a simulation and return its report.

    ``progress`` receives the completed share, 0 to 1; ``make_listener`` makes an additional listener for each replication. Raises
    ``WorkloadInvalid`` (an invalid log or workload, or a policy that does not fit the day) and ``PolicyInvalid``. Violations found
    by the audit do not raise: check ``report.audit.violations``.
    """
    plan = _plan(spec)
    runs = _Replications(plan, audit=spec.audit, make_listener=make_listener)
    started_s = perf_counter()
    for replication in range(plan.replications):
        runs.run(replication, _part_of(progress, replication, plan.replications))
    wall_s = perf_counter() - started_s
    report = runs.report()
    rate = round(report.contacts / wall_s, 1)
    speed = RunSpeed(wall_s=round(wall_s, 3), contacts_per_second=rate, events_per_second=round(report.events / wall_s, 1))
    return structs.replace(report, contacts_per_second=rate, speed=speed)


class _Replications:
    """Runner of all replications of a plan, with their sums."""

    def __init__(self, plan: _RunPlan, *, audit: bool, make_listener: ListenerFactory | None) -> None:
        self._plan = plan
        self._make_listener = make_listener
        self._audit = audit
        self._digest = HistoryDigest()
        self._sums = BatchSums()
        self._samples: list[BatchSums] = []
        self._violations: list[str] = []
        self._checks = self._unfinished = self._events = 0
        self._agents: dict[str, int] = {}
        self._loads: list[AgentLoadReport] = []
        self._state_digest = ""
        self._forecasts: dict[str, ForecastSums] = {}
        self._alerts: dict[str, AlertReport] = {}

    def run(self, replication: int, progress: Progress | None) -> None:
        """Run one replication and add its results."""
        day = self._plan.day(replication)
        stats, auditor = RunStats(day), Auditor() if self._audit else None
        engine = Engine()
        forecasts = ForecastStats(day, engine)
        listeners: list[RunListener] = [stats, forecasts, self._digest]
        if auditor is not None:
            listeners.append(auditor)
        if self._make_listener is not None:
            listeners.append(self._make_listener(day))
        trial = AlertTrial(engine, day.policy) if day.policy.alerts else None
        if trial is not None:
            listeners.append(trial)
        simulation = Simulation(day, listeners=listeners, engine=engine, timed=trial)
        simulation.run(progress)
        if trial is not None:
            self._add_alerts(trial)
        stats.close()
        if auditor is not None:
            auditor.close(simulation.unfinished)
            self._checks += auditor.checks
            self._violations += auditor.violations
        self._unfinished += simulation.unfinished
        self._state_digest = simulation.engine.digest()
        self._add_run(stats)
        for queue_id, sums in forecasts.sums.items():
            self._forecasts.setdefault(queue_id, ForecastSums()).add(sums)

    def _add_alerts(self, trial: AlertTrial) -> None:
        trial.close()
        for name, report in trial.reports.items():
            if name in self._alerts:
                self._alerts[name].add(report)
            else:
                self._alerts[name] = report

    def _add_run(self, stats: RunStats) -> None:
        self._events += stats.events
        self._agents = stats.agents_by_group
        batches = range(stats.batches)
        self._sums.add_batches(stats, batches)
        load = agent_load(stats)
        if load is not None:
            self._loads.append(load)
        if self._plan.replications > 1:
            self._samples.append(BatchSums().add_batches(stats, batches))
        elif stats.batches > 1:
            self._samples = [BatchSums().add_batches(stats, (batch,)) for batch in batches]

    def report(self) -> SimulationReport:
        """Return the report of all replications."""
        plan = self._plan
        return build_report(
            name=plan.name,
            source=plan.source,
            options=plan.options,
            sums=self._sums,
            samples=self._samples,
            thresholds_s={q.service_level.threshold_s for q in plan.policy.queues.values()},
            agents=self._agents,
            load=mean_agent_load(self._loads),
            unfinished=self._unfinished,
            events=self._events,
            digests=(self._digest.hexdigest(), self._state_digest),
            forecasts=forecast_reports(self._forecasts),
            alerts=self._alerts,
            notes=plan.notes,
            audit=AuditResult(checks=self._checks, violations=tuple(self._violations)),
        )


def _part_of(progress: Progress | None, index: int, count: int) -> Progress | None:
    if progress is None:
        return None
    return lambda share: progress((index + share) / count)


def _plan(spec: SimulationSpec) -> _RunPlan:
    if bool(spec.logs) == (spec.workload is not None):
        raise WorkloadInvalid("give either logs or a workload, not both")
    policy = read_policy(spec.policy)
    if spec.workload is not None:
        return _workload_plan(spec, policy)
    if (spec.replications or 1) > 1:
        raise WorkloadInvalid("replications: a log is run once; use replications with a workload")
    seed = 1 if spec.seed is None else spec.seed
    patience = spec.patience or PatienceSource.RECORDED
    recording = with_logs_read(spec).recording
    assert recording is not None
    log, remarks = _prepared_log(recording, spec, patience, seed=seed)
    chosen = _checked(_with_wrap_up(policy or log.policy or derived_policy(log), spec.wrap_up_s))
    return _RunPlan(
        name=log.name,
        source=tuple(_shown(source) for source in spec.logs),
        seed=seed,
        replications=1,
        options={
            "seed": seed,
            "patience": patience.value,
            **_log_options(spec),
            **_common_options(spec),
            **({"policy": "recorded"} if policy is None and log.policy is not None else {}),
        },
        policy=chosen,
        log=log,
        workload=None,
        notes=(
            *_placement_notes(chosen, unplaced_kinds(log)),
            *log.notes,
            *remarks,
            *wrap_up_notes(chosen, log.contacts),
            *callback_notes(chosen, log.contacts),
        ),
    )


def _prepared_log(log: RecordedLog, spec: SimulationSpec, patience: PatienceSource, *, seed: int) -> tuple[RecordedLog, list[str]]:
    """Return the log with the patience of the served customers, handle times by agent and requests, and notes on them."""
    contacts, agents = log.contacts, log.agents
    if patience is PatienceSource.ESTIMATED:
        contacts = estimate_patience(contacts, random_generator(seed, 0, "patience"))
    notes = patience_notes(log.contacts, contacts)
    if spec.handle_times is HandleTimeSource.BY_AGENT:
        contacts, agents, note = by_agent(contacts, agents)
        notes.append(note)
    if spec.callback_share or spec.redial_share:
        requests = CustomerRequests(
            callback_share=spec.callback_share,
            callback_after_ms=1000 * spec.callback_after_s,
            redial_share=spec.redial_share,
            redial_mean_ms=1000 * spec.redial_after_s,
        )
        contacts = requests.apply(contacts, random_generator(seed, 0, "callbacks"), random_generator(seed, 0, "redials"))
    return structs.replace(log, contacts=contacts, agents=agents), notes


def _log_options(spec: SimulationSpec) -> dict[str, str | int | float | bool | None]:
    """Return the options that assume something about the people of a log; those of requests only where they are made."""
    found: dict[str, str | int | float | bool | None] = {"handle_times": spec.handle_times.value}
    found |= {name: iso_time(at_ms) for name, at_ms in (("from", spec.from_ms), ("to", spec.to_ms)) if at_ms is not None}
    if spec.callback_share:
        found |= {"callback_share": spec.callback_share, "callback_after_s": spec.callback_after_s}
    if spec.redial_share:
        found |= {"redial_share": spec.redial_share, "redial_after_s": spec.redial_after_s}
    return found


def _workload_plan(spec: SimulationSpec, policy: Policy | None) -> _RunPlan:
    assert spec.workload is not None
    if spec.from_ms is not None or spec.to_ms is not None:
        raise WorkloadInvalid("from, to: a workload has its own duration; use these options with logs")
    if spec.patience is not None:
        raise WorkloadInvalid("patience: a workload has its own; use this option with logs")
    if spec.handle_times is not HandleTimeSource.RECORDED or spec.callback_share or spec.redial_share:
        raise WorkloadInvalid("handle_times, callback_share, redial_share: a workload has its own; use these options with logs")
    workload = workloads.load_workload(Path(spec.workload))
    seed = workload.seed if spec.seed is None else spec.seed
    replications = spec.replications or workload.replications
    options: dict[str, str | int | float | bool | None] = {
        "seed": seed,
        "replications": replications,
        "batches": workload.batches,
        "duration_s": workload.duration_s,
        "warm_up_s": workload.warm_up_s,
        **_common_options(spec),
    }
    if workload.day_factor is not None and replications == 1:
        factor = workloads.draw_day_factor(workload, seed=seed, replication=0)
        options["day_factor"] = round(factor, 6)
    chosen = _checked(_with_wrap_up(policy or workload.policy or workloads.derived_policy(workload), spec.wrap_up_s))
    return _RunPlan(
        name=workload.name,
        source=(f"workload:{Path(spec.workload).name}",),
        seed=seed,
        replications=replications,
        options=options,
        policy=chosen,
        log=None,
        workload=workload,
        notes=_placement_notes(chosen, workloads.unplaced_kinds(workload)),
    )


def _placement_notes(policy: Policy, kinds: Sequence[ContactKind]) -> tuple[str, ...]:
    """Check that a queue can be chosen for contacts that name none, and return notes on entry rules."""
    check_placement(policy, kinds)
    return entry_rule_notes(policy, kinds)


def _common_options(spec: SimulationSpec) -> dict[str, str | int | float | bool | None]:
    return {"policy": Path(spec.policy).name if spec.policy else None, "wrap_up_s": spec.wrap_up_s, "audit": spec.audit}


def _shown(source: str) -> str:
    """Shorten a log's paths to the file names, so that the report does not depend on the directory."""
    name, _, path = source.partition(":")
    return f"{name}:{'#'.join(Path(part).name for part in path.split('#'))}"


def read_policy(path: str | None) -> Policy | None:
    """Read a policy file, if there is one. Raises ``WorkloadInvalid`` and ``PolicyInvalid``."""
    if path is None:
        return None
    try:
        return parse_policy(Path(path).read_bytes())
    except OSError as error:
        raise WorkloadInvalid(f"{path}: cannot be read ({type(error).__name__})") from error


def _checked(policy: Policy) -> Policy:
    problems = policy_problems(policy)
    if problems:
        raise PolicyInvalid(problems)
    return policy


def _with_wrap_up(policy: Policy, wrap_up_s: int | None) -> Policy:
    """Return the policy with the same wrap-up time in every channel and queue."""
    if wrap_up_s is None:
        return policy
    channels = {
        name: structs.replace(channel, wrap_up_s=wrap_up_s, wrap_up_max_s=max(wrap_up_s, channel.wrap_up_max_s))
        for name, channel in policy.channels.items()
    }
    queues = {name: structs.replace(queue, wrap_up_s={}) for name, queue in policy.queues.items()}
    return structs.replace(policy, channels=channels, queues=queues)


__all__ = ["SimulationReport", "SimulationSpec", "resolved_options", "first_day", "parse_log", "parse_logs", "simulate"]
