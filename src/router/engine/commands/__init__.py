"""Command handlers: decide what a command leads to.

A handler is given a transaction and a command. It returns an answer: ``Done``, or ``Refused`` with a code and the field that
is wrong. What it decides, it emits as events through the transaction; each event is applied at once, so the next decision
sees its effect. A refusal emits nothing. Policy, calendars and rules are consulted only here, never by the event handlers.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands import (
    agents,
    alerts,
    assignments,
    callbacks,
    channel_switch,
    conference,
    consult,
    contacts,
    goals,
    hours,
    monitoring,
    offers,
    parking,
    policies,
    policy_schedule,
    presence,
    requests,
    submit,
    suspension,
    transfers,
)
from router.engine.commands.guarded import guarded_handler
from router.engine.commands.transaction import Transaction
from router.model.commands import AdvanceTime, GuardedCommand
from router.model.results import CommandResult, Done


def _advance_time(tx: Transaction, command: AdvanceTime) -> CommandResult:
    return Done(subject="time", state="advanced", seq=tx.state.seq)


_PLAIN_COMMAND_HANDLERS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    **submit.SUBMIT_COMMANDS,
    **requests.REQUEST_COMMANDS,
    **presence.PRESENCE_COMMANDS,
    **contacts.CONTACT_COMMANDS,
    **transfers.TRANSFER_COMMANDS,
    **callbacks.CALLBACK_COMMANDS,
    **offers.OFFER_COMMANDS,
    **assignments.ASSIGNMENT_COMMANDS,
    **consult.CONSULT_COMMANDS,
    **conference.CONFERENCE_COMMANDS,
    **parking.PARKING_COMMANDS,
    **suspension.SUSPENSION_COMMANDS,
    **channel_switch.CHANNEL_SWITCH_COMMANDS,
    **monitoring.MONITORING_COMMANDS,
    **agents.AGENT_COMMANDS,
    **policies.POLICY_COMMANDS,
    **policy_schedule.SCHEDULE_COMMANDS,
    **hours.HOURS_COMMANDS,
    **alerts.ALERT_COMMANDS,
    **goals.GOAL_COMMANDS,
    AdvanceTime: _advance_time,
}

COMMAND_HANDLERS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    **_PLAIN_COMMAND_HANDLERS,
    GuardedCommand: guarded_handler(_PLAIN_COMMAND_HANDLERS),
}
