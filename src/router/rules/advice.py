"""What is odd in a policy, though it may be published: settings without effect and times that cannot come true."""

from collections.abc import Iterator
from itertools import islice

from router.model.errors import Problem
from router.model.policy import (
    AtClosing,
    CallbackPolicy,
    ChannelPolicy,
    Policy,
    QueuePolicy,
    Selection,
    WhenClosed,
    WhenFull,
    WhenNobody,
)
from router.rules.limits import PROBLEM_COUNT_MAX
from router.rules.selections import selections_of_plans


def advise(policy: Policy) -> list[Problem]:
    """Advice in the document's order. Expects a policy that ``check`` finds nothing against."""
    return list(islice(_advice(policy), PROBLEM_COUNT_MAX))


def _advice(policy: Policy) -> Iterator[Problem]:
    for name, channel in policy.channels.items():
        if channel.units > policy.agents.units:
            yield Problem(
                path=f"channels.{name}.units",
                message="more than agents.units: only agents with more units of their own ever get one",
            )
        yield from _capacity_advice(policy, f"channels.{name}", channel)
        if channel.wrap_up_s > channel.wrap_up_max_s:
            yield Problem(
                path=f"channels.{name}.wrap_up_s",
                message="longer than wrap_up_max_s: it can never be extended",
            )
    used = {queue.hours for queue in policy.queues.values()}
    for name in policy.calendars:
        if name not in used:
            yield Problem(
                path=f"calendars.{name}", message="never used: no queue names it in hours"
            )
    for name, queue in policy.queues.items():
        yield from _queue_advice(policy, f"queues.{name}", queue)
    if not policy.entry and policy.default_queue is None:
        yield Problem(
            path="",
            message="no entry rules and no default_queue: every contact must name its queue",
        )


def _capacity_advice(policy: Policy, path: str, channel: ChannelPolicy) -> Iterator[Problem]:
    for index, blocked in enumerate(channel.blocks):
        if blocked in channel.interrupts:
            yield Problem(
                path=f"{path}.blocks[{index}]",
                message="without effect: what is interrupted gets no new items anyway",
            )
    cap, together = channel.cap, policy.agents.cap
    if cap and together and cap.most >= together.most and cap.per_s <= together.per_s:
        yield Problem(path=f"{path}.cap", message="never reached: agents.cap is reached before")


def _queue_advice(policy: Policy, path: str, queue: QueuePolicy) -> Iterator[Problem]:
    offer_timeout_s = queue.offer_timeout_s or max(
        channel.offer_timeout_s for channel in policy.channels.values()
    )
    if queue.wait_max_s is not None and queue.wait_max_s < offer_timeout_s:
        yield Problem(
            path=f"{path}.wait_max_s",
            message="shorter than an offer may run: contacts leave while an agent still decides",
        )
    if queue.when_full is WhenFull.OVERFLOW and queue.length_max is None:
        yield Problem(path=f"{path}.when_full", message="without effect: length_max is not set")
    if queue.overflow_to and queue.wait_max_s is None and not _overflows(queue):
        yield Problem(
            path=f"{path}.overflow_to",
            message="never used: neither wait_max_s is set nor does any of when_full, when_closed, at_closing and "
            "when_nobody say overflow",
        )
    yield from _late_steps(policy, path, queue)
    for channel, wrap_up_s in queue.wrap_up_s.items():
        if wrap_up_s > policy.channels[channel].wrap_up_max_s:
            yield Problem(
                path=f"{path}.wrap_up_s.{channel}",
                message="longer than the channel's wrap_up_max_s: it can never be extended",
            )
    in_force = selections_of_plans(policy) | {queue.selection}
    if queue.order_by and Selection.BY_FACTS not in in_force:
        yield Problem(
            path=f"{path}.order_by", message="without effect: nothing is selected by_facts"
        )
    if queue.weight_fact and Selection.WEIGHTED_RANDOM not in in_force:
        yield Problem(
            path=f"{path}.weight_fact",
            message="without effect: nothing is selected by weighted_random",
        )
    if queue.callback is not None:
        yield from _callback_advice(f"{path}.callback", queue.callback)
    if queue.service_level.short_abandon_s > queue.service_level.threshold_s:
        yield Problem(
            path=f"{path}.service_level.short_abandon_s",
            message="longer than threshold_s: late abandons are not counted",
        )


def _overflows(queue: QueuePolicy) -> bool:
    return (
        queue.when_full is WhenFull.OVERFLOW
        or queue.when_closed is WhenClosed.OVERFLOW
        or queue.at_closing is AtClosing.OVERFLOW
        or queue.when_nobody is WhenNobody.OVERFLOW
    )


def _callback_advice(path: str, callback: CallbackPolicy) -> Iterator[Problem]:
    pauses = callback.retry_after_s
    if len(pauses) > max(1, callback.attempts_max - 1):
        yield Problem(
            path=f"{path}.retry_after_s",
            message="more pauses than attempts_max leaves room for: the last ones are never used",
        )
    used = [pauses[min(n, len(pauses) - 1)] for n in range(callback.attempts_max - 1)]
    if callback.expires_after_s is not None and sum(used) > callback.expires_after_s:
        yield Problem(
            path=f"{path}.expires_after_s",
            message="shorter than the pauses between the attempts: the last ones are never made",
        )


def _late_steps(policy: Policy, path: str, queue: QueuePolicy) -> Iterator[Problem]:
    """Steps that begin when every contact has left the queue."""
    if queue.plan is None or queue.wait_max_s is None:
        return
    begins_s = 0
    for number, step in enumerate(policy.plans[queue.plan]):
        if begins_s >= queue.wait_max_s:
            yield Problem(
                path=f"{path}.wait_max_s",
                message=f"over before step {number} of the plan, unless steps are skipped",
            )
            return
        begins_s += step.for_s or 0
