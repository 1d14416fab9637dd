"""API operations that continue a conversation at another time or on another channel: suspend, resume, switch."""

from msgspec import UNSET, structs

from router.engine.engine import Engine
from router.model.commands import ReportChannel, ResumeContact, SuspendContact, SwitchChannel
from router.model.views import ContactView
from router.server.api.bodies import ResumeReceipt
from router.server.api.contacts import execute_on_contact, path_contact_id
from router.server.api.idempotency import contact_receipt, replay_headers
from router.server.api.request import ApiRequest, ApiResponse


async def suspend_contact(request: ApiRequest) -> ApiResponse:
    """Suspend a contact until it is resumed; it has no agent and uses no capacity meanwhile."""
    return await execute_on_contact(
        request,
        SuspendContact(
            contact_id=path_contact_id(request),
            gateway_id=request.gateway_id,
            agent_id=request.agent_id,
            resume_by_ms=request.body.resume_by_ms,
            at_expiry=request.body.at_expiry,
        ),
    )


async def switch_channel(request: ApiRequest) -> ApiResponse:
    """Continue a contact on another channel, with the same agent. A conversation switches when the customer is connected."""
    return await execute_on_contact(
        request,
        SwitchChannel(
            contact_id=path_contact_id(request),
            channel=request.body.channel,
            reference=request.body.reference,
            if_unable=request.body.if_unable,
            gateway_id=request.gateway_id,
            agent_id=request.agent_id,
        ),
    )


async def report_channel(request: ApiRequest) -> ApiResponse:
    """Report the outcome of the switch that `contact.channel_requested` requested."""
    command = ReportChannel(contact_id=path_contact_id(request), outcome=request.body.outcome, gateway_id=request.gateway_id)
    return await execute_on_contact(request, command)


async def resume_contact(request: ApiRequest) -> ApiResponse:
    """Resume a suspended contact on any channel. It enters its queue by the rules for new contacts; its last agent is preferred."""
    contact_id = path_contact_id(request)
    effected = await request.execute(
        ResumeContact(
            contact_id=contact_id, gateway_id=request.gateway_id, channel=request.body.channel, reference=request.body.reference
        )
    )

    def query(engine: Engine) -> ContactView | None:
        return engine.contact(contact_id)

    view = (await request.query_engine(query)).value
    receipt = ResumeReceipt(**structs.asdict(contact_receipt(effected)))
    if view is not None:
        receipt = structs.replace(
            receipt,
            position=UNSET if view.position is None else view.position,
            expected_wait=UNSET if view.expected_wait is None else view.expected_wait,
        )
    return ApiResponse(body=receipt, headers=replay_headers(effected))
