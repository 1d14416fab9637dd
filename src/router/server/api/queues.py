"""API operations on queues: status, availability, expected wait, opening and closing."""

from typing import Final

from router.engine.commands.transaction import unknown_queue
from router.model.commands import SetQueueOpen
from router.model.results import Refused
from router.model.views import QueueView
from router.server.api.bodies import ExpectedWaitDocument, QueueList, QueueReceipt, QueueStatus
from router.server.api.idempotency import replay_headers
from router.server.api.problems import ProblemError, problem_from_refusal
from router.server.api.request import ApiRequest, ApiResponse, encode_in_turns

# Queues whose statistics are computed before other tasks run.
_QUEUES_PER_TURN: Final = 8


HIDDEN_QUEUE: Final = " "
"""Stands for a queue out of the supervisor's scope, which is answered like one that does not exist."""


def visible_queue_id(request: ApiRequest) -> str:
    """Return the queue of the path, or an id that no queue has if it is not in the scope of the supervisor."""
    queue_id = request.path_params["queue_id"]
    return queue_id if request.scope.has_queue(queue_id) else HIDDEN_QUEUE


async def list_queues(request: ApiRequest) -> ApiResponse:
    """List all queues with live counts and statistics. Each queue is as of the event ``as_of_seq`` or a little earlier."""
    now_ms = request.services.writer.clock.now_ms()
    answered = await request.query_in_slices(lambda engine: engine.queues(now_ms))
    visible = (view for view in answered.value if request.scope.has_queue(view.queue_id))
    statuses = (_status(request, view, now_ms) for view in visible)
    queues = await encode_in_turns(statuses, _QUEUES_PER_TURN)
    return ApiResponse(body=QueueList(queues=queues, as_of_seq=answered.seq, at_ms=answered.at_ms))


async def get_queue(request: ApiRequest) -> ApiResponse:
    """Get a queue with live counts and statistics."""
    queue_id = visible_queue_id(request)
    now_ms = request.services.writer.clock.now_ms()
    answered = await request.query_engine(lambda engine: (engine.queue(queue_id, now_ms), engine.queue_tag(queue_id)))
    view, tag = answered.value
    if view is None:
        raise problem_from_refusal(unknown_queue())
    return ApiResponse(body=_status(request, view, now_ms), headers={"ETag": f'"{tag}"'})


async def get_availability(request: ApiRequest) -> ApiResponse:
    """Get the availability of a queue for a new contact. May be cached for one second."""
    queue_id, query = visible_queue_id(request), request.query_params
    skills = _skills(query.skills or "")
    answered = await request.query_engine(lambda engine: engine.availability(queue_id, query.channel, skills))
    if isinstance(answered.value, Refused):
        raise problem_from_refusal(answered.value)
    return ApiResponse(body=answered.value, headers={"Cache-Control": "private, max-age=1"})


async def open_queue(request: ApiRequest) -> ApiResponse:
    """Open a queue regardless of its calendar."""
    return await _set_open(request, is_open=True)


async def close_queue(request: ApiRequest) -> ApiResponse:
    """Close a queue regardless of its calendar."""
    return await _set_open(request, is_open=False)


async def follow_queue_hours(request: ApiRequest) -> ApiResponse:
    """Let the calendar of a queue control its opening again."""
    return await _set_open(request, is_open=None)


async def _set_open(request: ApiRequest, *, is_open: bool | None) -> ApiResponse:
    effected = await request.execute(
        SetQueueOpen(
            queue_id=request.path_params["queue_id"],
            is_open=is_open,
            duration_s=None if is_open is None else request.body.duration_s,
        )
    )
    done = effected.result
    return ApiResponse(
        body=QueueReceipt(
            queue_id=done.subject,
            state=done.state,
            seq=done.seq,
            epoch=effected.epoch,
            history_id=effected.history_id,
            durability=effected.durability,
        ),
        headers=replay_headers(effected),
    )


async def get_expected_wait(request: ApiRequest) -> ApiResponse:
    """Get the expected wait of a contact that would arrive now, as an interval."""
    queue_id, query = visible_queue_id(request), request.query_params
    skills = _skills(query.skills)
    now_ms = request.services.writer.clock.now_ms()
    answered = await request.query_engine(
        lambda engine: engine.expected_wait(
            queue_id,
            channel=query.channel,
            skills=skills,
            priority_s=query.priority_s,
            priority_class=query.priority_class,
            at_ms=now_ms,
        )
    )
    if isinstance(answered.value, Refused):
        raise problem_from_refusal(answered.value)
    return ApiResponse(
        body=ExpectedWaitDocument(queue_id=queue_id, expected_wait=answered.value, as_of_seq=answered.seq, at_ms=answered.at_ms)
    )


def _skills(text: str) -> dict[str, int]:
    """Parse ``skill:level,skill``, with 1 as the default level; the query type has checked the syntax."""
    pairs = [part.partition(":") for part in text.split(",") if part]
    skills = {skill: int(level or "1") for skill, _, level in pairs}
    if len(skills) < len(pairs):
        raise ProblemError("invalid_value", "a skill is listed twice", field="skills")
    return skills


def _status(request: ApiRequest, view: QueueView, at_ms: int) -> QueueStatus:
    workspace_stats = request.services.stats.get(request.workspace)
    queue_stats = None
    if workspace_stats is not None:
        queue_stats = workspace_stats.queue_stats(view.queue_id, at_ms)
    oldest_ms = view.oldest_queued_at_ms
    return QueueStatus(queue=view, longest_wait_ms=None if oldest_ms is None else max(0, at_ms - oldest_ms), stats=queue_stats)
