"""Cache of an expression's outcomes, by the values of the facts that it uses."""

from collections.abc import Callable
from typing import Final

from router.model.policy import FactValue
from router.rules.expressions import Program
from router.rules.limits import MEMO_ENTRIES_MAX
from router.rules.variables import Variable

_UNKNOWN: Final = object()


class Memo:
    """Bounded cache of an expression's outcomes. A full cache is cleared, which changes no outcome.

    A fact has one type under a policy, so equal values are identical (``1`` is never compared with ``true``).
    """

    __slots__ = ("_outcomes", "program")

    def __init__(self, program: Program) -> None:
        self.program = program
        self._outcomes: dict[tuple[FactValue | None, ...], bool | None] = {}

    def ask(self, value_of: Callable[[Variable], FactValue | None]) -> bool | None:
        """Return the outcome for the present values (None: the fact is missing); None: the evaluation failed."""
        program = self.program
        values = tuple([value_of(variable) for variable in program.variables])
        outcome = self._outcomes.get(values, _UNKNOWN)
        if outcome is _UNKNOWN:
            if len(self._outcomes) >= MEMO_ENTRIES_MAX:
                self._outcomes.clear()
            pairs = zip(program.names, values, strict=True)
            outcome = program.holds({name: value for name, value in pairs if value is not None})
            self._outcomes[values] = outcome
        assert outcome is None or isinstance(outcome, bool)
        return outcome
