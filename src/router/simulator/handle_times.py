"""Handle times by agent, estimated from a recorded day.

Theory. In a log, the handle time of a contact belongs to the agent who served it, while another policy may give the contact to
another agent. With ``HandleTimeSource.BY_AGENT`` a handle time is the product of the contact's own part and a factor of the agent:
1.2 for an agent who takes a fifth longer than the others for the same contacts. The recorded time is divided by the factor of the
recorded agent, and multiplied by that of the agent who serves the contact in the simulation; so a policy that changes no assignment
changes no handle time.

**Estimate.** For each served contact, ``r`` is its handle time as a multiple of the mean of its queue, so that agents of quick and
slow queues can be compared. The mean of an agent's ``r`` is a noisy estimate of the factor: handle times vary nearly as much as
their mean, and an agent with ten contacts is off by a third by chance alone. It is therefore shrunk towards 1 by the credibility
``n / (n + k)``, where ``n`` is the number of the agent's contacts and ``k`` the variance of ``r`` within agents over the variance
of the true factors between agents, both estimated from the log by the method of moments. If agents differ no more than by chance,
all factors are 1. The factors are scaled so that the recorded contacts take as long as recorded in all.

Source: H. Bühlmann, E. Straub, *Glaubwürdigkeit für Schadensätze* (1970). That agents differ by such a factor: N. Gans, N. Liu, A.
Mandelbaum, H. Shen, H. Ye, *Service Times in Call Centers: Agent Heterogeneity and Learning* (2010).

The model takes an agent to be equally quick in all queues, and constant over the day.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from msgspec import structs

from router.model.policy import Policy
from router.model.states import AgentId
from router.simulator.day import PlannedAgent, PlannedContact

_FACTOR_MIN: Final = 0.2
_FACTOR_MAX: Final = 5.0
# Mean difference of the wrap-up, by contact and as a share, from which a note says so.
_WRAP_UP_MS_MIN: Final = 1_000
_WRAP_UP_SHARE: Final = 0.1


class HandleTimeSource(StrEnum):
    """What the handle time of a recorded contact depends on."""

    RECORDED = "recorded"
    """The contact alone: as recorded, by any agent."""
    BY_AGENT = "by-agent"
    """The contact and the agent who serves it."""


def agent_factors(contacts: Iterable[PlannedContact]) -> dict[AgentId, float]:
    """Return the estimated factor of each agent who served contacts; empty if no agent of a contact is known."""
    served = [c for c in contacts if c.waited_ms is not None and c.served_by is not None]
    sums: dict[str | None, list[int]] = {}
    for contact in served:
        total = sums.setdefault(contact.queue_id, [0, 0])
        total[0] += contact.handle_ms
        total[1] += 1
    ratios: dict[AgentId, list[float]] = {}
    for contact in served:
        handle_ms, count = sums[contact.queue_id]
        if handle_ms and contact.served_by is not None:
            ratios.setdefault(contact.served_by, []).append(contact.handle_ms * count / handle_ms)
    return _shrunk({agent_id: ratios[agent_id] for agent_id in sorted(ratios)})


def _shrunk(ratios: dict[AgentId, list[float]]) -> dict[AgentId, float]:
    """Return a factor for each agent from the multiples of the mean that the agent's contacts took."""
    counts = {agent_id: len(values) for agent_id, values in ratios.items()}
    means = {agent_id: sum(values) / len(values) for agent_id, values in ratios.items()}
    total, agents = sum(counts.values()), len(counts)
    if agents < 2 or total <= agents:
        return dict.fromkeys(ratios, 1.0)
    whole = sum(counts[a] * means[a] for a in ratios) / total
    within = sum((value - means[a]) ** 2 for a, values in ratios.items() for value in values) / (total - agents)
    spread = sum(counts[a] * (means[a] - whole) ** 2 for a in ratios)
    between = (spread - (agents - 1) * within) / (total - sum(n * n for n in counts.values()) / total)
    if between <= 0:
        return dict.fromkeys(ratios, 1.0)
    found = {a: 1 + counts[a] / (counts[a] + within / between) * (means[a] / whole - 1) for a in ratios}
    # Sum of the parts of the contacts themselves, which the scale keeps at the recorded sum.
    scale = sum(counts[a] * means[a] / found[a] for a in ratios) / (total * whole)
    return {a: min(max(round(factor * scale, 6), _FACTOR_MIN), _FACTOR_MAX) for a, factor in found.items()}


def by_agent(
    contacts: Sequence[PlannedContact], agents: Sequence[PlannedAgent]
) -> tuple[tuple[PlannedContact, ...], tuple[PlannedAgent, ...], str]:
    """Return contacts without the part of their recorded agent, agents with their factors, and a note on them."""
    factors = agent_factors(contacts)
    own_parts = tuple(
        contact
        if contact.served_by is None or contact.served_by not in factors
        else structs.replace(contact, handle_ms=round(contact.handle_ms / factors[contact.served_by]))
        for contact in contacts
    )
    quick = tuple(structs.replace(a, handle_factor=factors.get(a.agent_id, 1.0)) for a in agents)
    if not factors:
        return own_parts, quick, "handle times by agent: the log does not tell who served a contact, so all agents are alike"
    low, high = min(factors.values()), max(factors.values())
    if low == high:
        return own_parts, quick, f"handle times by agent: {len(factors):,} agents, who differ no more than by chance"
    return (
        own_parts,
        quick,
        f"handle times by agent: {len(factors):,} agents, factors from {low:.2f} to {high:.2f}, estimated from the log",
    )


def wrap_up_notes(policy: Policy, contacts: Iterable[PlannedContact]) -> list[str]:
    """Return a note if the wrap-up of the policy, which is simulated, is not nearly that of the log."""
    recorded_ms = planned_ms = count = 0
    for contact in contacts:
        if contact.wrap_up_ms is not None and contact.waited_ms is not None:
            count += 1
            recorded_ms += contact.wrap_up_ms
            planned_ms += 1000 * _wrap_up_s(policy, contact)
    if not count or abs(recorded_ms - planned_ms) < max(_WRAP_UP_MS_MIN * count, _WRAP_UP_SHARE * recorded_ms):
        return []
    recorded_s, planned_s = recorded_ms / count / 1000, planned_ms / count / 1000
    return [
        f"agents took {recorded_s:.0f} s of wrap-up on average in the log, and the policy gives them {planned_s:.0f} s, "
        f"which is simulated: --wrap-up {recorded_s:.0f}s is nearer to the log"
    ]


def _wrap_up_s(policy: Policy, contact: PlannedContact) -> int:
    channel = policy.channels.get(contact.channel)
    queue = policy.queues.get(contact.queue_id or "")
    default_s = 0 if channel is None else channel.wrap_up_s
    return default_s if queue is None else queue.wrap_up_s.get(contact.channel, default_s)
