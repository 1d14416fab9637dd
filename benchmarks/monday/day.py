"""A day of the centre in virtual time: customers, telephone gateway and agents, each by the HTTP API of a real router.

The gateway submits each call, ends it when the conversation is over, and reports customers who hang up before. Agents are set ready
at the begin; the policy accepts offers for them. Once a minute an observer reads the statistics of all queues; then the supervisor,
if there is one, looks at the centre and may change what they like, over the API as well.
"""

import heapq
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from msgspec import Struct

from benchmarks.monday.centre import SERVICE_LEVELS, Call, Centre, Failure
from router.model.events import OfferAccepted
from router.server.auth.credentials import Role
from tests.support.virtual_time_router import VirtualTimeRouter

MINUTE_MS: Final = 60_000
# Minutes over which the service level of a moment is computed.
WINDOW: Final = 5
_BULK_MAX: Final = 500

Look = Callable[[], Awaitable[None]]


class Counted(Struct, frozen=True):
    """What was counted for a queue since the begin of the day, from the statistics."""

    answered: int = 0
    answered_within: int = 0
    abandoned: int = 0
    abandoned_short: int = 0

    def since(self, earlier: "Counted") -> "Counted":
        """Return what was counted after an earlier reading."""
        return Counted(
            self.answered - earlier.answered,
            self.answered_within - earlier.answered_within,
            self.abandoned - earlier.abandoned,
            self.abandoned_short - earlier.abandoned_short,
        )

    def plus(self, other: "Counted") -> "Counted":
        """Return the sum."""
        return other.since(Counted().since(self))

    @property
    def service_level(self) -> float | None:
        """The service level of the router: answered within / (answered + abandoned − abandoned short); none without contacts."""
        counted = self.answered + self.abandoned - self.abandoned_short
        return self.answered_within / counted if counted else None


class Readings(Struct):
    """Statistics of all queues by the minute."""

    by_minute: dict[int, dict[str, Counted]] = {}
    """Readings by the time at which they were made."""

    def between(self, queue_id: str, from_ms: int, to_ms: int) -> Counted:
        """Return what was counted for a queue between two readings."""
        return self._at(queue_id, to_ms).since(self._at(queue_id, from_ms))

    def service_level(self, queue_id: str, at_ms: int) -> float | None:
        """Return the service level of the minutes of a window that ends then."""
        return self.between(queue_id, at_ms - WINDOW * MINUTE_MS, at_ms).service_level

    def back_at_ms(self, queue_id: str, target: float, from_ms: int, to_ms: int) -> int | None:
        """Return the first minute from which on the service level is never below the target; none: it is below at the end."""
        back_ms = None
        for at_ms in range(to_ms, from_ms, -MINUTE_MS):
            level = self.service_level(queue_id, at_ms)
            if level is not None and level < target:
                break
            back_ms = at_ms
        return back_ms

    def _at(self, queue_id: str, at_ms: int) -> Counted:
        earlier = [time for time in self.by_minute if time <= at_ms]
        return self.by_minute[max(earlier)].get(queue_id, Counted()) if earlier else Counted()


class Monday:
    """One run of the day."""

    def __init__(self, router: VirtualTimeRouter, centre: Centre, failure: Failure) -> None:
        self.readings = Readings()
        self._router = router
        self._centre = centre
        self._failure = failure
        self._gateway = router.client(Role.GATEWAY, "telephone")
        self._operations = router.client(Role.ADMIN, "operations")
        self._observer = router.client(Role.SUPERVISOR, "observer")
        self._todo: list[tuple[int, int, Callable[[], Awaitable[None]]]] = []
        self._planned = 0
        self._waiting: dict[str, Call] = {}

    async def run(self, from_ms: int, to_ms: int, look: Look | None = None) -> None:
        """Open the centre, let the time pass, and call ``look`` once a minute after the observer has read the statistics."""
        await self._open()
        for call in self._centre.calls(from_ms, to_ms, self._failure):
            self._at(call.at_ms, partial(self._submit, call))
        self._at(self._failure.from_ms, partial(self._set_states, self._failure.away, "offline"))
        self._at(self._failure.to_ms, partial(self._set_states, self._failure.away, "ready"))
        for at_ms in range(from_ms, to_ms + 1, MINUTE_MS):
            self._at(at_ms, partial(self._each_minute, at_ms, look))
        while self._todo and self._todo[0][0] <= to_ms:
            if not await self._router.advance(self._todo[0][0]):
                self._notice()
                continue
            _, _, act = heapq.heappop(self._todo)
            await act()
            self._notice()

    def _at(self, at_ms: int, act: Callable[[], Awaitable[None]]) -> None:
        self._planned += 1
        heapq.heappush(self._todo, (at_ms, self._planned, act))

    async def _open(self) -> None:
        await self._operations.json("PUT", "/v1/policy?note=a+normal+day", self._centre.policy(), If_Match="*")
        for agent in self._centre.agents:
            record = {"skills": agent.skills, "team": agent.team}
            await self._operations.json("PUT", f"/v1/agents/{agent.agent_id}", record)
        await self._set_states(tuple(agent.agent_id for agent in self._centre.agents), "ready")
        self._router.take_events()

    async def _set_states(self, ids: tuple[str, ...], state: str) -> None:
        for start in range(0, len(ids), _BULK_MAX):
            act = {"act": {"type": "set_state", "state": state}, "ids": ids[start : start + _BULK_MAX]}
            await self._operations.json("POST", "/v1/bulk", act, Idempotency_Key=f"{state}-{self._router.now_ms}-{start}")

    async def _submit(self, call: Call) -> None:
        got = await self._gateway.json("POST", "/v1/contacts", {"channel": "voice", "queue_id": call.queue_id})
        contact_id = got["contact_id"]
        self._waiting[contact_id] = call
        self._at(call.at_ms + call.patience_ms, partial(self._hang_up_if_waiting, contact_id))

    async def _hang_up_if_waiting(self, contact_id: str) -> None:
        if self._waiting.pop(contact_id, None) is not None:
            await self._gateway.json("POST", f"/v1/contacts/{contact_id}/abandon")

    async def _end(self, contact_id: str) -> None:
        await self._gateway.json("POST", f"/v1/contacts/{contact_id}/end")

    def _notice(self) -> None:
        """Plan the end of each conversation that has begun."""
        for at_ms, event in self._router.take_events():
            if isinstance(event, OfferAccepted):
                call = self._waiting.pop(event.contact_id)
                self._at(at_ms + call.handle_ms, partial(self._end, event.contact_id))

    async def _each_minute(self, at_ms: int, look: Look | None) -> None:
        rows = (await self._observer.json("GET", "/v1/statistics?by=queue&period=today"))["rows"]
        self.readings.by_minute[at_ms] = {row["queue_id"]: _counted(row) for row in rows}
        if look is not None:
            await look()


def _counted(row: dict[str, Any]) -> Counted:
    return Counted(*(row.get(name, 0) for name in Counted.__struct_fields__))


def target_of(queue_id: str) -> float:
    """Return the share of contacts that a queue promises to answer in time."""
    return SERVICE_LEVELS[queue_id.partition("_")[2]][0]


def clock(at_ms: int) -> str:
    """Return a time as people read it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%H:%M}"
