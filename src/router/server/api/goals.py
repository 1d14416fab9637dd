"""API operations on goals: what a contact is for, whether it was done, and how easy it was.

An agent reaches the contacts that they have or had last, a gateway its own, a customer the one of their token. All of it works also
after the end of the contact, as long as its goal is kept.
"""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from router.engine.commands.transaction import unknown_contact
from router.engine.engine import Engine
from router.model.commands import ReportGoal
from router.model.events import ContactGoal
from router.model.states import GoalOutcome, GoalReporter, Name
from router.protocol.frames.goals import Ease, Effort, Satisfaction
from router.server.api.bodies import ContactReceipt
from router.server.api.contacts import execute_on_contact, path_contact_id
from router.server.api.idempotency import contact_receipt, replay_headers
from router.server.api.problems import problem_from_refusal
from router.server.api.request import ApiRequest, ApiResponse
from router.server.api.requests import own_request_id
from router.server.api.route import Route


class CustomerAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the customer says. What is omitted stays; null takes it back."""

    outcome: GoalOutcome | UnsetType | None = UNSET
    """Whether the customer got done what they came for."""
    ease: Ease | UnsetType | None = UNSET
    """How easy it was: 1 (very difficult) to 7 (very easy)."""
    effort: Effort | UnsetType | None = UNSET
    """How much effort it took: 1 (very little) to 5 (very much)."""
    satisfaction: Satisfaction | UnsetType | None = UNSET
    """How satisfied the customer is: 1 (not at all) to 5 (very)."""


class GoalReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The goal of a contact, its outcome and scores. What is omitted stays; null takes it back."""

    goal: Name | UnsetType | None = UNSET
    """What the customer came for: a goal of the policy."""
    outcome: GoalOutcome | UnsetType | None = UNSET
    """Whether it was done."""
    ease: Ease | UnsetType | None = UNSET
    """How easy it was for the customer: 1 (very difficult) to 7 (very easy)."""
    effort: Effort | UnsetType | None = UNSET
    """How much effort it took the customer: 1 (very little) to 5 (very much)."""
    satisfaction: Satisfaction | UnsetType | None = UNSET
    """How satisfied the customer is: 1 (not at all) to 5 (very)."""


class GoalDocument(Struct, frozen=True, kw_only=True):
    """The goal of a contact."""

    contact_id: str
    goal: str | None
    """What the customer came for; null: not known."""
    set_by: GoalReporter | None
    """Who named it."""
    outcome: GoalOutcome
    """Whether it was done."""
    reported_by: GoalReporter | None
    """Who reported the outcome; null: it was not reported."""
    reported_at_ms: int | None
    """When it was reported last, epoch milliseconds."""
    ease: int | None
    """How easy it was: 1 (very difficult) to 7 (very easy)."""
    effort: int | None
    """How much effort it took: 1 (very little) to 5 (very much)."""
    satisfaction: int | None
    """How satisfied the customer is: 1 (not at all) to 5 (very)."""
    scored_by: GoalReporter | None
    """Who gave the scores; the customer or the gateway, as long as one of them is theirs."""
    repeats: str | None
    """Earlier contact of the same customer that this one repeats; null: none."""
    repeated_by: str | None
    """Later contact by which the customer came again; null: none."""
    counted_at_ms: int | None
    """When it counted in the statistics, epoch milliseconds; null: the contact is not over."""


_SHOWN: Final = tuple(name for name in GoalDocument.__struct_fields__ if name != "contact_id")


def goal_document(contact_id: str, goal: ContactGoal) -> GoalDocument:
    """Return the document of a goal."""
    return GoalDocument(contact_id=contact_id, **{name: getattr(goal, name) for name in _SHOWN})


async def get_goal(request: ApiRequest) -> ApiResponse:
    """Get the goal of a contact, its outcome, its scores and its repeats."""
    contact_id, agent_id, gateway_id = path_contact_id(request), request.agent_id, request.gateway_id

    def query(engine: Engine) -> ContactGoal | None:
        return engine.goal(contact_id, agent_id=agent_id, gateway_id=gateway_id)

    goal = (await request.query_engine(query)).value
    if goal is None:
        raise problem_from_refusal(unknown_contact())
    return ApiResponse(body=goal_document(contact_id, goal))


async def report_goal(request: ApiRequest) -> ApiResponse:
    """Name the goal of a contact, report or correct its outcome, or give its scores; also after the contact."""
    body: GoalReport = request.body
    command = ReportGoal(
        contact_id=path_contact_id(request),
        goal=body.goal,
        outcome=body.outcome,
        ease=body.ease,
        effort=body.effort,
        satisfaction=body.satisfaction,
        gateway_id=request.gateway_id,
        agent_id=request.agent_id,
    )
    return await execute_on_contact(request, command)


async def answer_request(request: ApiRequest) -> ApiResponse:
    """Answer as the customer, or pass on their answer, whether it was done and how easy it was; once, or again to correct it."""
    body: CustomerAnswer = request.body
    command = ReportGoal(
        contact_id=own_request_id(request),
        outcome=body.outcome,
        ease=body.ease,
        effort=body.effort,
        satisfaction=body.satisfaction,
        gateway_id=request.gateway_id,
        is_customer=True,
    )
    effected = await request.execute(command)
    return ApiResponse(body=contact_receipt(effected), headers=replay_headers(effected))


GOAL_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}/goal",
        operation=get_goal,
        response_type=GoalDocument,
        tag="contacts",
        problem_codes=("unknown_contact",),
    ),
    Route(
        method="POST",
        path="/v1/contacts/{contact_id}/goal",
        operation=report_goal,
        body_type=GoalReport,
        response_type=ContactReceipt,
        tag="contacts",
        problem_codes=("unknown_contact", "unknown_goal", "customer_has_answered"),
    ),
    Route(
        method="POST",
        path="/v1/requests/{request_id}/answer",
        operation=answer_request,
        body_type=CustomerAnswer,
        response_type=ContactReceipt,
        tag="requests",
        problem_codes=("unknown_contact",),
    ),
)
