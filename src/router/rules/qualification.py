"""Conditions of queues on agents (``agents_when``), evaluated when an agent or the policy changes."""

from collections.abc import Mapping
from typing import TypeAlias

from router.model.ids import QueueId
from router.model.policy import FactValue, Policy
from router.rules.expressions import compile_expression, program_of
from router.rules.facts import fact_objection
from router.rules.memo import Memo
from router.rules.tokens import ExpressionError
from router.rules.variables import agent_scope

# Values of the facts that any queue's condition uses, in a fixed order; None: the agent does not have the attribute.
FactKey: TypeAlias = tuple[FactValue | None, ...]


class Qualification:
    """Conditions of all queues on agents' facts under one policy.

    Agents are represented by the values of the facts that any condition uses (``attribute_key``), so agents with equal values
    share cached outcomes.
    """

    def __init__(self, policy: Policy) -> None:
        scope = agent_scope(policy)
        self._facts = scope.facts
        self._memos: dict[QueueId, Memo] = {}
        for queue_id, queue in policy.queues.items():
            if queue.agents_when is not None:
                self._memos[queue_id] = Memo(program_of(queue.agents_when, scope))
        mentioned = {
            variable.name for memo in self._memos.values() for variable in memo.program.variables
        }
        self._places = {name: place for place, name in enumerate(sorted(mentioned))}

    def key(self, attributes: Mapping[str, FactValue]) -> FactKey:
        """Return the values of the facts that conditions use. A value that the policy no longer allows counts as missing."""
        return tuple([self._allowed(name, attributes.get(name)) for name in self._places])

    def _allowed(self, name: str, value: FactValue | None) -> FactValue | None:
        if value is None or fact_objection(self._facts[name], value) is not None:
            return None
        return value

    def fits(self, queue_id: QueueId, key: FactKey) -> bool:
        """Return whether agents with these values qualify for a queue. If the evaluation fails, they do not."""
        memo = self._memos.get(queue_id)
        if memo is None:
            return True
        places = self._places
        return bool(
            memo.ask(
                lambda variable: (
                    key[places[variable.name]] is not None
                    if variable.root == "known"
                    else key[places[variable.name]]
                )
            )
        )


def agents_objection(text: str, policy: Policy) -> ExpressionError | None:
    """Return the error in a queue's ``agents_when``, if any."""
    try:
        compile_expression(text, agent_scope(policy))
    except ExpressionError as error:
        return error
    return None
