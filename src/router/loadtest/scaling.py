"""Scaling of a policy to a day that runs faster than real time.

The durations of a policy are whole seconds, so in general they cannot be divided by the speed exactly. Therefore:

* **Wrap-up** is ended by the agent driver, with ``complete``, after the scaled time. The wrap-up of the published policy is only
  an upper bound: the scaled time plus a margin.
* **Accepts** are always sent by the agent driver. Where the day's policy accepts automatically, the published one does not; the
  driver accepts an offer when it arrives, and the offer timeout is long enough for that.
* **Priorities, offer timeouts, cool-downs, maximum waits and automatic returns** are scaled and rounded to whole seconds; the
  report lists what was rounded. They stay exact if the speed divides them.
* Durations that concern the network and not the day (``desktop_grace_s``) are not scaled.
"""

from fractions import Fraction
from math import ceil
from typing import Final

from msgspec import structs

from router.model.policy import ChannelPolicy, EntryRule, Policy, QueuePolicy, RonaPolicy

# Offer timeout for automatic accepts: even an immediate accept crosses the network and two event loops.
AUTO_ACCEPT_TIMEOUT_S: Final = 30
# The agent driver ends the wrap-up; the policy's timer only applies if its connection is lost.
WRAP_UP_MARGIN_S: Final = 30
_DAY_S: Final = 86_400


class PolicyScaling:
    """Converter of durations at a given speed that records what it had to round."""

    def __init__(self, speed: float) -> None:
        self._rounded: dict[tuple[str, int, int], list[str]] = {}
        self._speed = Fraction(speed).limit_denominator(1_000)

    def scale_seconds(self, name: str, value_s: int, *, minimum_s: int = 0) -> int:
        """Divide a duration by the speed and round to whole seconds.

        ``name`` is the path in the policy, for the notes. A positive duration never becomes less than ``least``.
        """
        exact = Fraction(value_s) / self._speed
        # Round half away from zero, so that a small priority does not vanish.
        whole = int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
        if minimum_s and value_s > 0:
            whole = max(minimum_s, whole)
        if whole != exact:
            path, _, field = name.rpartition(".")
            paths = self._rounded.setdefault((field, value_s, whole), [])
            if path not in paths:
                paths.append(path)
        return whole

    def rounding_notes(self) -> tuple[str, ...]:
        """Return one sentence for each duration that was rounded so far."""
        sentences = []
        for (field, value_s, whole), paths in self._rounded.items():
            where = paths[0] if len(paths) == 1 else f"{len(paths)} places"
            return_to_sender_s = float(whole * self._speed)
            sentences.append(
                f"{field} of {where}: {value_s} s of the day were rounded to {whole} s of the wall clock, "
                f"which are {return_to_sender_s:g} s of the day"
            )
        return tuple(sentences)

    def scale_policy(self, policy: Policy) -> Policy:
        """Return the scaled policy to publish."""
        return structs.replace(
            policy,
            channels={name: self._channel(f"channels.{name}", channel, policy) for name, channel in policy.channels.items()},
            queues={name: self._queue(f"queues.{name}", queue, policy) for name, queue in policy.queues.items()},
            entry=tuple(self._entry(rule) for rule in policy.entry),
        )

    def _channel(self, path: str, channel: ChannelPolicy, policy: Policy) -> ChannelPolicy:
        wrap_up_s = self._wrap_up_limit_s(channel.wrap_up_s)
        longest = max((self._wrap_up_limit_s(s) for q in policy.queues.values() for s in q.wrap_up_s.values()), default=0)
        return structs.replace(
            channel,
            auto_accept=False,
            offer_timeout_s=AUTO_ACCEPT_TIMEOUT_S
            if channel.auto_accept
            else self.scale_seconds(f"{path}.offer_timeout_s", channel.offer_timeout_s, minimum_s=1),
            wrap_up_s=wrap_up_s,
            wrap_up_max_s=max(wrap_up_s, longest, channel.wrap_up_max_s),
        )

    def _queue(self, path: str, queue: QueuePolicy, policy: Policy) -> QueuePolicy:
        timeout_s = queue.offer_timeout_s
        if queue.auto_accept:
            timeout_s = AUTO_ACCEPT_TIMEOUT_S
        elif timeout_s is not None:
            timeout_s = self.scale_seconds(f"{path}.offer_timeout_s", timeout_s, minimum_s=1)
        elif queue.auto_accept is False and any(c.auto_accept for c in policy.channels.values()):
            # The channel's timeout was extended for automatic accepts; this queue keeps the scaled one.
            shortest = min(c.offer_timeout_s for c in policy.channels.values())
            timeout_s = self.scale_seconds(f"{path}.offer_timeout_s", shortest, minimum_s=1)
        wait_max_s = queue.wait_max_s
        if wait_max_s is not None:
            wait_max_s = self.scale_seconds(f"{path}.wait_max_s", wait_max_s, minimum_s=1)
        level = queue.service_level
        # This affects the router's live statistics only; the report uses the day's threshold, not rounded.
        threshold_s = max(1, ceil(level.threshold_s / self._speed)) if level.threshold_s else 0
        return structs.replace(
            queue,
            priority_s=self.scale_seconds(f"{path}.priority_s", queue.priority_s),
            offer_timeout_s=timeout_s,
            auto_accept=None if queue.auto_accept is None else False,
            wrap_up_s={c: self._wrap_up_limit_s(s) for c, s in queue.wrap_up_s.items()},
            wait_max_s=wait_max_s,
            cool_down_s=self.scale_seconds(f"{path}.cool_down_s", queue.cool_down_s, minimum_s=1),
            rona=self._rona(path, queue.rona),
            service_level=structs.replace(level, threshold_s=threshold_s),
        )

    def _rona(self, path: str, rona: RonaPolicy) -> RonaPolicy:
        if rona.return_after_s is None:
            return rona
        return_after_s = self.scale_seconds(f"{path}.rona.return_after_s", rona.return_after_s, minimum_s=1)
        return structs.replace(rona, return_after_s=return_after_s)

    def _entry(self, rule: EntryRule) -> EntryRule:
        return structs.replace(rule, priority_s=self.scale_seconds(f"entry.{rule.name}.priority_s", rule.priority_s))

    def _wrap_up_limit_s(self, wrap_up_s: int) -> int:
        if wrap_up_s == 0:
            return 0
        return min(7 * _DAY_S, ceil(wrap_up_s / self._speed) + WRAP_UP_MARGIN_S)


def is_auto_accepted(policy: Policy, *, queue_id: str, channel: str) -> bool:
    """Return whether the policy accepts such offers automatically; a queue's setting overrides its channel's."""
    of_queue = policy.queues[queue_id].auto_accept if queue_id in policy.queues else None
    if of_queue is not None:
        return of_queue
    return channel in policy.channels and policy.channels[channel].auto_accept


def wrap_up_ms(policy: Policy, *, queue_id: str, channel: str) -> int:
    """Return the wrap-up time of the policy in milliseconds; a queue's setting overrides its channel's."""
    default_s = policy.channels[channel].wrap_up_s if channel in policy.channels else 0
    by_queue = policy.queues[queue_id].wrap_up_s if queue_id in policy.queues else {}
    return 1000 * by_queue.get(channel, default_s)
