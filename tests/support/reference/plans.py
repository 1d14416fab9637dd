"""Qualification in the reference model: attribute conditions of queues, and which agents qualify in each step of a plan.

Written from docs/reference/routing.md; everything is evaluated on every call.
"""

from dataclasses import replace
from functools import partial
from itertools import product

from router.model.policy import FactValue, PreferredAgentKind, Selection, SkipIf, StepPolicy
from router.model.states import AgentState
from tests.support.reference.event_model import EventModel
from tests.support.reference.expressions import holds
from tests.support.reference.records import RefAgent, RefContact


class AttributeQualification(EventModel):
    """Attribute conditions of queues on agents."""

    def attributes_qualify(self, agent: RefAgent, contact: RefContact) -> bool:
        """Return whether the agent meets the queue's attribute condition; a condition that fails to evaluate does not hold."""
        text = self.queue_of(contact).agents_when
        facts = {**agent.attributes, **contact.customer_facts}
        return text is None or holds(text, partial(self._fact, facts)) is True

    def customer_meets(self, text: str | None, contact: RefContact) -> bool:
        """Return whether a condition on the customer of the contact holds; one that fails to evaluate does not."""
        return text is None or holds(text, partial(self._fact, contact.customer_facts)) is True

    def qualifies_for_some_customer(self, agent: RefAgent, contact: RefContact) -> bool:
        """Return whether the agent meets the queue's attribute condition for a customer with any facts."""
        assert self.policy is not None
        declared = [(name, fact) for name, fact in self.policy.facts.items() if fact.applies_to == "customer"]
        some = [(None, *{"bool": (True, False), "int": range(-1, 6)}.get(fact.type, fact.values)) for _, fact in declared]
        for values in product(*some):
            facts = {name: value for (name, _), value in zip(declared, values, strict=True) if value is not None}
            if self.attributes_qualify(agent, replace(contact, customer_facts=facts)):
                return True
        return False

    def _fact(self, facts: dict[str, FactValue], name: str) -> object:
        root, _, fact = name.partition(".")
        assert self.policy is not None and root in ("known", self.policy.facts[fact].applies_to)
        kind = {"bool": bool, "int": int}.get(self.policy.facts[fact].type, str)
        value = facts.get(fact)
        if type(value) is not kind:
            value = None  # Set under an older policy that declared the fact with another type.
        return value is not None if root == "known" else value


class PlanQualification(AttributeQualification):
    """Effects of plans on requirement, order and selection."""

    def plan(self, contact: RefContact) -> tuple[StepPolicy, ...]:
        """Return the plan that applies to the contact."""
        assert self.policy is not None
        name = contact.plan or self.queue_of(contact).plan
        return self.policy.plans.get(name, ()) if name is not None else ()

    def steps_so_far(self, contact: RefContact) -> list[StepPolicy]:
        """Return the steps that count: the current one and the earlier ones, if they apply to the customer."""
        return [step for step in self.plan(contact)[: contact.step + 1] if self.customer_meets(step.when, contact)]

    def present_step(self, contact: RefContact) -> StepPolicy | None:
        """Return the current step, if there is one and it applies to the customer."""
        plan = self.plan(contact)
        step = plan[min(contact.step, len(plan) - 1)] if plan else None
        return None if step is None or not self.customer_meets(step.when, contact) else step

    def requirement(self, contact: RefContact, steps: int | None = None) -> dict[str, int]:
        """Return the combined requirement of queue and contact, changed by this many steps (None: all so far)."""
        requirement = dict(self.queue_of(contact).requires)
        for skill, level in contact.skills.items():
            requirement[skill] = max(level, requirement.get(skill, 0))
        for step in self.steps_so_far(contact)[:steps]:
            if step.skills is not None:
                requirement = dict(step.skills)
            for skill in step.remove_skills:
                requirement.pop(skill, None)
            for skill, level in step.lower_levels.items():
                if requirement.get(skill, 0) > level:
                    requirement[skill] = level
        return requirement

    def has_required_skills(self, agent: RefAgent, contact: RefContact) -> bool:
        """Return whether the agent has the declared skills that this step, or an earlier one kept open, requires."""
        count = len(self.steps_so_far(contact))
        if not count:
            return self._has_skills(agent, self.requirement(contact))
        for number in range(count, 0, -1):
            if self._has_skills(agent, self.requirement(contact, number)):
                return True
            if not self.steps_so_far(contact)[number - 1].keep_earlier_agents:
                return False
        return False

    def _has_skills(self, agent: RefAgent, requirement: dict[str, int]) -> bool:
        assert self.policy is not None
        return all(skill in self.policy.skills and agent.skills.get(skill, 0) >= level for skill, level in requirement.items())

    def level_of(self, agent: RefAgent, skill: str) -> int:
        """Return the agent's level in a skill that the policy declares."""
        assert self.policy is not None
        return agent.skills.get(skill, 0) if skill in self.policy.skills else 0

    def reserved_for(self, contact: RefContact) -> list[str] | None:
        """Return the agents for which the contact is reserved, most preferred first; None: any agent."""
        if contact.preferred_agent_id is not None:
            return [contact.preferred_agent_id]
        step = self.present_step(contact)
        if step is None or not (step.prefer or step.prefer_agents):
            return None
        names: list[str] = []
        for kind in step.prefer:
            last = [contact.last_agent_id] if contact.last_agent_id is not None else []
            names += contact.preferred_agents if kind is PreferredAgentKind.NAMED else last
        return [*names, *step.prefer_agents]

    def is_reserved_for(self, contact: RefContact, agent: RefAgent) -> bool:
        """Return whether the contact is not reserved for other agents."""
        names = self.reserved_for(contact)
        return names is None or agent.agent_id in names

    def plan_priority(self, contact: RefContact) -> tuple[int, int]:
        """Return the seconds of priority and the class that the contact's plan has added."""
        steps = self.steps_so_far(contact)
        return (sum(step.add_priority_s for step in steps), max((step.priority_class for step in steps), default=0))

    def selection(self, contact: RefContact) -> Selection:
        """Return the active selection: the last one that a step has set, or the queue's."""
        chosen = self.queue_of(contact).selection
        for step in self.steps_so_far(contact):
            chosen = step.selection or chosen
        return chosen

    def waits_for_an_agent_who_left(self, contact: RefContact) -> bool:
        """Return whether the contact is reserved for an agent who is OFFLINE on purpose, or removed."""
        if contact.preferred_agent_id is None:
            return False
        agent = self.agents.get(contact.preferred_agent_id)
        if agent is None:
            return True
        return agent.state is AgentState.OFFLINE and agent.reason != "desktop_lost"

    def is_preferred_step(self, contact: RefContact) -> bool:
        """Return whether the step is reserved for agents, not the last one, and left when none of them is ready."""
        plan = self.plan(contact)
        if contact.preferred_agent_id is not None or contact.step + 1 >= len(plan):
            return False
        step = self.present_step(contact)
        wants = step is not None and bool(step.prefer or step.prefer_agents)
        return step is not None and wants and step.skip_if in (None, SkipIf.NO_AGENT_READY)

    def has_ready_preferred_agent(self, contact: RefContact) -> bool:
        """Return whether one of the preferred agents is READY and qualifies."""
        names = self.reserved_for(contact) or []
        return any(
            agent.state is AgentState.READY and self.qualifies(agent, contact)
            for name, agent in self.agents.items()
            if name in names
        )

    def qualifies(self, agent: RefAgent, contact: RefContact) -> bool:
        """Return whether the agent qualifies, regardless of its current state."""
        in_queue = agent.queues is None or contact.queue_id in agent.queues
        most = agent.channel_max.get(contact.channel, self.channel(contact.channel).per_agent_max)
        is_fit = self.attributes_qualify(agent, contact) and self.has_required_skills(agent, contact)
        return in_queue and most > 0 and is_fit
