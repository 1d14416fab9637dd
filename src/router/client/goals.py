"""Goals of contacts, for the clients of desktops, gateways and supervisors."""

from typing import Unpack

from msgspec import UNSET, UnsetType

from router.client.websocket_client import Guard, WebSocketClient
from router.model.states import GoalOutcome
from router.protocol import frames as f


class GoalCommands(WebSocketClient):
    """Client with the command that reports on goals."""

    async def report_goal(
        self,
        contact_id: str,
        *,
        goal: str | UnsetType | None = UNSET,
        outcome: GoalOutcome | UnsetType | None = UNSET,
        ease: int | UnsetType | None = UNSET,
        effort: int | UnsetType | None = UNSET,
        satisfaction: int | UnsetType | None = UNSET,
        **guard: Unpack[Guard],
    ) -> f.OkFrame:
        """Name the goal of a contact, report its outcome or give its scores, also after its end; ``state`` is the outcome then.

        ``ease``: 1 (very difficult) to 7 (very easy). ``effort``: 1 (very little) to 5. ``satisfaction``: 1 to 5 (very). What is
        unset stays; None takes it back.
        """
        return await self._send_command(
            f.ReportGoalFrame(
                id=self._next_id(),
                contact_id=contact_id,
                goal=goal,
                outcome=outcome,
                ease=ease,
                effort=effort,
                satisfaction=satisfaction,
            ),
            **guard,
        )
