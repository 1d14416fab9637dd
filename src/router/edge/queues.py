"""API operations on queues: status, availability, expected wait, opening and closing."""

from router.core.engine import Engine
from router.edge.call import Answer, Call
from router.edge.documents import ExpectedWaitDocument, QueueList, QueueReceipt, QueueStatus
from router.edge.problems import ProblemRaised, refused
from router.model.commands import SetQueueOpen
from router.model.refusals import Refused
from router.model.views import QueueView


async def list_queues(request: Call) -> Answer:
    """List all queues with live counts and statistics."""

    def all_queues(engine: Engine) -> list[QueueView]:
        policy = engine.policy
        names = sorted(policy.queues) if policy is not None else []
        return [view for name in names if (view := engine.queue(name)) is not None]

    answered = await request.ask(all_queues)
    queues = tuple(_status(request, view, answered.at_ms) for view in answered.value)
    return Answer(body=QueueList(queues=queues, as_of_seq=answered.seq, at_ms=answered.at_ms))


async def get_queue(request: Call) -> Answer:
    """Get a queue with live counts and statistics."""
    queue_id = request.path["queue_id"]
    answered = await request.ask(lambda engine: engine.queue(queue_id))
    if answered.value is None:
        raise ProblemRaised("unknown_queue")
    return Answer(body=_status(request, answered.value, answered.at_ms))


async def get_availability(request: Call) -> Answer:
    """Get how many agents of a queue could take a contact now. Cacheable for one second."""
    queue_id, query = request.path["queue_id"], request.query
    skills = {}
    for part in query.skills.split(",") if query.skills else ():
        name, _, level = part.partition(":")
        skills[name] = int(level or "1")
    answered = await request.ask(
        lambda engine: engine.availability(queue_id, query.channel, skills)
    )
    if isinstance(answered.value, Refused):
        raise refused(answered.value)
    return Answer(body=answered.value, headers={"Cache-Control": "private, max-age=1"})


async def open_queue(request: Call) -> Answer:
    """Open a queue regardless of its calendar."""
    return await _set_open(request, is_open=True)


async def close_queue(request: Call) -> Answer:
    """Close a queue regardless of its calendar."""
    return await _set_open(request, is_open=False)


async def follow_queue_hours(request: Call) -> Answer:
    """Let the calendar of a queue control its opening again."""
    return await _set_open(request, is_open=None)


async def _set_open(request: Call, *, is_open: bool | None) -> Answer:
    effected = await request.execute(
        SetQueueOpen(
            queue_id=request.path["queue_id"],
            is_open=is_open,
            for_s=None if is_open is None else request.body.for_s,
        )
    )
    done = effected.done
    return Answer(
        body=QueueReceipt(
            queue_id=done.subject,
            state=done.state,
            seq=done.seq,
            epoch=effected.epoch,
            gen=effected.gen,
        ),
        headers=effected.headers,
    )


async def get_expected_wait(request: Call) -> Answer:
    """Get the expected wait of a contact that would arrive now, as an interval."""
    queue_id, query = request.path["queue_id"], request.query
    skills = _skills(query.skills)
    now_ms = request.backend.writer.clock.now_ms()
    answered = await request.ask(
        lambda engine: engine.expected_wait(
            queue_id,
            channel=query.channel,
            skills=skills,
            priority_s=query.priority_s,
            strict_class=query.strict_class,
            at_ms=now_ms,
        )
    )
    if isinstance(answered.value, Refused):
        raise refused(answered.value)
    return Answer(
        body=ExpectedWaitDocument(
            queue_id=queue_id,
            expected_wait=answered.value,
            as_of_seq=answered.seq,
            at_ms=answered.at_ms,
        )
    )


def _skills(text: str) -> dict[str, int]:
    """Parse ``skill:level,skill:level``; the query type has checked the syntax."""
    pairs = [part.split(":") for part in text.split(",") if part]
    skills = {skill: int(level) for skill, level in pairs}
    if len(skills) < len(pairs):
        raise ProblemRaised("invalid_value", "a skill is listed twice", field="skills")
    return skills


def _status(request: Call, view: QueueView, at_ms: int) -> QueueStatus:
    meters = request.backend.meters.get(request.workspace)
    figures = meters.queue_figures(view.queue_id, at_ms) if meters is not None else None
    oldest_ms = view.oldest_queued_at_ms
    return QueueStatus(
        queue=view,
        longest_wait_ms=None if oldest_ms is None else max(0, at_ms - oldest_ms),
        figures=figures,
    )
