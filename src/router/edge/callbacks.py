"""API operations on callbacks: request one and report the result of a call attempt."""

from router.edge.call import Answer, Call
from router.edge.contacts import carry_out
from router.model.commands import ReportCallback, RequestCallback


async def request_callback(request: Call) -> Answer:
    """Turn a waiting contact into a callback. It keeps its place in the queue."""
    return await carry_out(
        request, RequestCallback(contact_id=request.path["contact_id"], callback=request.body)
    )


async def report_callback(request: Call) -> Answer:
    """Report the result of the call that `callback.due` requested."""
    return await carry_out(
        request,
        ReportCallback(
            contact_id=request.path["contact_id"],
            outcome=request.body.outcome,
            attempt=request.body.attempt,
        ),
    )
