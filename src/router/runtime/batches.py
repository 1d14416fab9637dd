"""Execution of one batch: take queued items, execute them at one common time, and collect records and replies.

Nothing here is durable or published: the writer commits the records of the batch and then completes its replies.
"""

import time
from collections.abc import Mapping
from typing import Any, Final, get_args

from msgspec import Struct

from router.journal.crash_points import crash_point
from router.journal.port import Record
from router.model.commands import AdvanceTime, Command, EnqueueContact
from router.model.ids import WorkspaceId
from router.model.outcome import Outcome
from router.model.refusals import RefusalCode, Refused
from router.runtime.deadlines import Deadlines
from router.runtime.inbox import Inbox
from router.runtime.lane import Answered, Asked, Lane, Question, Reply, Waiting

ROUTER: Final = "router"
"""Actor of commands that the router issues itself: timers, and desktops lost at a restart."""

_ADVANCE: Final = AdvanceTime()
_TAGS: Final[dict[type, str]] = {
    kind: str(kind.__struct_config__.tag) for kind in get_args(Command)
}
# AdvanceTime commands of one workspace in one batch; each fires at most 64 timers.
_ADVANCES_MAX: Final = 4

_before_decide = crash_point("before_decide")
_after_decide = crash_point("after_decide")


class Turn(Struct):
    """The result of one batch, not yet durable."""

    at_ms: int
    gathers_refused: bool = False
    """Whether refused submits are collected."""
    records: list[tuple[WorkspaceId, Record]] = []
    answers: list[tuple[Waiting[Any], Any]] = []
    refused: list[tuple[int, WorkspaceId, EnqueueContact, RefusalCode]] = []
    """Refused submits, each with the number of records of the batch before it."""
    taken: list[Waiting[Any]] = []
    """Reply targets of all items taken from the queue, which must be completed or failed in any case."""


class Batches:
    """Execute due timers and queued items."""

    def __init__(
        self,
        lanes: Mapping[WorkspaceId, Lane],
        deadlines: Deadlines,
        inbox: Inbox[Asked | Question],
        *,
        count_max: int,
        ms_max: int,
    ) -> None:
        """``count_max`` limits the commands, queries and due workspaces of a batch, ``ms_max`` its execution time."""
        self._lanes = lanes
        self._deadlines = deadlines
        self._inbox = inbox
        self._count_max = count_max
        self._ms_max = ms_max

    def decide(self, turn: Turn) -> None:
        """Execute one batch at ``batch.at_ms``: first the workspaces with due timers, then queued items round-robin."""
        if _before_decide is not None and len(self._inbox):
            _before_decide()
        started_s = time.perf_counter()
        # Timers get at most half of a batch, so that neither timers nor commands starve the other.
        due = self._deadlines.pop_due(turn.at_ms, max(1, self._count_max // 2))
        touched = dict.fromkeys(due)
        # If more timers are due than fit into this batch, commands wait for the next one: the first command would fire all of them.
        is_late = False
        for workspace in due:
            is_late |= self._advance(turn, self._lanes[workspace])
        for count in range(0 if is_late else self._count_max - len(due)):
            popped = self._inbox.pop()
            if popped is None:
                break
            workspace, item = popped
            if item.reply is not None:
                turn.taken.append(item.reply)
            if isinstance(item, Asked):
                touched[workspace] = None
                _carry_out(turn, self._lanes[workspace], item)
            else:
                _put_question(turn, self._lanes[workspace], item)
            if count % 8 == 7 and self._overran(started_s):
                break
        for workspace in touched:
            self._deadlines.set(workspace, self._lanes[workspace].engine.next_deadline_ms())
        if _after_decide is not None and turn.records:
            _after_decide()

    def _advance(self, turn: Turn, lane: Lane) -> bool:
        """Fire due timers and return whether more are due."""
        for _ in range(_ADVANCES_MAX):
            seq = lane.engine.seq
            _carry_out(turn, lane, Asked(_ADVANCE, ROUTER, None))
            next_ms = lane.engine.next_deadline_ms()
            if next_ms is None or next_ms > turn.at_ms or lane.engine.seq == seq:
                return False
        return True

    def _overran(self, started_s: float) -> bool:
        return (time.perf_counter() - started_s) * 1000 > self._ms_max


def _carry_out(turn: Turn, lane: Lane, asked: Asked) -> None:
    outcome = lane.engine.handle(asked.command, turn.at_ms)
    if outcome.events:
        turn.records.append((lane.workspace, _record_of(lane, asked, outcome)))
    answer, command = outcome.answer, asked.command
    if type(answer) is Refused and type(command) is EnqueueContact and turn.gathers_refused:
        turn.refused.append((len(turn.records), lane.workspace, command, answer.code))
    if asked.reply is not None:
        turn.answers.append((asked.reply, Reply(outcome, lane.epoch, lane.gen)))


def _put_question(turn: Turn, lane: Lane, asked: Question) -> None:
    if asked.reply.done():
        return
    engine = lane.engine
    try:
        value = asked.question(engine)
    except AssertionError:
        raise
    except Exception as error:
        # A query changes nothing, so its error concerns only its caller.
        asked.reply.set_exception(error)
        return
    answered = Answered(value, engine.seq, turn.at_ms, lane.epoch, lane.gen)
    turn.answers.append((asked.reply, answered))


def _record_of(lane: Lane, asked: Asked, outcome: Outcome) -> Record:
    return Record(
        epoch=lane.epoch,
        first_seq=outcome.first_seq,
        at_ms=outcome.at_ms,
        actor=asked.actor,
        cause=_TAGS[type(asked.command)],
        # Records are retained for clients that resume; unlike a list, a tuple of untracked structs is not scanned by the collector.
        events=tuple(outcome.events),
    )
