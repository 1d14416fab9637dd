"""What is odd in a policy, though it may be published: settings without effect and times that cannot come true."""

from collections.abc import Iterator
from itertools import islice

from router.model.errors import Problem
from router.model.policy import Policy, QueuePolicy, WhenFull
from router.rules.limits import PROBLEM_COUNT_MAX


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
        if channel.wrap_up_s > channel.wrap_up_max_s:
            yield Problem(
                path=f"channels.{name}.wrap_up_s",
                message="longer than wrap_up_max_s: it can never be extended",
            )
    for name, queue in policy.queues.items():
        yield from _queue_advice(policy, f"queues.{name}", queue)
    if not policy.entry and policy.default_queue is None:
        yield Problem(
            path="",
            message="no entry rules and no default_queue: every contact must name its queue",
        )


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
    if queue.overflow_to and queue.wait_max_s is None and queue.when_full is WhenFull.REFUSE:
        yield Problem(
            path=f"{path}.overflow_to",
            message="never used: neither wait_max_s nor when_full: overflow is set",
        )
    yield from _late_steps(policy, path, queue)
    for channel, wrap_up_s in queue.wrap_up_s.items():
        if wrap_up_s > policy.channels[channel].wrap_up_max_s:
            yield Problem(
                path=f"{path}.wrap_up_s.{channel}",
                message="longer than the channel's wrap_up_max_s: it can never be extended",
            )
    if queue.service_level.short_abandon_s > queue.service_level.threshold_s:
        yield Problem(
            path=f"{path}.service_level.short_abandon_s",
            message="longer than threshold_s: late abandons are not counted",
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
