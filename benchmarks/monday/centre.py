"""A centre of 60 queues and 800 agents, and the customers who call it on a Monday.

Twelve teams serve five queues each. An agent has the skills of three to five queues of the team, and six in ten are trained for the
first level, which no queue requires on a normal day. Teams are busy for 78 to 90 % of the time at the peak. All draws depend on one
seed, and each queue has generators of its own: what is done about a failure changes no customer.
"""

from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from msgspec import Struct

from router.simulator.distributions import Exponential, Lognormal, random_generator, to_ms

MONDAY_MS: Final = int(datetime(2026, 6, 8, tzinfo=UTC).timestamp()) * 1000
HOUR_MS: Final = 3_600_000
TEAMS: Final = {
    "cards": 110,
    "loans": 100,
    "insurance": 90,
    "savings": 80,
    "mortgages": 75,
    "online": 70,
    "payments": 65,
    "claims": 60,
    "business": 50,
    "fraud": 40,
    "broking": 35,
    "abroad": 25,
}
# Topics of the queues of a team, and the share of its work.
TOPICS: Final = {"question": 0.35, "problem": 0.25, "change": 0.2, "order": 0.12, "complaint": 0.08}
SERVICE_LEVELS: Final = {
    "question": (0.8, 20),
    "problem": (0.8, 20),
    "change": (0.8, 30),
    "order": (0.9, 30),
    "complaint": (0.7, 60),
}
FAILING: Final = "payments_problem"
FAILING_TEAM: Final = "payments"
WRAP_UP_S: Final = 30
FIRST_LEVEL: Final = "first_level"
# Calls in each hour of the day, as a share of those at ten.
PROFILE: Final = {7: 0.3, 8: 0.55, 9: 0.95, 10: 1.0, 11: 0.95, 12: 0.8, 13: 0.8, 14: 0.9, 15: 0.85, 16: 0.7, 17: 0.5}


class Call(Struct, frozen=True):
    """A customer who calls: when, for what, how long the conversation takes, and how long they wait for it."""

    at_ms: int
    queue_id: str
    handle_ms: int
    patience_ms: int


class Failure(Struct, frozen=True):
    """Half of the agents of a team are away, and a queue gets a multiple of its calls."""

    from_ms: int
    to_ms: int
    queue_id: str
    away: tuple[str, ...]
    factor: float


class CentreAgent(Struct, frozen=True):
    """An agent with a team and skills."""

    agent_id: str
    team: str
    skills: dict[str, int]


class LoadedQueue(Struct, frozen=True):
    """A queue with its calls an hour at ten and the mean handle time."""

    queue_id: str
    per_hour: float
    handle_s: float


class Centre(Struct, frozen=True):
    """Queues, agents and the seed of all draws."""

    queues: tuple[LoadedQueue, ...]
    agents: tuple[CentreAgent, ...]
    seed: int

    def policy(self) -> dict[str, Any]:
        """Return the policy document: what the centre works by on a normal day."""
        queues: dict[str, Any] = {}
        for queue in self.queues:
            target, threshold_s = SERVICE_LEVELS[queue.queue_id.partition("_")[2]]
            queues[queue.queue_id] = {
                "requires": {queue.queue_id: 3},
                "service_level": {"target": target, "threshold_s": threshold_s},
                "expected_handle_s": round(queue.handle_s) + WRAP_UP_S,
            }
        return {
            "channels": {"voice": {"auto_accept": True, "wrap_up_s": WRAP_UP_S}},
            "skills": [*(queue.queue_id for queue in self.queues), FIRST_LEVEL],
            "queues": queues,
        }

    def failure(self, from_ms: int, to_ms: int) -> Failure:
        """Return the failure: half of the agents of a team are away, and three times as many customers call for one queue."""
        away = tuple(agent.agent_id for agent in self.agents if agent.team == FAILING_TEAM)[::2]
        return Failure(from_ms, to_ms, FAILING, away, 3.0)

    def calls(self, from_ms: int, to_ms: int, failure: Failure) -> list[Call]:
        """Return the calls between two times, in order of time: Poisson arrivals, lognormal handle times, exponential patience."""
        calls: list[Call] = []
        for queue in self.queues:
            calls += self._calls(queue, queue.queue_id, queue.per_hour, from_ms, to_ms)
            if queue.queue_id == failure.queue_id:
                more = queue.per_hour * (failure.factor - 1)
                calls += self._calls(
                    queue, f"{queue.queue_id}/failure", more, max(from_ms, failure.from_ms), min(to_ms, failure.to_ms)
                )
        calls.sort(key=lambda call: (call.at_ms, call.queue_id))
        return calls

    def _calls(self, queue: LoadedQueue, name: str, per_hour: float, from_ms: int, to_ms: int) -> list[Call]:
        rng = random_generator(self.seed, 0, name)
        handle, patience = Lognormal(mean_s=queue.handle_s, cv=0.8), Exponential(mean_s=240)
        calls: list[Call] = []
        at_ms = float(from_ms)
        while (at_ms := at_ms + rng.expovariate(per_hour) * HOUR_MS) < to_ms:
            share, handle_s, patience_s = rng.random(), handle.draw(rng), patience.draw(rng)
            if share < PROFILE.get(int(at_ms - MONDAY_MS) // HOUR_MS, 0.0):
                calls.append(Call(int(at_ms), queue.queue_id, to_ms_at_least_1(handle_s), to_ms_at_least_1(patience_s)))
        return calls


def to_ms_at_least_1(seconds: float) -> int:
    """Return whole milliseconds, not zero."""
    return max(1, to_ms(seconds))


def monday_centre(seed: int = 1) -> Centre:
    """Return the centre."""
    queues: list[LoadedQueue] = []
    agents: list[CentreAgent] = []
    rng = random_generator(seed, 0, "centre")
    for team, size in TEAMS.items():
        occupancy = 0.74 + 0.16 * min(1.0, size / 100)
        for topic, share in TOPICS.items():
            handle_s = float(rng.randrange(240, 421, 20))
            queues.append(LoadedQueue(f"{team}_{topic}", occupancy * size * share * 3_600 / (handle_s + WRAP_UP_S), handle_s))
        agents += (CentreAgent(f"{team}-{number:03}", team, _skills(rng, team)) for number in range(1, size + 1))
    return Centre(tuple(queues), tuple(agents), seed)


def _skills(rng: Random, team: str) -> dict[str, int]:
    topics = rng.sample(list(TOPICS), k=rng.randint(3, 5))
    skills = {f"{team}_{topic}": rng.randint(3, 10) for topic in topics}
    return skills | ({FIRST_LEVEL: rng.randint(3, 10)} if rng.random() < 0.6 else {})
