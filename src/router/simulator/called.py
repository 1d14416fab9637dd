"""Simulated callback customers: when they request a callback, whether they pick up, and what the gateway reports."""

from collections.abc import Callable
from math import log
from random import Random
from typing import Final

from router.model.callbacks import CallbackFields, CallbackOutcome
from router.model.commands import Command, ReportCallback, RequestCallback
from router.model.events import CallbackConnected, CallbackDue, CallbackFailed, Event
from router.model.refusals import Refused
from router.simulator.day import PlannedContact

# Callback attempts have a random generator of their own, so that a policy without callbacks sees the same customers and agents.
_CALLS: Final = 0x5EED_0F_CA115


class CalledBack:
    """Customers of the world who have asked to be called back."""

    def __init__(
        self,
        seed: int,
        *,
        plans: dict[str, PlannedContact],
        answered: dict[str, str],
        do: Callable[[Command], Refused | None],
        call_ends: Callable[[int, ReportCallback], None],
        talk: Callable[[str], None],
    ) -> None:
        self._rng = Random(seed ^ _CALLS)
        self._plans = plans
        self._answered = answered
        self._do = do
        self._call_ends = call_ends
        self._talk = talk
        self._away: set[str] = set()
        self._asked: set[str] = set()
        self.hear: dict[type[Event], Callable[[Event], None]] = {
            CallbackDue: self._due,
            CallbackConnected: self._connected,
            CallbackFailed: self._failed,
        }

    def is_away(self, contact_id: str) -> bool:
        """Return whether the customer is not connected, and so neither talks nor hangs up."""
        return contact_id in self._away

    def has_patience(self, contact_id: str) -> bool:
        """Return whether the customer has requested a callback and no longer abandons."""
        return contact_id in self._asked

    def ask(self, contact_id: str) -> None:
        """Request the callback planned for a contact, if it still waits and the policy allows it."""
        plan = self._plans.get(contact_id)
        if plan is None or plan.callback is None or contact_id in self._answered:
            return
        # Set before the command: its outcome may already contain the first attempt.
        self._away.add(contact_id)
        self._asked.add(contact_id)
        wish = CallbackFields(mode=plan.callback.mode)
        refused = self._do(RequestCallback(contact_id=contact_id, callback=wish))
        if refused is not None:
            self.forget(contact_id)

    def forget(self, contact_id: str) -> None:
        """Drop the callback state of a contact that has ended or whose request was refused."""
        self._away.discard(contact_id)
        self._asked.discard(contact_id)

    def _due(self, event: Event) -> None:
        assert isinstance(event, CallbackDue)
        wish = self._plans[event.contact_id].callback
        assert wish is not None
        chance, delay = self._rng.random(), self._rng.random()
        if chance < wish.reached_share:
            report = ReportCallback(
                contact_id=event.contact_id,
                outcome=CallbackOutcome.CONNECTED,
                attempt=event.attempt,
            )
            self._call_ends(round(-log(1.0 - delay) * wish.answer_mean_ms), report)

    def _connected(self, event: Event) -> None:
        assert isinstance(event, CallbackConnected)
        self._away.discard(event.contact_id)
        if event.agent_id is not None:
            self._talk(event.contact_id)

    def _failed(self, event: Event) -> None:
        assert isinstance(event, CallbackFailed)
        self._answered.pop(event.contact_id, None)
