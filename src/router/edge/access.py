"""Doors beside the sockets: tickets for browsers, and the two health checks."""

from router.edge.call import Answer, Call
from router.edge.documents import HealthDocument, TicketDocument
from router.edge.problems import ProblemRaised
from router.edge.tickets import TicketsExhausted


async def issue_ws_ticket(call: Call) -> Answer:
    """A single-use ticket for a socket's ``hello``."""
    tickets = call.backend.tickets
    try:
        ticket = tickets.issue(call.credential)
    except TicketsExhausted:
        raise ProblemRaised("busy", retry_after_s=tickets.lifetime_s) from None
    return Answer(
        status=201,
        body=TicketDocument(ticket=ticket, expires_in_s=tickets.lifetime_s),
        headers={"Cache-Control": "no-store"},
    )


async def healthz(call: Call) -> Answer:
    """The process lives and its loop turns."""
    return Answer(body=HealthDocument(status="ok"))


async def readyz(call: Call) -> Answer:
    """The process takes work: recovered, and not about to stop."""
    condition = call.backend.condition
    if condition.stopping:
        raise ProblemRaised("stopping", retry_after_s=5)
    if not condition.ready:
        raise ProblemRaised("not_ready")
    return Answer(body=HealthDocument(status="ready"))
