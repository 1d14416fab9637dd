"""An engine with a virtual time, for wait estimates."""

from router.engine.engine import Engine
from router.engine.queries.slices import run_to_end
from router.model import commands as c
from router.model.forecasts import ExpectedWait, ForecastCounts
from router.model.policy import Policy
from router.model.results import Done
from tests.support.builders import START_MS, a_contact, a_policy, an_agent, published, ready


class EngineAtTime:
    """An engine with a virtual time."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.engine = Engine()
        self.at_ms = START_MS
        self.do(published(policy or a_policy()))

    def do(self, *commands: c.Command, after_s: float = 0.0) -> None:
        """Execute the commands after that time has passed; due timers fire in order."""
        until_ms = self.at_ms + round(1000 * after_s)
        while (due_ms := self.engine.next_deadline_ms()) is not None and due_ms <= until_ms:
            self.engine.handle(c.AdvanceTime(), due_ms)
        self.at_ms = until_ms
        for command in commands:
            answer = self.engine.handle(command, self.at_ms).result
            assert isinstance(answer, Done), (command, answer)

    def busy(self, *agent_ids: str, queue_id: str = "support", **record: object) -> None:
        """Make agents busy with one conversation each, accepted at once, so that only rings and waits of zero are learned."""
        for agent_id in agent_ids:
            self.do(an_agent(agent_id, **record), ready(agent_id))
            self.do(a_contact(f"of-{agent_id}", queue_id=queue_id))
            self.do(c.AcceptOffer(offer_id=f"of-{agent_id}.1", agent_id=agent_id))

    def waiting(self, *contact_ids: str, **fields: object) -> None:
        for contact_id in contact_ids:
            self.do(a_contact(contact_id, **fields))

    def expected(self, contact_id: str) -> ExpectedWait:
        view = self.engine.contact(contact_id)
        assert view is not None and view.expected_wait is not None
        return view.expected_wait

    def expected_of_new(self, queue_id: str = "support", **asked: object) -> ExpectedWait:
        found = self.engine.expected_wait(queue_id, **asked)  # type: ignore[arg-type]
        assert isinstance(found, ExpectedWait), found
        return found

    def counts(self, queue_id: str = "support") -> ForecastCounts:
        return run_to_end(self.engine.queue_waits(self.engine.at_ms))[queue_id].forecasts


def handled(timed: EngineAtTime, contact_id: str, took_s: float, rang_s: float = 0.0) -> None:
    """Take one contact from its submit to the end of its work, with the only agent."""
    timed.do(a_contact(contact_id))
    timed.do(c.AcceptOffer(offer_id=f"{contact_id}.1", agent_id="ada"), after_s=rang_s)
    timed.do(c.EndContact(contact_id=contact_id), after_s=took_s)
