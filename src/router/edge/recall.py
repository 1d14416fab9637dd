"""What has happened of late, by whom it is for: so that a thousand clients who come back at once do not each go through all
of it.

Made when somebody resumes who was away for longer, and only as far back as he asks; from there on each event is looked at
once, however many resume. The records themselves are the publisher's: what it has forgotten nobody gets from here either.
"""

from bisect import bisect_right
from operator import itemgetter
from typing import Final, TypeAlias

from router.edge.audience import agents_of, gateway_of, is_for
from router.journal.port import Record
from router.model.events import Event
from router.runtime.publisher import Publisher

Past: TypeAlias = tuple[int, int, Event]
"""An event with its number and its time."""

# Below that many events old ones are not worth sweeping out.
_SWEEP_MIN: Final = 4_096
# So few are gone through faster than anything is looked up.
_SHORT: Final = 64
_seq_of: Final = itemgetter(0)


class Recall:
    """The past of one workspace and generation."""

    def __init__(self, publisher: Publisher, workspace: str, gen: str) -> None:
        self.gen = gen
        self._publisher = publisher
        self._workspace = workspace
        # What is indexed: the events after the first number, up to the second.
        self._after = self._until = 0
        self._agents: dict[str, list[Past]] = {}
        self._gateways: dict[str, list[Past]] = {}

    def since(self, after_seq: int, *, role: str, subject: str) -> list[Past] | None:
        """What this client may hear of after an event, oldest first; none: too long ago to tell."""
        if not self._publisher.reaches(self._workspace, self.gen, after_seq):
            return None
        is_short = self._publisher.last_seq(self._workspace) - after_seq <= _SHORT
        if is_short or role not in ("agent", "gateway"):
            return [
                past
                for past in _each(self._records(after_seq))
                if past[0] > after_seq and is_for(past[2], role=role, subject=subject)
            ]
        self._look_up(after_seq)
        found = (self._agents if role == "agent" else self._gateways).get(subject, [])
        return found[bisect_right(found, after_seq, key=_seq_of) :]

    def _look_up(self, after_seq: int) -> None:
        """Have everything after that event indexed."""
        publisher, newest = self._publisher, self._publisher.last_seq(self._workspace)
        kept = newest - publisher.forgotten_seq(self._workspace)
        is_gap = not publisher.reaches(self._workspace, self.gen, self._until)
        if is_gap or newest - self._after > _SWEEP_MIN + 2 * kept:
            self._agents, self._gateways = {}, {}
            self._after = self._until = after_seq
        if after_seq < self._after:
            agents, gateways = self._agents, self._gateways
            self._agents, self._gateways = {}, {}
            self._add(after_seq, self._after)
            for older, newer in ((self._agents, agents), (self._gateways, gateways)):
                for name, past in newer.items():
                    older.setdefault(name, []).extend(past)
            self._after = after_seq
        self._add(self._until, newest)
        self._until = newest

    def _add(self, after_seq: int, until_seq: int) -> None:
        if after_seq >= until_seq:
            return
        for past in _each(self._records(after_seq)):
            if after_seq < past[0] <= until_seq:
                for agent_id in agents_of(past[2]):
                    self._agents.setdefault(agent_id, []).append(past)
                gateway_id = gateway_of(past[2])
                if gateway_id is not None:
                    self._gateways.setdefault(gateway_id, []).append(past)

    def _records(self, after_seq: int) -> list[Record]:
        records = self._publisher.since(self._workspace, self.gen, after_seq)
        assert records is not None, "it reaches so far"
        return records


def _each(records: list[Record]) -> list[Past]:
    return [
        (seq, record.at_ms, event)
        for record in records
        for seq, event in enumerate(record.events, record.first_seq)
    ]
