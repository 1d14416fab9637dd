"""API operations on requests: ask for an agent with options, read, choose, cancel, and give the customer a token.

A gateway reaches the requests that it made, a customer the one that their token is bound to; any other looks like an unknown one.
The id of a request is the id of its contact.
"""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from router.context.cards import ContactContext
from router.engine.commands.transaction import unknown_contact
from router.engine.engine import Engine
from router.model.commands import (
    CancelRequest,
    ChangeCustomerToken,
    ChooseOption,
    PlainCommand,
    RequestContact,
    ResumeContact,
    SuspendContact,
    SwitchChannel,
    TimeMs,
)
from router.model.events import TimeWindow
from router.model.policy import Attributes, PriorityClass, PrioritySeconds, Skills
from router.model.request_views import OptionView, RequestView, WaitTold
from router.model.states import Ident, IfUnable, Name, RequestPhase, ResumeMode
from router.protocol.frames import ContactCustomer, ContactFields, PreferredAgents
from router.server.api.guards import entity_tags, idempotency_key
from router.server.api.idempotency import enqueue_command, find_customer, fingerprint_of, replay_headers
from router.server.api.problems import ProblemError, problem_from_refusal
from router.server.api.request import ApiRequest, ApiResponse, AppliedCommand
from router.server.api.request_watch import view_tag
from router.server.api.submit_customer import wait_until_stored
from router.server.auth.credentials import Role
from router.server.auth.customer_tokens import new_token, token_hash

WAIT_S_MAX = 30


class RequestFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer who asks for an agent. The fields are those of a contact, and how to choose."""

    channel: Name
    """Channel that is asked for."""
    queue_id: Name | None = None
    """Queue; omitted: the entry rules of the policy choose it."""
    skills: Skills = {}
    """Skills required in addition to those of the queue, with their levels."""
    priority_s: PrioritySeconds = 0
    priority_class: PriorityClass = 0
    attributes: Attributes = {}
    ttl_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] | None = None
    """Time to live in seconds, from the choice; omitted: unlimited."""
    reference: Ident | None = None
    """Opaque id of the gateway for the contact; omitted: none."""
    preferred_agents: PreferredAgents = ()
    """Agents preferred for this customer, most preferred first."""
    continues_contact_id: Ident | None = None
    """Earlier contact of the same customer and gateway; omitted: none."""
    customer: ContactCustomer | None = None
    """Customer; omitted: not known."""
    context: ContactContext | None = None
    """Where the customer is and what they want, for the card of the agent. At most 4 KiB of JSON."""
    choose: Literal["ask", "first"] = "ask"
    """``ask``: show the options. ``first``: take the channel that is asked for at once, and show the others only if that is not
    possible."""
    resume: ResumeMode = ResumeMode.NEVER
    """Whether the customer may go on with a suspended conversation: ``auto`` resumes it if it is the only one and otherwise shows
    them, ``ask`` shows them as options."""
    goal: Name | None = None
    """What the customer comes for: a goal of the policy. Omitted: by the entry rule or ``goals.default``."""

    def contact(self) -> ContactFields:
        """Return the fields of the contact."""
        names = (name for name in self.__struct_fields__ if name != "choose")
        return ContactFields(**{name: getattr(self, name) for name in names})


class WindowFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the time windows of a callback, as the request shows it."""

    start_at_ms: TimeMs
    """Beginning, epoch milliseconds."""
    end_at_ms: TimeMs
    """End, epoch milliseconds."""


class OptionChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The option that is chosen."""

    option: Name
    """Id of the option."""
    window: WindowFields | None = None
    """Time window of a callback; omitted: the callback has no agreed time."""


class RequestQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait for a change."""

    wait_s: Annotated[int, Meta(ge=0, le=WAIT_S_MAX)] = 0
    """Answer as soon as the request changes, at the latest after this many seconds; 0: at once."""


class RequestReceipt(Struct, frozen=True, kw_only=True):
    """A request, and the token for its customer. Fields may be added in later versions."""

    request_id: str
    """Id of the request, which is the id of its contact."""
    state: RequestPhase
    """State of the request."""
    channel: str
    token: str
    """Token of the customer, for this request only. It is told once and kept as a hash."""
    options: tuple[OptionView, ...] = ()
    """Options to choose from; empty: there is nothing to choose."""
    expires_at_ms: int | None = None
    """When the default option is taken, epoch milliseconds."""
    position: int | None = None
    """Place in the queue, if it waits already."""
    wait_s: WaitTold | None = None
    """Expected wait, if it waits already."""
    history_id: str
    epoch: int
    seq: int
    """Sequence number of the event that the request caused."""


class RequestChannel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Channel on which a customer goes on."""

    channel: Name
    """One of the ``channels`` of the request; its present one gives up a switch in progress."""


class RequestResumption(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a customer resumes a suspended request."""

    channel: Name | None = None
    """Channel to go on with; omitted: the same as before."""


class LinkReceipt(Struct, frozen=True, kw_only=True):
    """What a link to the customer of a contact needs."""

    request_id: str
    """Id of the contact, which is its id as a request."""
    token: str
    """Token of the customer, for this contact only. One that was given before is no longer valid."""
    channels: tuple[str, ...]
    """Channels on which the customer may go on."""


class TokenReceipt(Struct, frozen=True, kw_only=True):
    """A new token of the customer of a request."""

    request_id: str
    token: str
    """The new token; the one before it is no longer valid."""


async def create_request(request: ApiRequest) -> ApiResponse:
    """Ask for an agent, as a customer who is to choose how. A repeat with the same key gets the same request, with a new token."""
    fields: RequestFields = request.body
    contact = fields.contact()
    wanted = enqueue_command(request.credential, contact, None)
    found = await find_customer(request.services, request.workspace, wanted, contact)
    token = new_token(request.workspace)
    command = RequestContact(
        contact=found.command,
        token_hash=token_hash(token),
        ask=fields.choose == "ask",
        resume=fields.resume,
        customer_ids=found.customer_ids,
    )
    key = idempotency_key(request.header)
    effected = await request.execute(
        command, payload=None if key is None else b"request|" + fields.choose.encode() + fingerprint_of(contact)
    )
    await wait_until_stored(found.stored)
    contact_id = effected.result.subject
    if effected.result.replayed:
        token = await _renew_token(request, contact_id)
    view = await _view(request, contact_id)
    receipt = RequestReceipt(
        request_id=contact_id,
        state=view.state,
        channel=view.channel,
        token=token,
        options=view.options,
        expires_at_ms=view.expires_at_ms,
        position=view.position,
        wait_s=view.wait_s,
        history_id=effected.history_id,
        epoch=effected.epoch,
        seq=effected.result.seq,
    )
    headers = {**replay_headers(effected), "Location": f"/v1/requests/{contact_id}"}
    return ApiResponse(status=201, body=receipt, headers=headers)


async def get_request(request: ApiRequest) -> ApiResponse:
    """Get a request; with `wait_s`, as soon as it differs from what `If-None-Match` names, or from now on."""
    contact_id = own_request_id(request)
    view = await _view(request, contact_id)
    tag, wait_s = view_tag(view), request.query_params.wait_s
    known = request.header("If-None-Match")
    seen = tag if known is None else next(iter(entity_tags(known, "If-None-Match", weak=True)), "")
    if wait_s and seen == tag:
        view, tag = await _changed_view(request, contact_id, view, tag, wait_s)
    headers = {"ETag": f'"{tag}"'}
    if known is not None and seen == tag:
        return ApiResponse(status=304, body=b"", headers=headers)
    return ApiResponse(body=view, headers=headers)


async def _changed_view(request: ApiRequest, contact_id: str, view: RequestView, tag: str, wait_s: int) -> tuple[RequestView, str]:
    """Return the next view that differs, or the same one after the time."""
    services = request.services
    changed: asyncio.Future[tuple[RequestView | None, str]] = asyncio.get_running_loop().create_future()

    def told(new: RequestView | None, new_tag: str) -> None:
        if not changed.done():
            changed.set_result((new, new_tag))

    def lost() -> None:
        told(view, tag)  # Nothing waits for the answer any more.

    with services.request_polls.waiting(request.credential), _presence(request, contact_id):
        request.release()
        request.on_lost(lost)
        unwatch = services.request_watch.watch(request.workspace, contact_id, tag, told)
        new: RequestView | None = view
        new_tag = tag
        try:
            async with asyncio.timeout(wait_s):
                new, new_tag = await changed
        except TimeoutError:
            pass
        finally:
            unwatch()
    followed = await _resumed_instead(request, new)
    if followed is not None:
        return followed, view_tag(followed)
    if services.authenticator.is_expired(request.credential):
        # The token was renewed, or has ended, while the poll waited.
        raise ProblemError("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    if new is None:
        raise problem_from_refusal(unknown_contact())
    return new, new_tag


async def _resumed_instead(request: ApiRequest, new: RequestView | None) -> RequestView | None:
    """Return the conversation with which the customer of a token goes on; None: the token is not valid for it."""
    if new is None or new.resumed_id is None or request.credential.role is not Role.CUSTOMER:
        return None
    followed = request.services.authenticator.followed(request.credential)
    return None if followed is None or followed.subject != new.resumed_id else await _view(request, new.resumed_id)


async def choose_option(request: ApiRequest) -> ApiResponse:
    """Choose an option of a request."""
    contact_id, choice = own_request_id(request), request.body
    window = None if choice.window is None else msgspec.convert(choice.window, TimeWindow, from_attributes=True)
    command = ChooseOption(contact_id=contact_id, option=choice.option, window=window, gateway_id=request.gateway_id)
    return await _changed(request, await _execute(request, command))


async def cancel_request(request: ApiRequest) -> ApiResponse:
    """Leave, as the customer: the choice, the wait, the callback or the conversation ends."""
    contact_id = own_request_id(request)
    return await _changed(request, await _execute(request, CancelRequest(contact_id=contact_id, gateway_id=request.gateway_id)))


async def suspend_request(request: ApiRequest) -> ApiResponse:
    """Stop for now, as the customer, and resume later; on the terms of the queue's policy."""
    command = SuspendContact(contact_id=own_request_id(request), gateway_id=request.gateway_id)
    return await _changed(request, await _execute(request, command))


async def resume_request(request: ApiRequest) -> ApiResponse:
    """Resume a suspended request, as the customer, on another channel or the same."""
    command = ResumeContact(contact_id=own_request_id(request), gateway_id=request.gateway_id, channel=request.body.channel)
    return await _changed(request, await _execute(request, command))


async def issue_customer_token(request: ApiRequest) -> ApiResponse:
    """Give the customer of a request a new token; the one before it is no longer valid."""
    contact_id = request.path_params["request_id"]
    return ApiResponse(status=201, body=TokenReceipt(request_id=contact_id, token=await _renew_token(request, contact_id)))


async def issue_link(request: ApiRequest) -> ApiResponse:
    """Give the customer of a contact a token, with which they go on on another channel that the policy offers, if they wish."""
    contact_id = request.path_params["contact_id"]
    token = await _renew_token(request, contact_id, is_link=True)
    view = await _view(request, contact_id)
    return ApiResponse(status=201, body=LinkReceipt(request_id=contact_id, token=token, channels=view.channels))


async def switch_request_channel(request: ApiRequest) -> ApiResponse:
    """Go on on another channel, as the customer; if the agent cannot take it now, the switch waits, and nothing else changes."""
    contact_id = own_request_id(request)
    command = SwitchChannel(
        contact_id=contact_id,
        channel=request.body.channel,
        if_unable=IfUnable.QUEUE,
        gateway_id=request.gateway_id,
        by_customer=True,
    )
    return await _changed(request, await _execute(request, command))


async def _renew_token(request: ApiRequest, contact_id: str, *, is_link: bool = False) -> str:
    token = new_token(request.workspace)
    command = ChangeCustomerToken(
        contact_id=contact_id, token_hash=token_hash(token), gateway_id=request.gateway_id, is_link=is_link
    )
    await request.execute_unguarded(command)
    return token


async def _changed(request: ApiRequest, effected: AppliedCommand) -> ApiResponse:
    """Return the request after a command."""
    view = await _view(request, effected.result.subject)
    return ApiResponse(body=view, headers={**replay_headers(effected), "ETag": f'"{view_tag(view)}"'})


async def _execute(request: ApiRequest, command: PlainCommand) -> AppliedCommand:
    """Execute a command; a customer is not told which operations others may ask for."""
    try:
        return await request.execute(command)
    except ProblemError as raised:
        if request.credential.role is Role.CUSTOMER and raised.document.code == "invalid_contact_state":
            raised.document = msgspec.structs.replace(raised.document, allowed=(), state=None)
        raise


async def _view(request: ApiRequest, contact_id: str) -> RequestView:
    gateway_id = request.gateway_id

    def query(engine: Engine) -> RequestView | None:
        return engine.request(contact_id) if engine.may_see_contact(contact_id, gateway_id=gateway_id) else None

    view = (await request.query_engine(query)).value
    if view is None:
        raise problem_from_refusal(unknown_contact())
    return view


def own_request_id(request: ApiRequest) -> str:
    """Return the id in the path; for a customer, only the one that their token is bound to."""
    contact_id = request.path_params["request_id"]
    credential = request.credential
    if credential.role is Role.CUSTOMER:
        if contact_id not in (credential.subject, credential.former_subject):
            raise problem_from_refusal(unknown_contact())
        contact_id = credential.subject
        request.services.customer_presence.note_request(request.workspace, contact_id)
    return contact_id


def _presence(request: ApiRequest, contact_id: str) -> AbstractContextManager[None]:
    """Return the block in which the customer counts as connected; nothing where a gateway asks."""
    if request.credential.role is not Role.CUSTOMER:
        return nullcontext()
    return request.services.customer_presence.connected(request.workspace, contact_id)
