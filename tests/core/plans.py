"""Plans in plain words: who may take a contact in its step. Written from docs/routing.md; who has what is asked of everybody."""

from router.model.policy import Preferred, Selection, SkipIf, StepPolicy
from router.model.states import AgentState
from tests.core.fold import Fold, RefAgent, RefContact


class Plans(Fold):
    """What plans change in a contact's requirement, order and choice."""

    def plan(self, contact: RefContact) -> tuple[StepPolicy, ...]:
        """The plan in force for it."""
        assert self.policy is not None
        name = contact.plan or self.queue_of(contact).plan
        return self.policy.plans.get(name, ()) if name is not None else ()

    def steps_so_far(self, contact: RefContact) -> list[StepPolicy]:
        """The steps that count: this one and those before it."""
        return list(self.plan(contact)[: contact.step + 1])

    def required(self, contact: RefContact, steps: int | None = None) -> dict[str, int]:
        """The queue's requirement and its own, the higher level of the two, changed by so many steps (none: all so far)."""
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
        """He has every skill at the level, and the policy still declares it – in this step or in one that stays open."""
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
        """His level in a skill that the policy declares."""
        assert self.policy is not None
        return agent.skills.get(skill, 0) if skill in self.policy.skills else 0

    def kept_for(self, contact: RefContact) -> list[str] | None:
        """Who alone may take it, the dearest first; none: everybody."""
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
        """Nobody else is preferred for it at the moment."""
        names = self.kept_for(contact)
        return names is None or agent.agent_id in names

    def raised(self, contact: RefContact) -> tuple[int, int]:
        """Credit and class that its plan has added."""
        steps = self.steps_so_far(contact)
        return (
            sum(step.add_priority_s for step in steps),
            max((step.strict_class for step in steps), default=0),
        )

    def selection(self, contact: RefContact) -> Selection:
        """The rule in force: the last one that a step has set, or the queue's."""
        chosen = self.queue_of(contact).selection
        for step in self.steps_so_far(contact):
            chosen = step.selection or chosen
        return chosen

    def is_preferred_step(self, contact: RefContact) -> bool:
        """Its step is for certain agents, it is not the last one, and it is left when they are."""
        plan = self.plan(contact)
        if contact.preferred is not None or contact.step + 1 >= len(plan):
            return False
        step = plan[contact.step]
        wants = bool(step.prefer or step.prefer_agents)
        return wants and step.skip_if in (None, SkipIf.NOBODY_READY)

    def somebody_is_there(self, contact: RefContact) -> bool:
        """One of those for whom it is kept is READY, and may take it but for what he does now."""
        names = self.kept_for(contact) or []
        return any(
            agent.state is AgentState.READY and self.may_take(agent, contact)
            for name, agent in self.agents.items()
            if name in names
        )

    def may_take(self, agent: RefAgent, contact: RefContact) -> bool:
        """He is qualified, whatever he does now."""
        in_queue = agent.queues is None or contact.queue_id in agent.queues
        most = agent.channel_max.get(contact.channel, self.channel(contact.channel).per_agent_max)
        return in_queue and most > 0 and self.has_skills(agent, contact)
