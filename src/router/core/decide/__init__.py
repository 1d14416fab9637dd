"""Command handlers: decide what a command leads to.

A handler is given a transaction and a command. It returns an answer: ``Done``, or ``Refused`` with a code and the field that
is wrong. What it decides, it emits as events through the transaction; each event is applied at once, so the next decision
sees its effect. A refusal emits nothing. Policy, calendars and rules are consulted only here, never by the event handlers.
"""

from collections.abc import Callable
from typing import Any, Final

from router.core.decide import (
    agents,
    assignments,
    callbacks,
    channels,
    conference,
    consult,
    contacts,
    hours,
    intake,
    offers,
    parking,
    policies,
)
from router.core.decide.step import Step
from router.model.commands import AdvanceTime
from router.model.outcome import Answer, Done


def _advance(step: Step, command: AdvanceTime) -> Answer:
    return Done(subject="time", state="advanced", seq=step.state.seq)


DECIDE: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    **intake.HANDLERS,
    **contacts.HANDLERS,
    **callbacks.HANDLERS,
    **offers.HANDLERS,
    **assignments.HANDLERS,
    **consult.HANDLERS,
    **conference.HANDLERS,
    **parking.HANDLERS,
    **agents.HANDLERS,
    **channels.HANDLERS,
    **policies.HANDLERS,
    **hours.HANDLERS,
    AdvanceTime: _advance,
}
