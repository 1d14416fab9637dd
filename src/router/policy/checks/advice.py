"""Advice on valid policies: keys without effect and times that contradict each other."""

from collections.abc import Collection, Iterator
from itertools import islice

from router.model.errors import PROBLEM_COUNT_MAX, Problem
from router.model.policy import (
    AtClosing,
    CallbackPolicy,
    ChannelPolicy,
    Policy,
    QueuePolicy,
    Selection,
    WhenClosed,
    WhenFull,
    WhenNoAgentsReady,
    selections_of_plans,
)


def policy_advice(policy: Policy) -> list[Problem]:
    """Return advice on a policy without problems, in the document's order."""
    return list(islice((advice for advice in advice_steps(policy) if advice is not None), PROBLEM_COUNT_MAX))


def advice_steps(policy: Policy) -> Iterator[Problem | None]:
    """Yield advice on a policy, and None after each queue."""
    selections = selections_of_plans(policy)
    for name, channel in policy.channels.items():
        if channel.units > policy.agents.units:
            yield Problem(
                path=f"channels.{name}.units",
                message="more than agents.units: only agents whose own units are higher can get a contact of this channel",
            )
        yield from _capacity_advice(policy, f"channels.{name}", channel)
        if channel.wrap_up_s > channel.wrap_up_max_s:
            yield Problem(path=f"channels.{name}.wrap_up_s", message="longer than wrap_up_max_s: the wrap-up can never be extended")
    used = {queue.hours for queue in policy.queues.values()}
    for name in policy.calendars:
        if name not in used:
            yield Problem(path=f"calendars.{name}", message="unused: no queue names it in hours")
    for name, queue in policy.queues.items():
        yield from _queue_advice(policy, f"queues.{name}", queue, selections)
        yield None
    if not policy.entry and policy.default_queue is None:
        yield Problem(path="", message="no entry rules and no default_queue: every contact must name a queue")


def _capacity_advice(policy: Policy, path: str, channel: ChannelPolicy) -> Iterator[Problem]:
    for index, blocked in enumerate(channel.blocks):
        if blocked in channel.interrupts:
            yield Problem(path=f"{path}.blocks[{index}]", message="without effect: an interrupted channel gets no new items anyway")
    cap, together = channel.rate_cap, policy.agents.rate_cap
    if cap and together and cap.contacts_max >= together.contacts_max and cap.window_s <= together.window_s:
        yield Problem(path=f"{path}.rate_cap", message="never reached: agents.rate_cap is reached first")


def _queue_advice(policy: Policy, path: str, queue: QueuePolicy, selections: Collection[Selection]) -> Iterator[Problem]:
    offer_timeout_s = queue.offer_timeout_s or max(channel.offer_timeout_s for channel in policy.channels.values())
    if queue.wait_max_s is not None and queue.wait_max_s < offer_timeout_s:
        yield Problem(
            path=f"{path}.wait_max_s", message="shorter than offer_timeout_s: contacts leave the queue while an offer is pending"
        )
    if queue.when_full is WhenFull.OVERFLOW and queue.length_max is None:
        yield Problem(path=f"{path}.when_full", message="without effect: length_max is not set")
    if queue.overflow_to and queue.wait_max_s is None and not _overflows(queue):
        yield Problem(
            path=f"{path}.overflow_to",
            message="unused: wait_max_s is not set, and none of when_full, when_closed, at_closing and "
            "when_no_agents_ready is overflow",
        )
    yield from _late_steps(policy, path, queue)
    for channel, wrap_up_s in queue.wrap_up_s.items():
        if wrap_up_s > policy.channels[channel].wrap_up_max_s:
            yield Problem(
                path=f"{path}.wrap_up_s.{channel}",
                message="longer than the channel's wrap_up_max_s: the wrap-up can never be extended",
            )
    waits = queue.when_closed is WhenClosed.WAIT or queue.at_closing is AtClosing.WAIT or queue.callback is not None
    if queue.clocks_while_closed != QueuePolicy().clocks_while_closed and not waits:
        yield Problem(path=f"{path}.clocks_while_closed", message="without effect: no contact waits for the opening of this queue")
    in_force = {*selections, queue.selection}
    if queue.order_by and Selection.BY_ATTRIBUTES not in in_force:
        yield Problem(path=f"{path}.order_by", message="without effect: no selection is by_attributes")
    if queue.weight_fact and Selection.WEIGHTED_RANDOM not in in_force:
        yield Problem(path=f"{path}.weight_fact", message="without effect: no selection is weighted_random")
    if queue.callback is not None:
        yield from _callback_advice(f"{path}.callback", queue.callback)
    if queue.service_level.short_abandon_s > queue.service_level.threshold_s:
        yield Problem(
            path=f"{path}.service_level.short_abandon_s",
            message="longer than threshold_s: abandons between threshold_s and short_abandon_s do not count "
            "against the service level",
        )


def _overflows(queue: QueuePolicy) -> bool:
    return (
        queue.when_full is WhenFull.OVERFLOW
        or queue.when_closed is WhenClosed.OVERFLOW
        or queue.at_closing is AtClosing.OVERFLOW
        or queue.when_no_agents_ready is WhenNoAgentsReady.OVERFLOW
        or queue.no_agents_for_s is not None
    )


def _callback_advice(path: str, callback: CallbackPolicy) -> Iterator[Problem]:
    pauses = callback.retry_after_s
    if len(pauses) > max(1, callback.attempts_max - 1):
        yield Problem(path=f"{path}.retry_after_s", message="more pauses than attempts_max allows: the last ones are never used")
    used = [pauses[min(n, len(pauses) - 1)] for n in range(callback.attempts_max - 1)]
    if callback.expires_after_s is not None and sum(used) > callback.expires_after_s:
        yield Problem(
            path=f"{path}.expires_after_s", message="shorter than the sum of the pauses: the last attempts are never made"
        )


def _late_steps(policy: Policy, path: str, queue: QueuePolicy) -> Iterator[Problem]:
    """Yield advice if a step of the plan begins after ``wait_max_s``."""
    if queue.plan is None or queue.wait_max_s is None:
        return
    begins_s = 0
    for number, step in enumerate(policy.plans[queue.plan]):
        if begins_s >= queue.wait_max_s:
            yield Problem(
                path=f"{path}.wait_max_s", message=f"reached before step {number} of the plan begins, unless steps are skipped"
            )
            return
        begins_s += step.duration_s or 0
