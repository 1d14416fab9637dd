"""Routes of requests; part of the route table in ``routes.py``."""

from typing import Final

from router.model.request_views import RequestView
from router.server.api.bodies import EmptyBody
from router.server.api.requests import (
    LinkReceipt,
    OptionChoice,
    RequestChannel,
    RequestFields,
    RequestQuery,
    RequestReceipt,
    RequestResumption,
    TokenReceipt,
    cancel_request,
    choose_option,
    create_request,
    get_request,
    issue_customer_token,
    issue_link,
    resume_request,
    suspend_request,
    switch_request_channel,
)
from router.server.api.route import Route

_ADMISSION: Final = ("queue_full", "queue_closed", "no_agents_ready")

REQUEST_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="POST",
        path="/v1/requests",
        operation=create_request,
        body_type=RequestFields,
        response_type=RequestReceipt,
        status=201,
        tag="requests",
        problem_codes=(
            *("unknown_queue", "unknown_channel", "unknown_contact", "unknown_skill", "unknown_fact", "idempotency_key_reused"),
            *("unknown_goal", "invalid_contact_state", "no_matching_queue", "too_many_requests", *_ADMISSION),
        ),
    ),
    Route(
        method="GET",
        path="/v1/requests/{request_id}",
        operation=get_request,
        response_type=RequestView,
        query_type=RequestQuery,
        tag="requests",
        problem_codes=("unknown_contact",),
    ),
    Route(
        method="POST",
        path="/v1/requests/{request_id}/choose",
        operation=choose_option,
        body_type=OptionChoice,
        response_type=RequestView,
        tag="requests",
        problem_codes=("unknown_contact", "invalid_contact_state", "option_not_available", "unknown_channel", *_ADMISSION),
    ),
    Route(
        method="POST",
        path="/v1/requests/{request_id}/cancel",
        operation=cancel_request,
        body_type=EmptyBody,
        response_type=RequestView,
        tag="requests",
        problem_codes=("unknown_contact",),
    ),
    Route(
        method="POST",
        path="/v1/requests/{request_id}/channel",
        operation=switch_request_channel,
        body_type=RequestChannel,
        response_type=RequestView,
        tag="requests",
        problem_codes=("unknown_contact", "invalid_contact_state", "unknown_channel", "channel_not_possible"),
    ),
    Route(
        method="POST",
        path="/v1/requests/{request_id}/suspend",
        operation=suspend_request,
        body_type=EmptyBody,
        response_type=RequestView,
        tag="requests",
        problem_codes=("unknown_contact", "invalid_contact_state", "suspended_limit"),
    ),
    Route(
        method="POST",
        path="/v1/requests/{request_id}/resume",
        operation=resume_request,
        body_type=RequestResumption,
        response_type=RequestView,
        tag="requests",
        problem_codes=("unknown_contact", "invalid_contact_state", "unknown_channel", "resume_expired", *_ADMISSION),
    ),
    Route(
        method="POST",
        path="/v1/contacts/{contact_id}/link",
        operation=issue_link,
        body_type=EmptyBody,
        response_type=LinkReceipt,
        status=201,
        tag="contacts",
        problem_codes=("unknown_contact", "invalid_contact_state", "channel_not_possible"),
    ),
    Route(
        method="POST",
        path="/v1/requests/{request_id}/token",
        operation=issue_customer_token,
        body_type=EmptyBody,
        response_type=TokenReceipt,
        status=201,
        tag="requests",
        problem_codes=("unknown_contact", "invalid_contact_state"),
    ),
)
