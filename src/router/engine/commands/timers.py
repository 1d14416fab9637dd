"""Timer handlers: what each kind of timer does when it fires."""

from collections.abc import Callable
from typing import Final

from router.engine.commands import (
    agents,
    callbacks,
    channel_switch,
    contacts,
    hours,
    monitoring,
    offers,
    overflow,
    parking,
    policy_schedule,
    presence,
    requests,
    suspension,
)
from router.engine.commands.assignments import complete_assignment
from router.engine.commands.hours import start_day
from router.engine.commands.plan_steps import expire_plan_step
from router.engine.commands.queue_moves import end_reservation
from router.engine.commands.rescind import rescind_unqualified
from router.engine.commands.transaction import Transaction
from router.engine.state.clocks import TimerKind
from router.engine.state.timers import TimerEntry
from router.model.events import AgentStateChanged
from router.model.states import AgentState, AssignmentState


def fire_timer(tx: Transaction, entry: TimerEntry) -> None:
    """Fire one due timer that is still valid."""
    _TIMER_HANDLERS[entry[1]](tx, entry[2])


def _expire_offer(tx: Transaction, offer_id: str) -> None:
    offers.expire_offer(tx, tx.state.offers[offer_id])


def _end_wrap_up(tx: Transaction, assignment_id: str) -> None:
    assignment = tx.state.assignments[assignment_id]
    if assignment.state is AssignmentState.PARKED:
        parking.expire_parking(tx, assignment)
    else:
        complete_assignment(tx, assignment, "timer")


def _expire_rate_cap(tx: Transaction, agent_id: str) -> None:
    # Only the time has changed: a contact of the agent has left the window of the rate cap.
    tx.state.index.agents.refresh_open_channels(tx.state.agents[agent_id])


def _expire_contact(tx: Transaction, contact_id: str) -> None:
    contact = tx.state.contacts[contact_id]
    contacts.expire_contact(tx, contact, "ttl" if contact.callback is None else "callback_expired")


def _expire_cool_down(tx: Transaction, contact_id: str) -> None:
    # Only the time has changed: the contact has to be matched again.
    contact = tx.state.contacts[contact_id]
    if contact.switch is not None:
        tx.state.index.contacts.recheck_switch(contact)
    elif not contact.waiting_for_opening:
        tx.state.index.contacts.to_match[contact_id] = contact


def _return_to_ready(tx: Transaction, agent_id: str) -> None:
    tx.emit(
        AgentStateChanged(
            agent_id=agent_id, state=AgentState.READY, from_state=tx.state.agents[agent_id].state, reason="rona_return"
        )
    )


def _expire_grace(tx: Transaction, agent_id: str) -> None:
    agents.expire_desktop_grace(tx, tx.state.agents[agent_id])


def _expire_wait(tx: Transaction, contact_id: str) -> None:
    overflow.expire_wait_max(tx, tx.state.contacts[contact_id])


def _expire_preference(tx: Transaction, contact_id: str) -> None:
    end_reservation(tx, tx.state.contacts[contact_id])


def _start_next_day(tx: Transaction, subject: str) -> None:
    start_day(tx)


def _fire_callback(tx: Transaction, contact_id: str) -> None:
    callbacks.fire_callback_timer(tx, tx.state.contacts[contact_id])


def _fire_suspension(tx: Transaction, contact_id: str) -> None:
    suspension.fire_suspension_timer(tx, tx.state.contacts[contact_id])


def _end_choice(tx: Transaction, contact_id: str) -> None:
    requests.take_default_option(tx, tx.state.contacts[contact_id])


def _expire_switch(tx: Transaction, contact_id: str) -> None:
    channel_switch.give_up_switch(tx, tx.state.contacts[contact_id], "timeout")


def _end_monitors(tx: Transaction, contact_id: str) -> None:
    monitoring.fire_monitor_timer(tx, tx.state.contacts[contact_id])


def _end_leave_grace(tx: Transaction, contact_id: str) -> None:
    presence.end_grace(tx, tx.state.contacts[contact_id])


def _expire_step(tx: Transaction, contact_id: str) -> None:
    contact = tx.state.contacts[contact_id]
    expire_plan_step(tx, contact)
    if contact.pending_offer_ids:
        rescind_unqualified(tx, contact, "step")


_TIMER_HANDLERS: Final[dict[int, Callable[[Transaction, str], None]]] = {
    TimerKind.OFFER: _expire_offer,
    TimerKind.WRAP_UP: _end_wrap_up,
    TimerKind.TTL: _expire_contact,
    TimerKind.WAIT: _expire_wait,
    TimerKind.PREFERRED: _expire_preference,
    TimerKind.COOL_DOWN: _expire_cool_down,
    TimerKind.RETURN: _return_to_ready,
    TimerKind.GRACE: _expire_grace,
    TimerKind.CAP: _expire_rate_cap,
    TimerKind.DAY: _start_next_day,
    TimerKind.HOURS: hours.update_due_queues,
    TimerKind.CALLBACK: _fire_callback,
    TimerKind.STEP: _expire_step,
    TimerKind.SUSPENSION: _fire_suspension,
    TimerKind.CHOOSE: _end_choice,
    TimerKind.SWITCH: _expire_switch,
    TimerKind.LEAVE: _end_leave_grace,
    TimerKind.MONITOR: _end_monitors,
    TimerKind.NO_AGENTS: overflow.leave_queue_without_agents,
    TimerKind.OPENING: hours.continue_opening,
    TimerKind.PUBLICATION: policy_schedule.publish_scheduled,
}
