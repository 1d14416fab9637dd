"""The history over HTTP: every event, the workspace in figures, the hash over its state. For checkers and supervisors."""

import asyncio
from typing import Final

import msgspec

from router.core.engine import digest_of
from router.edge.audience import as_sent
from router.edge.call import Answer, Call
from router.edge.documents import (
    DigestDocument,
    EventEnvelope,
    StateDocument,
)
from router.edge.problems import ProblemRaised
from router.journal.port import Record

_encode: Final = msgspec.json.Encoder().encode


async def list_events(call: Call) -> Answer:
    """A page of the history, read from the journal: complete and gap-free."""
    query = call.query
    limit = min(query.limit, call.backend.settings.edge.events_page_count_max)
    place = await call.ask(lambda _engine: None)
    after_seq = _after(query.after, gen=place.gen, last_seq=place.seq)
    records = await call.backend.journal.read(call.workspace, after_seq=after_seq, limit=limit)
    lines: list[bytes] = []
    for record in records:
        lines.extend(_lines(record, place.gen, after_seq=after_seq, count_max=limit - len(lines)))
        if len(lines) == limit:
            break
    next_seq = after_seq + len(lines)
    head = _encode(
        {"gen": place.gen, "next": f"{place.gen}:{next_seq}", "more": next_seq < place.seq}
    )
    body = b"".join((head[:-1], b',"events":[', b",".join(lines), b"]}"))
    return Answer(body=body)


async def get_state(call: Call) -> Answer:
    """The workspace in figures. ``min_seq``: an answer that does not include that event is a 503."""
    answered = await call.ask(lambda engine: engine.workspace())
    if answered.seq < call.query.min_seq:
        raise ProblemRaised("not_yet", seq=answered.seq)
    return Answer(body=StateDocument(gen=answered.gen, epoch=answered.epoch, state=answered.value))


async def get_digest(call: Call) -> Answer:
    """The hash over the state."""
    place = await call.ask(lambda _engine: None)
    image = await call.image()
    digest = await asyncio.to_thread(digest_of, image.parts)
    return Answer(
        body=DigestDocument(gen=place.gen, epoch=place.epoch, seq=image.seq, digest=digest)
    )


def _after(text: str | None, *, gen: str, last_seq: int) -> int:
    """The seq in ``gen:seq``. A position that this history does not hold is never guessed at."""
    if text is None:
        return 0
    asked_gen, _, seq = text.partition(":")
    if asked_gen != gen or int(seq) > last_seq:
        raise ProblemRaised("history_reset", "begin anew without `after`", seq=last_seq)
    return int(seq)


def _lines(record: Record, gen: str, *, after_seq: int, count_max: int) -> list[bytes]:
    """The record's events after that one as JSON, each with its place in the history before its own fields."""
    lines: list[bytes] = []
    for seq, event in enumerate(record.events, start=record.first_seq):
        if seq <= after_seq:
            continue
        if len(lines) == count_max:
            break
        envelope = EventEnvelope(
            gen=gen, epoch=record.epoch, seq=seq, ts=record.at_ms, actor=record.actor
        )
        lines.append(_encode(envelope)[:-1] + b"," + _encode(as_sent(event))[1:])
    return lines
