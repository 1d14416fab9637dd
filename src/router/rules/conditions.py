"""Conditions of entry rules as sets: a rule whose set is a subset of another's matches every contact that the other matches.

An expression counts as one condition, identified by its tokens; its meaning is not analysed. ``true`` is the empty set.
"""

from typing import TypeAlias

from router.model.policy import EntryWhen
from router.rules.tokens import ExpressionError, tokens

Conditions: TypeAlias = frozenset[tuple[str, type, object]]


def conditions(when: EntryWhen | str, *, with_channel: bool = True) -> Conditions:
    """Return the conditions of a rule. Layout and comments of an expression are ignored."""
    if isinstance(when, str):
        try:
            words = tuple(token.text for token in tokens(when))
        except ExpressionError:
            words = (when,)  # The error of the expression is reported by another check.
        return frozenset() if words == ("true",) else frozenset({("expression", tuple, words)})
    lines: list[tuple[str, type, object]] = [
        (f"attributes.{name}", type(value), value) for name, value in when.attributes.items()
    ]
    if with_channel and when.channel is not None:
        lines.append(("channel", str, when.channel))
    return frozenset(lines)


def channel_asked(when: EntryWhen | str) -> str | None:
    """Return the channel that a rule requires; none: any channel, or the rule is an expression."""
    return None if isinstance(when, str) else when.channel
