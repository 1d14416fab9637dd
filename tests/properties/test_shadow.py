"""The shadow under the live policy finds nothing, over long random walks; under another one, what is different in it."""

from hashlib import blake2b

import msgspec
import pytest

from router.core import snapshot
from router.core.shadow import Shadow
from router.model import commands as c
from router.model import events as e
from router.model.policy import Policy
from router.model.refusals import Refused
from tests.core.world import World
from tests.properties.workload import Workload


class Watched:
    """A centre with a shadow beside it that hears every record and every refused submit."""

    def __init__(self, seed: int) -> None:
        self.world = World()
        self.workload = Workload(seed)
        self._heard = 0
        while self.world.engine.policy is None:
            for command in self.workload.opening():
                self.world.do(command)
        self.begin(self.policy)

    @property
    def policy(self) -> Policy:
        policy = self.world.engine.policy
        assert policy is not None
        return policy

    def begin(self, policy: Policy) -> None:
        self.shadow = Shadow.from_snapshot(self.world.engine.snapshot(), policy)
        self.shadow.look()
        self._heard = len(self.world.records)

    def step(self) -> list[e.Event]:
        """One step of the walk; its events."""
        self.workload.pause(self.world)
        self.hear()
        command = self.workload.next(self.world)
        outcome = self.world.do(command)
        events = [event for _, _, events in self.world.records[self._heard :] for event in events]
        self.hear()
        answer = outcome.answer
        if isinstance(command, c.EnqueueContact) and isinstance(answer, Refused):
            self.shadow.refused(command, answer.code, self.world.at_ms)
        return events

    def hear(self) -> None:
        for first_seq, at_ms, events in self.world.records[self._heard :]:
            self.shadow.follow(events, first_seq, at_ms)
        self._heard = len(self.world.records)

    def digest(self) -> str:
        return blake2b(snapshot.dump(self.shadow.state), digest_size=16).hexdigest()


@pytest.mark.parametrize("seed", range(6))
def test_a_shadow_of_the_same_policy_is_the_live_state_and_finds_nothing(seed: int) -> None:
    watched = Watched(seed)
    offers = submits = 0
    for _ in range(1_500):
        events = watched.step()
        report = watched.shadow.report()
        if any(isinstance(event, e.PolicyPublished) for event in events):
            offers, submits = offers + report.offers, submits + report.submits
            watched.begin(watched.policy)
            continue
        assert report.differences == {}, report.examples
        assert report.overdue == report.not_judged == 0
        assert report.same == report.offers
        assert watched.digest() == watched.world.engine.digest()
    report = watched.shadow.report()
    assert offers + report.offers > 300 and submits + report.submits > 200
