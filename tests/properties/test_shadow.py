"""Random walks of the shadow: without differences under the active policy, and with exactly the expected ones under another."""

import random
from typing import Final

import pytest
from msgspec.structs import replace

from router.engine.engine import Engine, digest_of
from router.engine.shadow import Shadow
from router.engine.snapshots.full import decisive_part
from router.model import commands as c
from router.model import events as e
from router.model.policy import AttributeOrder, ChannelPolicy, Direction, FactPolicy, FactType, Policy, QueuePolicy, Selection
from router.model.results import Refused
from router.model.states import AgentState
from tests.properties.workload import Workload
from tests.support.builders import START_MS
from tests.support.reference.matcher import ReferenceModel
from tests.support.world import World

# It is 23:00 in this zone when a walk starts.
ZONE: Final = "Pacific/Kiritimati"
MIDNIGHT_MS: Final = START_MS + 3_600_000
DAY_MS: Final = 86_400_000


class ShadowedWorld:
    """A checked engine with a shadow that receives every record and every refused submit."""

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
        self.shadow.compare_current_state()
        self._heard = len(self.world.records)

    def step(self) -> list[e.Event]:
        """Execute one step of the walk; return its events."""
        self.workload.pause(self.world)
        self.feed_shadow()
        command = self.workload.next(self.world)
        outcome = self.world.do(command)
        events = [event for _, _, events in self.world.records[self._heard :] for event in events]
        self.feed_shadow()
        answer = outcome.result
        if isinstance(command, c.EnqueueContact) and isinstance(answer, Refused):
            self.shadow.judge_refusal(command, answer.code, self.world.at_ms)
        return events

    def feed_shadow(self) -> None:
        for first_seq, at_ms, events in self.world.records[self._heard :]:
            self.shadow.apply_record(events, first_seq, at_ms)
        self._heard = len(self.world.records)

    def digest(self) -> str:
        return digest_of((decisive_part(self.shadow.state),))

    def live_digest(self) -> str:
        """Return the digest of the live state without supervisors in conversations, in which a shadow takes no part."""
        engine = self.world.engine
        if not engine._state.index.monitors.monitored():
            return engine.digest()
        state = Engine.restore(engine.snapshot())._state
        state.index.monitors.clear(state.contacts)
        return digest_of((decisive_part(state),))


# The last ones have found differences: in an order of checks (16, 33), and in steps that end because of the customer (20);
# 37 makes many offers.
@pytest.mark.parametrize("seeds", [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11), (16, 20, 33, 37)])
def test_a_shadow_of_the_same_policy_equals_the_live_state_and_finds_nothing(seeds: tuple[int, ...]) -> None:
    offers = submits = 0
    for one in seeds:
        watched = ShadowedWorld(one)
        for _ in range(400):
            events = watched.step()
            report = watched.shadow.report()
            if any(isinstance(event, e.PolicyPublished) for event in events):
                offers, submits = offers + report.offers, submits + report.submits
                watched.begin(watched.policy)
                continue
            assert report.differences == {}, report.examples
            assert report.overdue == report.not_judged == 0
            assert report.same == report.offers
            assert watched.digest() == watched.live_digest()
        report = watched.shadow.report()
        offers, submits = offers + report.offers, submits + report.submits
    assert submits > 150 and offers > 15, "the walks have to draw what can differ"


@pytest.mark.parametrize("seed", range(6))
def test_a_shadow_of_any_policy_follows_all_events_and_compares_each_offer_once(seed: int) -> None:
    watched = ShadowedWorld(seed)
    watched.begin(Workload(seed + 1_000).policy())
    for _ in range(300):
        watched.step()
    report = watched.shadow.report()
    kinds = ("other_agent", "other_contact", "not_eligible")
    differ = sum(report.differences.get(kind, 0) for kind in kinds)
    assert report.offers == report.same + differ + report.overdue + report.not_judged
    # The state that it would start with after a restart obeys the invariants as well.
    again = Shadow.from_snapshot(watched.world.engine.snapshot(), watched.shadow.policy)
    again.compare_current_state()
    assert again.state.seq == watched.shadow.state.seq


def _walk(seed: int, steps: int, other: Selection) -> tuple[Shadow, int, int]:
    """Run submits, answers and ends under one selection beside another; return the shadow and the expected counts."""
    support = QueuePolicy(
        selection=Selection.LONGEST_IDLE,
        requires={"english": 1},
        weight_fact="years",
        order_by=(AttributeOrder(fact="years", direction=Direction.DESC), AttributeOrder(fact="grade")),
    )
    live = Policy(
        channels={"chat": ChannelPolicy(units=30, per_agent_max=3, offer_timeout_s=300)},
        queues={"support": support},
        skills=("english", "german"),
        facts={
            "years": FactPolicy(type=FactType.INT, applies_to="agent"),
            "grade": FactPolicy(type=FactType.ENUM, values=("junior", "senior"), applies_to="agent"),
        },
        zone=ZONE,
    )
    theirs = replace(live, queues={"support": replace(support, selection=other)})
    draw, world, reference, shadow = (random.Random(seed), World(live), ReferenceModel(), Shadow(theirs))
    for number in range(5):
        skills = {"english": draw.randint(1, 5)} | ({"german": 2} if number % 2 else {})
        facts = {"years": draw.randint(1, 3), "grade": draw.choice(("junior", "senior"))}
        name, most = f"a{number}", {"chat": 1 + number % 3}
        world.do(c.PutAgent(agent_id=name, skills=skills, attributes=facts, channel_max=most))
        world.do(c.SetAgentState(agent_id=name, state=AgentState.READY))
    # About half of the walk is before midnight.
    world.jump((MIDNIGHT_MS - world.at_ms) / 1000 - steps // 4)
    heard = expected = offers = 0
    midnights = [START_MS, MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS]
    for number in range(steps):
        world.jump(draw.choice((0.0, 1.0)))
        pending, busy = world.reference.pending_offers(), world.reference.open_assignments()
        way = draw.random()
        if way < 0.33 or not (pending or busy):
            world.do(c.EnqueueContact(contact_id=f"c{number}", channel="chat", queue_id="support"))
        elif pending and (way < 0.66 or not busy):
            offer = draw.choice(pending)
            world.do(c.AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id))
        else:
            work = draw.choice(busy)
            world.do(c.EndContact(contact_id=work.contact_id, agent_id=work.agent_id))
        for first_seq, at_ms, events in world.records[heard:]:
            shadow.apply_record(events, first_seq, at_ms)
            for event in events:
                if isinstance(event, e.PolicyPublished):
                    event = replace(event, policy=theirs)
                elif reference.counts_days() and at_ms >= midnights[0]:
                    # The active policy counts no days, so the history has no event for their start.
                    del midnights[0]
                    day = f"number {len(midnights)} before the last"
                    reference.apply(e.DayStarted(day=day, until_ms=midnights[0]), at_ms)
                    reference.seq -= 1
                if isinstance(event, e.OfferMade):
                    offers += 1
                    if not any(isinstance(one, e.AssignmentCompleted) for one in events):
                        # No agent became free, so the contact was the trigger.
                        choice = reference.selected_agent(reference.live_contact(event.contact_id), at_ms)
                        expected += choice is not reference.agents[event.agent_id]
                reference.apply(event, at_ms)
        heard = len(world.records)
    return shadow, expected, offers


@pytest.mark.parametrize("other", [one for one in Selection if one is not Selection.LONGEST_IDLE])
def test_a_shadow_with_another_selection_finds_exactly_the_different_choices(other: Selection) -> None:
    total = 0
    for seed in range(3):
        shadow, expected, offers = _walk(seed, 150, other)
        report = shadow.report()
        assert report.differences == ({"other_agent": expected} if expected else {})
        assert (report.offers, report.same) == (offers, offers - expected)
        total += expected
    assert total > 10, "the walks have to draw the difference"
