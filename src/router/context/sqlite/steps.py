"""The operations on steps over all workspaces: one alone, or those of a batch together.

Each statement gives up the interpreter lock and takes it again, beside a busy event loop, and each nonce is a call of the system. A
batch therefore finds its customers by one statement, seals some steps with nonces that are drawn together, and writes them by one.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from router.context.customers import ContextError, ErasedCustomer, UnknownCustomer
from router.context.identities import NormalIdentity
from router.context.journey import LOGOUT, Step, merge_steps
from router.context.limits import CustomerRates
from router.context.port import NewStep, StepResult
from router.context.sqlite.customers import CustomerTable
from router.context.sqlite.erasure import Erasure
from router.context.sqlite.journeys import JourneyTable

_IDS_PER_QUERY: Final = 100
_WRITTEN_AT_ONCE: Final = 16
"""Steps of one statement: the interpreter lock is held for some 0.2 ms before the event loop gets it."""


class SqliteSteps:
    """Appends and reads steps. Confined to the thread of its connection."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        table_of: Callable[[str], CustomerTable],
        journeys: JourneyTable,
        erasure: Erasure,
        rates: CustomerRates | None,
        on_step: Callable[[str, str, Step], None],
    ) -> None:
        """``rates``: limit of each customer. ``on_step`` is called with a workspace, a customer and the step that was stored."""
        self._connection = connection
        self._table_of = table_of
        self._journeys = journeys
        self._erasure = erasure
        self._rates = rates
        self._on_step = on_step

    def append(self, workspace: str, steps: Sequence[NewStep], *, now_ms: int) -> list[StepResult | ContextError]:
        """Store steps; what became of each, or why it could not be stored: UnknownCustomer or ErasedCustomer."""
        table = self._table_of(workspace)
        known = self._rows_of(table, {one.customer_id for one in steps if one.customer_id is not None})
        results: list[StepResult | ContextError] = []
        for number, one in enumerate(steps, 1):
            try:
                results.append(self._append(table, one, known, now_ms))
            except (UnknownCustomer, ErasedCustomer) as error:
                results.append(error)
            if number % _WRITTEN_AT_ONCE == 0:
                self._journeys.flush()
        self._journeys.flush()
        return results

    def _rows_of(self, table: CustomerTable, customer_ids: set[str]) -> dict[str, tuple[int, int]]:
        """Return the rows of customers who are not merged into another one, and of their roots, the same; by id."""
        keys = [bytes.fromhex(one[2:]) for one in customer_ids]
        found: dict[str, tuple[int, int]] = {}
        for start in range(0, len(keys) if len(keys) > 1 else 0, _IDS_PER_QUERY):
            part = keys[start : start + _IDS_PER_QUERY]
            # By the id alone: with the workspace as well, SQLite may choose to read all customers of the workspace.
            for key, row, number, winner in self._connection.execute(
                f"SELECT customer_id, row, workspace, merged_into FROM customer WHERE customer_id IN ({','.join('?' * len(part))})",
                part,
            ).fetchall():
                if number == table.number and winner is None:
                    found[f"c_{key.hex()}"] = row, row
        return found

    def _append(self, table: CustomerTable, one: NewStep, known: dict[str, tuple[int, int]], now_ms: int) -> StepResult:
        step, customer_id, identity = one
        if customer_id is not None:
            row, root = known.get(customer_id) or table.row_and_root_of(customer_id)
        else:
            assert identity is not None
            found_row = self._row_of_identity(table, identity, step, now_ms)
            if found_row is None:
                return StepResult(None, False)
            row, root = found_row, table.root_of(found_row)
            customer_id = table.id_of(row)
        root_id = customer_id if root == row else table.id_of(root)
        seen_at_ms = self._seen_at_ms(table, root, step, now_ms)
        if seen_at_ms is not None:
            return StepResult(root_id, False, seen_at_ms=seen_at_ms)
        if self._rates is not None and not self._rates.try_take(root, now_ms=now_ms):
            return StepResult(root_id, False, is_limited=True)
        self._journeys.append(row, step, table.key_of(row), now_ms=now_ms)
        self._on_step(table.name, customer_id, step)
        if identity is not None and step.type == LOGOUT:
            table.release(identity, at_ms=step.at_ms)
        return StepResult(root_id, True)

    def _seen_at_ms(self, table: CustomerTable, root: int, step: Step, now_ms: int) -> int | None:
        """Return since when any member has this step; None: it is new.

        A login between two sendings may have given its device to another member.
        """
        if step.id is None:
            return None
        found = (self._journeys.seen_at_ms(row, step, now_ms=now_ms) for row in table.members_of(root))
        return next((at_ms for at_ms in found if at_ms is not None), None)

    def _row_of_identity(self, table: CustomerTable, identity: NormalIdentity, step: Step, now_ms: int) -> int | None:
        """Return the row that has an identity, creating a customer for a new one; None where the customer was erased."""
        found = table.find(identity)
        erased_ms = self._erasure.suppressed_since(table.number, found.hash, now_ms=now_ms)
        if erased_ms is not None and (found.owner is None or step.at_ms <= erased_ms):
            # A new contact may have made a new customer since; what the erased one did is not theirs.
            return None
        if found.owner is not None:
            return table.direct_row_of(found.hash)
        resolved = table.resolve([identity], at_ms=min(step.at_ms, now_ms), create=True, now_ms=now_ms)
        assert resolved.customer_id is not None
        return table.row_of(resolved.customer_id)

    def newest(self, workspace: str, customer_id: str, *, limit: int) -> list[Step]:
        """Return the newest steps of all members of a customer, oldest first."""
        table = self._table_of(workspace)
        found: list[Step] = []
        for row in table.members_of(table.root_of(table.row_of(customer_id))):
            found = merge_steps(found, self._journeys.steps(row))
        return found[-limit:]
