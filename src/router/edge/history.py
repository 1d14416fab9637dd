"""API operations on the history: the event log, the workspace totals and the state digest."""

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


async def list_events(request: Call) -> Answer:
    """List events of the history in order and without gaps, one page at a time."""
    query = request.query
    limit = min(query.limit, request.backend.settings.edge.events_page_count_max)
    position = await request.ask(lambda _engine: None)
    after_seq = _start_seq(query.after, gen=position.gen, last_seq=position.seq)
    records = await request.backend.journal.read(
        request.workspace, after_seq=after_seq, limit=limit
    )
    encoded: list[bytes] = []
    for record in records:
        encoded.extend(
            _encoded_events(
                record, position.gen, after_seq=after_seq, count_max=limit - len(encoded)
            )
        )
        if len(encoded) == limit:
            break
    next_seq = after_seq + len(encoded)
    head = _encode(
        {"gen": position.gen, "next": f"{position.gen}:{next_seq}", "more": next_seq < position.seq}
    )
    body = b"".join((head[:-1], b',"events":[', b",".join(encoded), b"]}"))
    return Answer(body=body)


async def get_state(request: Call) -> Answer:
    """Get the totals of the workspace. A state older than ``min_seq`` is answered with 503."""
    answered = await request.ask(lambda engine: engine.workspace())
    if answered.seq < request.query.min_seq:
        raise ProblemRaised("not_yet", seq=answered.seq)
    return Answer(body=StateDocument(gen=answered.gen, epoch=answered.epoch, state=answered.value))


async def get_digest(request: Call) -> Answer:
    """Get the hash of the state."""
    position = await request.ask(lambda _engine: None)
    image = await request.image()
    digest = await asyncio.to_thread(digest_of, image.parts)
    return Answer(
        body=DigestDocument(gen=position.gen, epoch=position.epoch, seq=image.seq, digest=digest)
    )


def _start_seq(text: str | None, *, gen: str, last_seq: int) -> int:
    """Return the sequence number in ``gen:seq``. Raises ProblemRaised if this history does not contain the position."""
    if text is None:
        return 0
    requested_gen, _, seq = text.partition(":")
    if requested_gen != gen or int(seq) > last_seq:
        raise ProblemRaised(
            "history_reset",
            "position not in this history; start again without `after`",
            seq=last_seq,
        )
    return int(seq)


def _encoded_events(record: Record, gen: str, *, after_seq: int, count_max: int) -> list[bytes]:
    """Encode the events of a record after ``after_seq`` as JSON objects: envelope fields first, then the event's."""
    encoded: list[bytes] = []
    for seq, event in enumerate(record.events, start=record.first_seq):
        if seq <= after_seq:
            continue
        if len(encoded) == count_max:
            break
        envelope = EventEnvelope(
            gen=gen, epoch=record.epoch, seq=seq, ts=record.at_ms, actor=record.actor
        )
        encoded.append(_encode(envelope)[:-1] + b"," + _encode(as_sent(event))[1:])
    return encoded
