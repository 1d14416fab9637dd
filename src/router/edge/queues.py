"""Queues over HTTP: what waits now, who is there, what the meters say of what was; opened and closed by supervisors."""

from router.core.engine import Engine
from router.edge.call import Answer, Call
from router.edge.documents import ExpectedWaitDocument, QueueList, QueueReceipt, QueueStatus
from router.edge.problems import ProblemRaised, refused
from router.model.commands import SetQueueOpen
from router.model.refusals import Refused
from router.model.views import QueueView


async def list_queues(call: Call) -> Answer:
    """All queues with their live figures."""

    def question(engine: Engine) -> list[QueueView]:
        policy = engine.policy
        names = sorted(policy.queues) if policy is not None else []
        return [view for name in names if (view := engine.queue(name)) is not None]

    answered = await call.ask(question)
    queues = tuple(_status(call, view, answered.at_ms) for view in answered.value)
    return Answer(body=QueueList(queues=queues, as_of_seq=answered.seq, at_ms=answered.at_ms))


async def get_queue(call: Call) -> Answer:
    """One queue with its live figures."""
    queue_id = call.path["queue_id"]
    answered = await call.ask(lambda engine: engine.queue(queue_id))
    if answered.value is None:
        raise ProblemRaised("unknown_queue")
    return Answer(body=_status(call, answered.value, answered.at_ms))


async def get_availability(call: Call) -> Answer:
    """What a contact would find in a queue now. Names no agent; may be kept for a second."""
    queue_id, query = call.path["queue_id"], call.query
    skills = {}
    for part in query.skills.split(",") if query.skills else ():
        name, _, level = part.partition(":")
        skills[name] = int(level or "1")
    answered = await call.ask(lambda engine: engine.availability(queue_id, query.channel, skills))
    if isinstance(answered.value, Refused):
        raise refused(answered.value)
    return Answer(body=answered.value, headers={"Cache-Control": "private, max-age=1"})


async def open_queue(call: Call) -> Answer:
    """Open a queue, whatever its calendar says."""
    return await _turn(call, is_open=True)


async def close_queue(call: Call) -> Answer:
    """Close a queue, whatever its calendar says."""
    return await _turn(call, is_open=False)


async def follow_queue_hours(call: Call) -> Answer:
    """Leave a queue to its calendar again."""
    return await _turn(call, is_open=None)


async def _turn(call: Call, *, is_open: bool | None) -> Answer:
    effected = await call.execute(
        SetQueueOpen(
            queue_id=call.path["queue_id"],
            is_open=is_open,
            for_s=None if is_open is None else call.body.for_s,
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


async def get_expected_wait(call: Call) -> Answer:
    """How long a contact would wait that came now, as an interval; ask before submitting it."""
    queue_id, query = call.path["queue_id"], call.query
    skills = _skills(query.skills)
    now_ms = call.backend.writer.clock.now_ms()
    answered = await call.ask(
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
    """``skill:level,skill:level``; the query's type has checked the form."""
    pairs = [part.split(":") for part in text.split(",") if part]
    skills = {skill: int(level) for skill, level in pairs}
    if len(skills) < len(pairs):
        raise ProblemRaised("invalid_value", "a skill is named twice", field="skills")
    return skills


def _status(call: Call, view: QueueView, at_ms: int) -> QueueStatus:
    meters = call.backend.meters.get(call.workspace)
    figures = meters.queue_figures(view.queue_id, at_ms) if meters is not None else None
    oldest_ms = view.oldest_queued_at_ms
    return QueueStatus(
        queue=view,
        longest_wait_ms=None if oldest_ms is None else max(0, at_ms - oldest_ms),
        figures=figures,
    )
