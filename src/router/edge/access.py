"""API operations: WebSocket tickets for browsers, liveness and readiness probes."""

from router.edge.call import Answer, Call
from router.edge.documents import HealthDocument, TicketDocument
from router.edge.problems import ProblemRaised
from router.edge.tickets import TicketsExhausted


async def issue_ws_ticket(request: Call) -> Answer:
    """Issue a single-use ticket for the ``hello`` frame of a WebSocket."""
    tickets = request.backend.tickets
    try:
        ticket = tickets.issue(request.credential)
    except TicketsExhausted:
        raise ProblemRaised("busy", retry_after_s=tickets.lifetime_s) from None
    return Answer(
        status=201,
        body=TicketDocument(ticket=ticket, expires_in_s=tickets.lifetime_s),
        headers={"Cache-Control": "no-store"},
    )


async def healthz(request: Call) -> Answer:
    """Liveness probe."""
    return Answer(body=HealthDocument(status="ok"))


async def readyz(request: Call) -> Answer:
    """Readiness probe: recovered and not shutting down."""
    condition = request.backend.condition
    if condition.stopping:
        raise ProblemRaised("stopping", retry_after_s=5)
    if not condition.ready:
        raise ProblemRaised("not_ready")
    return Answer(body=HealthDocument(status="ready"))
