"""What an entry rule asks for, as a set: a rule whose set is within another's takes everything that the other takes.

An expression is one condition, the words of its text: what it means is not looked into. ``true`` asks for nothing.
"""

from typing import TypeAlias

from router.model.policy import EntryWhen
from router.rules.tokens import ExpressionError, tokens

Conditions: TypeAlias = frozenset[tuple[str, type, object]]


def conditions(when: EntryWhen | str, *, with_channel: bool = True) -> Conditions:
    """The conditions of a rule. Layout and comments of an expression make no difference."""
    if isinstance(when, str):
        try:
            words = tuple(token.text for token in tokens(when))
        except ExpressionError:
            words = (when,)  # Wrong in another way, which is told elsewhere.
        return frozenset() if words == ("true",) else frozenset({("expression", tuple, words)})
    lines: list[tuple[str, type, object]] = [
        (f"attributes.{name}", type(value), value) for name, value in when.attributes.items()
    ]
    if with_channel and when.channel is not None:
        lines.append(("channel", str, when.channel))
    return frozenset(lines)


def channel_asked(when: EntryWhen | str) -> str | None:
    """The channel that a rule is about; none: any, or an expression's affair."""
    return None if isinstance(when, str) else when.channel
