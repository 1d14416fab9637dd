"""Single-use WebSocket tickets."""

import pytest

from router.server.auth.credentials import Credential, Role
from router.server.auth.tickets import TicketsExhausted, TicketStore


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def a_credential() -> Credential:
    return Credential(subject="web", role=Role.GATEWAY, workspace="default", issuer="router", expires_at_s=2**40)


async def test_a_ticket_is_valid_once() -> None:
    tickets = TicketStore(lifetime_s=30, tickets_max=10)
    credential = a_credential()
    ticket = await tickets.issue(credential)
    assert tickets.redeem(ticket) == credential
    assert tickets.redeem(ticket) is None


async def test_a_ticket_expires_after_its_lifetime() -> None:
    clock = Clock()
    tickets = TicketStore(lifetime_s=30, tickets_max=10, now_s=clock)
    early, late = await tickets.issue(a_credential()), await tickets.issue(a_credential())
    clock.now_s += 29.9
    assert tickets.redeem(early) is not None
    clock.now_s += 0.1
    assert tickets.redeem(late) is None


async def test_the_number_of_tickets_is_limited_and_expired_ones_are_removed() -> None:
    clock = Clock()
    tickets = TicketStore(lifetime_s=30, tickets_max=2, now_s=clock)
    await tickets.issue(a_credential())
    await tickets.issue(a_credential())
    with pytest.raises(TicketsExhausted):
        await tickets.issue(a_credential())
    clock.now_s += 30
    assert await tickets.issue(a_credential())


@pytest.mark.parametrize("ticket", ["", "x", "é", "\ud800", "x" * 8192])
async def test_an_unknown_ticket_has_no_credential(ticket: str) -> None:
    tickets = TicketStore(lifetime_s=30, tickets_max=2)
    await tickets.issue(a_credential())
    assert tickets.redeem(ticket) is None
