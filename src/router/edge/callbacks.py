"""Callbacks over HTTP: ask for one, and say how the call went. A gateway reaches its own contacts alone."""

from router.edge.call import Answer, Call
from router.edge.contacts import carry_out
from router.model.commands import ReportCallback, RequestCallback


async def request_callback(call: Call) -> Answer:
    """Call the customer back instead of letting him wait. He keeps his place."""
    return await carry_out(
        call, RequestCallback(contact_id=call.path["contact_id"], callback=call.body)
    )


async def report_callback(call: Call) -> Answer:
    """Report how the call went that `callback.due` asked for."""
    return await carry_out(
        call,
        ReportCallback(
            contact_id=call.path["contact_id"],
            outcome=call.body.outcome,
            attempt=call.body.attempt,
        ),
    )
