"""Command to events: the only place where "why" lives. Refusals are values; every event takes effect as it is decided."""

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
