"""Distribution of contacts over the agents of a run: minimum, median, maximum and Gini coefficient.

Covers the agents who were on duty at some time of the run, and the contacts that arrived within the window, counted for the agent
who answered them first.
"""

from collections.abc import Sequence
from statistics import fmean, median

from msgspec import Struct

from router.simulator.course import gini
from router.simulator.meter import Meter


class LoadReport(Struct, frozen=True, kw_only=True):
    """Contacts per agent. With several replications, each value is the mean over them."""

    agents: float
    contacts_min: float
    contacts_median: float
    contacts_max: float
    contacts_gini: float | None
    """Gini coefficient (see ``gini``); 0: all agents had equally many; none: no contact was answered."""


def load_of(meter: Meter) -> LoadReport | None:
    """Return the contacts per agent of one run; none if no agent was on duty."""
    counts = dict.fromkeys(sorted(meter.seen_on_duty), 0)
    for tally in meter.tallies.values():
        for agent_id, count in tally.answered_by_agent.items():
            counts[agent_id] = counts.get(agent_id, 0) + count
    if not counts:
        return None
    found = list(counts.values())
    return LoadReport(
        agents=len(found),
        contacts_min=min(found),
        contacts_median=median(found),
        contacts_max=max(found),
        contacts_gini=gini(found),
    )


def mean_load(loads: Sequence[LoadReport]) -> LoadReport | None:
    """Return the means over replications; none without any."""
    if not loads:
        return None
    ginis = [load.contacts_gini for load in loads if load.contacts_gini is not None]
    return LoadReport(
        agents=_mean([load.agents for load in loads]),
        contacts_min=_mean([load.contacts_min for load in loads]),
        contacts_median=_mean([load.contacts_median for load in loads]),
        contacts_max=_mean([load.contacts_max for load in loads]),
        contacts_gini=_mean(ginis) if ginis else None,
    )


def _mean(values: Sequence[float]) -> float:
    return round(fmean(values), 9)
