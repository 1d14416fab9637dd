"""An engine with a shadow policy that applies the same records."""

from router.engine.shadow import Shadow
from router.model import commands as c
from router.model.policy import Policy
from router.model.results import Refused
from router.model.shadow import Difference, DifferenceKind
from tests.support.builders import an_agent, ready
from tests.support.world import World

K = DifferenceKind


class ShadowedEngine:
    """A world with a shadow beside it, from its first event on."""

    def __init__(self, live: Policy, shadow: Policy, *commands: c.Command) -> None:
        self.world = World(live)
        self.shadow = Shadow(shadow)
        self._applied_count = 0
        self.do(*commands)

    def do(self, *commands: c.Command) -> list[Difference]:
        """Execute the commands and return the differences."""
        found: list[Difference] = []
        for command in commands:
            answer = self.world.do(command).result
            found += self._compare()
            if isinstance(answer, Refused) and isinstance(command, c.EnqueueContact):
                found += self.shadow.judge_refusal(command, answer.code, self.world.at_ms)
        return found

    def later(self, seconds: float) -> list[Difference]:
        """Advance the time and return the differences."""
        self.world.later(seconds)
        return self._compare()

    def _compare(self) -> list[Difference]:
        found: list[Difference] = []
        for first_seq, at_ms, events in self.world.records[self._applied_count :]:
            found += self.shadow.apply_record(events, first_seq, at_ms)
        self._applied_count = len(self.world.records)
        return found

    @property
    def counts(self) -> dict[str, int]:
        return self.shadow.report().differences


def two_ready(**skills: dict[str, int]) -> list[c.Command]:
    commands: list[c.Command] = []
    for name in ("ada", "bob"):
        commands += [an_agent(name, skills=skills.get(name, {})), ready(name)]
    return commands


def accepted(contact_id: str, agent_id: str, number: int = 1) -> c.Command:
    return c.AcceptOffer(offer_id=f"{contact_id}.{number}", agent_id=agent_id)


def after(shadowed: ShadowedEngine, seconds: float) -> list[Difference]:
    """Advance the time; a record then shows it to the shadow."""
    found = shadowed.later(seconds)
    return found + shadowed.do(an_agent("eve"))
