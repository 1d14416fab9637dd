"""Plans of the reference model: which agents qualify in each step. Written from docs/routing.md."""

from router.model.policy import Preferred, Selection, SkipIf, StepPolicy
from router.model.states import AgentState
from tests.core.facts import Facts
from tests.core.fold import RefAgent, RefContact


class Plans(Facts):
    """Effects of plans on requirement, order and selection."""

    def plan(self, contact: RefContact) -> tuple[StepPolicy, ...]:
        """Return the plan that applies to the contact."""
        assert self.policy is not None
        name = contact.plan or self.queue_of(contact).plan
        return self.policy.plans.get(name, ()) if name is not None else ()

    def steps_so_far(self, contact: RefContact) -> list[StepPolicy]:
        """Return the steps that count: the current one and the earlier ones."""
        return list(self.plan(contact)[: contact.step + 1])

    def required(self, contact: RefContact, steps: int | None = None) -> dict[str, int]:
        """Return the combined requirement of queue and contact, changed by this many steps (None: all so far)."""
        needs = dict(self.queue_of(contact).requires)
        for skill, level in contact.skills.items():
            needs[skill] = max(level, needs.get(skill, 0))
        for step in self.steps_so_far(contact)[:steps]:
            if step.skills is not None:
                needs = dict(step.skills)
            for skill in step.remove_skills:
                needs.pop(skill, None)
            for skill, level in step.levels.items():
                if needs.get(skill, 0) > level:
                    needs[skill] = level
        return needs

    def has_skills(self, agent: RefAgent, contact: RefContact) -> bool:
        """Return whether the agent has the declared skills that this step, or an earlier one kept open, requires."""
        count = len(self.steps_so_far(contact))
        if not count:
            return self._has(agent, self.required(contact))
        for number in range(count, 0, -1):
            if self._has(agent, self.required(contact, number)):
                return True
            if not self.plan(contact)[number - 1].keep_earlier:
                return False
        return False

    def _has(self, agent: RefAgent, needs: dict[str, int]) -> bool:
        assert self.policy is not None
        return all(
            skill in self.policy.skills and agent.skills.get(skill, 0) >= level
            for skill, level in needs.items()
        )

    def level_of(self, agent: RefAgent, skill: str) -> int:
        """Return the agent's level in a skill that the policy declares."""
        assert self.policy is not None
        return agent.skills.get(skill, 0) if skill in self.policy.skills else 0

    def kept_for(self, contact: RefContact) -> list[str] | None:
        """Return the agents for which the contact is reserved, most preferred first; None: any agent."""
        if contact.preferred is not None:
            return [contact.preferred]
        steps = self.steps_so_far(contact)
        if not steps or not (steps[-1].prefer or steps[-1].prefer_agents):
            return None
        names: list[str] = []
        for kind in steps[-1].prefer:
            last = [contact.last] if contact.last is not None else []
            names += contact.named if kind is Preferred.NAMED else last
        return [*names, *steps[-1].prefer_agents]

    def is_kept_for(self, contact: RefContact, agent: RefAgent) -> bool:
        """Return whether the contact is not reserved for other agents."""
        names = self.kept_for(contact)
        return names is None or agent.agent_id in names

    def raised(self, contact: RefContact) -> tuple[int, int]:
        """Return the credit and class that the contact's plan has added."""
        steps = self.steps_so_far(contact)
        return (
            sum(step.add_priority_s for step in steps),
            max((step.strict_class for step in steps), default=0),
        )

    def selection(self, contact: RefContact) -> Selection:
        """Return the selection in force: the last one that a step has set, or the queue's."""
        chosen = self.queue_of(contact).selection
        for step in self.steps_so_far(contact):
            chosen = step.selection or chosen
        return chosen

    def is_preferred_step(self, contact: RefContact) -> bool:
        """Return whether the step is reserved for agents, not the last one, and left when none of them is ready."""
        plan = self.plan(contact)
        if contact.preferred is not None or contact.step + 1 >= len(plan):
            return False
        step = plan[contact.step]
        wants = bool(step.prefer or step.prefer_agents)
        return wants and step.skip_if in (None, SkipIf.NOBODY_READY)

    def somebody_is_there(self, contact: RefContact) -> bool:
        """Return whether one of the preferred agents is READY and qualifies."""
        names = self.kept_for(contact) or []
        return any(
            agent.state is AgentState.READY and self.may_take(agent, contact)
            for name, agent in self.agents.items()
            if name in names
        )

    def may_take(self, agent: RefAgent, contact: RefContact) -> bool:
        """Return whether the agent qualifies, regardless of its current state."""
        in_queue = agent.queues is None or contact.queue_id in agent.queues
        most = agent.channel_max.get(contact.channel, self.channel(contact.channel).per_agent_max)
        is_fit = self.facts_fit(agent, contact) and self.has_skills(agent, contact)
        return in_queue and most > 0 and is_fit
