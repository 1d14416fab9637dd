"""What has happened of late, by whom it is for: so that a thousand clients who come back at once do not each go through all
of it.

Made when somebody resumes who was away for longer, and only as far back as he asks; from there on each event is looked at
once, however many resume. A busy centre's past is a tenth of a second's work: it is gone through a slice at a time, with everybody
else in between (``look_back``). The records themselves are the publisher's: what it has forgotten nobody gets from here either.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from itertools import islice
from operator import itemgetter
from typing import Final, TypeAlias

from router.edge.audience import agents_of, gateway_of, is_for
from router.model.events import Event
from router.runtime.publisher import Publisher

Past: TypeAlias = tuple[int, int, Event]
"""An event with its number and its time."""

# Below that many events old ones are not worth sweeping out.
_SWEEP_MIN: Final = 4_096
# So few are gone through faster than anything is looked up.
_SHORT: Final = 64
# Events looked at in one go: half a millisecond or so.
_SLICE: Final = 128
_seq_of: Final = itemgetter(0)


class Recall:
    """The past of one workspace and generation."""

    def __init__(self, publisher: Publisher, workspace: str, gen: str) -> None:
        self.gen = gen
        self._publisher = publisher
        self._workspace = workspace
        # What is indexed: the events after the first number, up to the second.
        self._after = self._until = publisher.last_seq(workspace)
        self._agents: dict[str, deque[Past]] = {}
        self._gateways: dict[str, deque[Past]] = {}
        self._looking = asyncio.Lock()

    async def look_back(self, after_seq: int) -> None:
        """Prepare for ``since``, which then has next to nothing left to do in the same turn of the loop."""
        async with self._looking:  # Otherwise each of a crowd would look at a slice in every turn.
            # Something happens all the time: what is less than a slice is left to ``since``.
            while self._missing(after_seq) > _SLICE:
                self._look_further(after_seq)
                await asyncio.sleep(0)

    def since(self, after_seq: int, *, role: str, subject: str) -> list[Past] | None:
        """What this client may hear of after an event, oldest first; none: too long ago to tell."""
        if not self._publisher.reaches(self._workspace, self.gen, after_seq):
            return None
        if self._is_short(after_seq) or role not in ("agent", "gateway"):
            return [
                past
                for past in self._past(after_seq, self._publisher.last_seq(self._workspace))
                if is_for(past[2], role=role, subject=subject)
            ]
        while self._missing(after_seq):
            self._look_further(after_seq)
        found = (self._agents if role == "agent" else self._gateways).get(subject)
        if found is None:
            return []
        return list(islice(found, bisect_right(found, after_seq, key=_seq_of), None))

    def _is_short(self, after_seq: int) -> bool:
        return self._publisher.last_seq(self._workspace) - after_seq <= _SHORT

    def _missing(self, after_seq: int) -> int:
        """How many events after that one are not indexed yet; what is out of use is thrown away before."""
        publisher, newest = self._publisher, self._publisher.last_seq(self._workspace)
        if self._after <= after_seq and self._until == newest:
            return 0
        if not publisher.reaches(self._workspace, self.gen, after_seq):
            return 0
        forgotten = publisher.forgotten_seq(self._workspace)
        if self._until < forgotten or newest - self._after > _SWEEP_MIN + 2 * (newest - forgotten):
            self._agents, self._gateways = {}, {}
            self._after = self._until = newest
        return newest - self._until + max(0, self._after - after_seq)

    def _look_further(self, after_seq: int) -> None:
        """Index a slice of it."""
        newest = self._publisher.last_seq(self._workspace)
        until = min(self._until + _SLICE, newest)
        for of, name, past in self._by_name(self._until, until):
            of.setdefault(name, deque()).extend(past)
        # What is older, as far as the slice has room for it.
        after = max(self._after - _SLICE + (until - self._until), min(after_seq, self._after))
        for of, name, past in self._by_name(after, self._after):
            of.setdefault(name, deque()).extendleft(reversed(past))
        self._after, self._until = after, until

    def _by_name(
        self, after_seq: int, until_seq: int
    ) -> list[tuple[dict[str, deque[Past]], str, list[Past]]]:
        """The events after the one number, up to the other, by who hears of them: the index, the name, what he hears."""
        if after_seq >= until_seq:
            return []
        agents: dict[str, list[Past]] = {}
        gateways: dict[str, list[Past]] = {}
        for past in self._past(after_seq, until_seq):
            for agent_id in agents_of(past[2]):
                agents.setdefault(agent_id, []).append(past)
            gateway_id = gateway_of(past[2])
            if gateway_id is not None:
                gateways.setdefault(gateway_id, []).append(past)
        both = ((self._agents, agents), (self._gateways, gateways))
        return [(of, name, past) for of, some in both for name, past in some.items()]

    def _past(self, after_seq: int, until_seq: int) -> list[Past]:
        return [
            (seq, record.at_ms, event)
            for record in self._publisher.between(self._workspace, after_seq, until_seq)
            for seq, event in enumerate(record.events, record.first_seq)
            if after_seq < seq <= until_seq
        ]
