"""Whose facts are what a queue asks for: ``agents_when`` of the queues. Pure; asked when agents or the policy change only."""

from collections.abc import Mapping
from typing import TypeAlias

from router.model.ids import QueueId
from router.model.policy import FactValue, Policy
from router.rules.expressions import compile_expression, program_of
from router.rules.facts import fact_objection
from router.rules.memo import Memo
from router.rules.tokens import ExpressionError
from router.rules.variables import agent_scope

# Of the facts that any queue asks for, in their order; None: he does not carry it.
FactKey: TypeAlias = tuple[FactValue | None, ...]


class Qualification:
    """The queues' conditions on agents' facts under one policy.

    An agent counts by the values of the facts that any queue mentions (``key``), so agents with the same values share every
    answer.
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
        """What of these facts makes a difference. A value that the policy no longer allows counts as missing."""
        return tuple([self._allowed(name, attributes.get(name)) for name in self._places])

    def _allowed(self, name: str, value: FactValue | None) -> FactValue | None:
        if value is None or fact_objection(self._facts[name], value) is not None:
            return None
        return value

    def fits(self, queue_id: QueueId, key: FactKey) -> bool:
        """Whether the queue takes agents with these facts. An expression that fails takes nobody."""
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
    """What is wrong with a queue's ``agents_when``; none: nothing."""
    try:
        compile_expression(text, agent_scope(policy))
    except ExpressionError as error:
        return error
    return None
