"""A centre whose agents get cards: its policy, its clients, and waits for cards."""

import asyncio
from pathlib import Path
from typing import Any

from router.client import DesktopClient, SupervisorClient
from router.context.cards import Card, CardStatus
from router.model.commands import PublishPolicy
from router.model.policy import DerivePolicy, EntryCondition, EntryRule, FactPolicy, FactType, ProfileField, StepMatch
from router.server.auth.credentials import Role
from tests.support.builders import a_channel, a_policy, a_queue
from tests.support.http_api import Api
from tests.support.in_process_router import InProcessRouter

PATIENCE_S = 60
USER = {"type": "app_user", "value": "canary-user-7", "assurance": "verified"}
PHONE = {"type": "phone", "value": "+4915112345678", "assurance": "asserted"}
CANARY = "canary-wants-to-refinance"
_NOT_READ = (CardStatus.LATE, CardStatus.UNAVAILABLE)


def context_at(path: Path, **settings: Any) -> dict[str, Any]:
    """Settings under which a slow disk of the test's machine takes no customer away."""
    paths = {"path": str(path / "context"), "master_key_path": str(path / "master.json")}
    return paths | {"submit_wait_ms_max": 5_000, **settings}


class RouterUrl:
    """What ``Api`` needs of a router, for one in this process."""

    def __init__(self, router: InProcessRouter) -> None:
        self.url = router.server.url
        self._router = router

    def token(self, role: str, subject: str, workspace: str = "default") -> str:
        return self._router.token(subject, Role(role), workspace)


def api(router: InProcessRouter, role: str = "gateway", subject: str = "web") -> Api:
    return Api(RouterUrl(router), role, subject)  # type: ignore[arg-type]


def facts_policy() -> PublishPolicy:
    """Gold customers go to ``vip``, and so do those whose payments fail."""
    return PublishPolicy(
        policy=a_policy(
            channels={"voice": a_channel(wrap_up_s=60, offer_timeout_s=60), "chat": a_channel(units=30, per_agent_max=3)},
            skills=("gold",),
            queues={"support": a_queue(), "vip": a_queue(requires={"gold": 1})},
            facts={
                "tier": FactPolicy(
                    type=FactType.ENUM,
                    values=("gold", "silver"),
                    applies_to="customer",
                    derive=DerivePolicy(profile=ProfileField.TIER),
                ),
                "failed": FactPolicy(
                    type=FactType.INT,
                    applies_to="customer",
                    derive=DerivePolicy(count=StepMatch(type="payment", result="failed"), within_s=300),
                    refresh_while_waiting=True,
                ),
                "open": FactPolicy(
                    type=FactType.INT, applies_to="customer", derive=DerivePolicy(open_contacts=True), refresh_while_waiting=True
                ),
            },
            entry=(
                EntryRule(name="gold", queue="vip", when=EntryCondition(customer={"tier": "gold"})),
                EntryRule(name="struggles", queue="vip", when="customer.failed >= 2"),
            ),
            default_queue="support",
        )
    )


async def until(condition: Any) -> None:
    """Wait until something is the case; a slow machine may take long for it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S / 2
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"it has not happened within {PATIENCE_S / 2} seconds")
        await asyncio.sleep(0.01)


async def first_card(desktop: DesktopClient, contact_id: str) -> Card:
    """The card of an offer, also where it follows the offer."""
    await until(lambda: contact_id in desktop.cards and desktop.cards[contact_id].status not in _NOT_READ)
    return desktop.cards[contact_id]


async def first_watched(supervisor: SupervisorClient, contact_id: str) -> Card:
    await until(lambda: contact_id in supervisor.cards and supervisor.cards[contact_id].status not in _NOT_READ)
    return supervisor.cards[contact_id]
