"""Facts of active customers in memory, and the refresh of contacts that wait.

Theory of operation. A submit reads its customer once and leaves a ``CustomerState`` here. From then on steps are folded in as the
store announces them, so that facts are read without the store. Whatever changes more than a step – a profile, a merge, an undo, an
erasure – drops the state; it is read again where a contact waits that its facts concern, or with the next submit. The customers
used least recently are dropped beyond ``STATES_MAX``.

A fact with ``refresh_while_waiting`` reaches a waiting contact by ``UpdateContact``. It is sent after a step, after a change, when
another contact of the customer begins or ends, and when a window ends, for which there is one timer per customer. The engine
compares with what it has, so that sending too often is harmless; sending is limited to one per customer and ``REFRESH_S``.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from router.context.customers import ContextError, CustomerView
from router.context.derivation import NO_FACTS_DECLARED, NO_GOAL_STEPS, CustomerState, FactDeriver, GoalSteps
from router.context.journey import Step
from router.context.service import ContextService
from router.model.commands import UpdateContact
from router.model.errors import RouterError
from router.model.policy import FactValue, Policy
from router.runtime.writer import Writer
from router.server.customers.live_contacts import CustomerContact, LiveContacts

STATES_MAX: Final = 100_000
"""Active customers kept in memory, about 600 bytes each."""
READ_AGAIN_S: Final = 3_600.0
"""Time after which a submit reads its customer again, so that what was deleted by age is not in memory for longer."""
REFRESH_S: Final = 0.1
"""Time for which changes of a customer are collected before waiting contacts are refreshed."""
REFRESH_ACTOR: Final = "router:customer-facts"
_READ_TIMEOUT_S: Final = 2.0
_READS_MAX: Final = 5
"""Reads of a customer who changes meanwhile; then the next change tries again."""


class ActiveFacts:
    """The facts of active customers of all workspaces. Confined to the event loop."""

    def __init__(
        self, context: ContextService, writer: Writer, live_contacts: Callable[[str], LiveContacts], *, states_max: int = STATES_MAX
    ) -> None:
        """``live_contacts`` returns the live contacts of a workspace."""
        self._context = context
        self._writer = writer
        self._live_contacts = live_contacts
        self._states_max = states_max
        self._derivers: dict[str, FactDeriver] = {}
        self._goal_steps: dict[str, GoalSteps] = {}
        self._states: OrderedDict[tuple[str, str], CustomerState] = OrderedDict()
        self._roots: dict[tuple[str, str], str] = {}
        """Root by workspace and member."""
        self._read_as_of: dict[tuple[str, str], int] = {}
        """Number of the newest change of the store that a state contained when it was read, by workspace and root; 0: not known."""
        self._read_at: dict[tuple[str, str], float] = {}
        """When a state was read, by workspace and root, in seconds of the monotonic clock."""
        self._due: dict[tuple[str, str], asyncio.TimerHandle] = {}
        """Timers of customers whose contacts are to be refreshed, by workspace and the id of a member."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed_during_reads: dict[object, set[tuple[str, str]]] = {}
        """Customers, by workspace and member, that have changed while a read is in progress; by the read."""

    # --- policy --------------------------------------------------------------------------------

    def deriver(self, workspace: str) -> FactDeriver:
        """Return the facts that the active policy declares."""
        return self._derivers.get(workspace, NO_FACTS_DECLARED)

    def goal_steps(self, workspace: str) -> GoalSteps:
        """Return the steps that report goals as done, by the active policy."""
        return self._goal_steps.get(workspace, NO_GOAL_STEPS)

    def use_policy(self, workspace: str, policy: Policy | None) -> None:
        """Derive the facts of this policy from now on; states of another one are dropped."""
        self._goal_steps[workspace] = NO_GOAL_STEPS if policy is None else GoalSteps(policy.goals.known)
        self._derivers[workspace] = NO_FACTS_DECLARED if policy is None else FactDeriver(policy.facts)
        for key in [key for key in self._states if key[0] == workspace]:
            self._drop_state(key)
        if self.deriver(workspace).refreshed:
            for customer_id in {one.customer_id for one in self._live_contacts(workspace).all()}:
                self.refresh(workspace, customer_id)

    # --- states --------------------------------------------------------------------------------

    def put(self, workspace: str, customer: CustomerView, steps: Iterable[Step], *, as_of: int = 0) -> CustomerState:
        """Keep the state of a customer as the store has it.

        ``as_of``: number of the newest change that it contains, where it was read before that change was announced.
        """
        state = self.deriver(workspace).state_of(customer, steps)
        key = (workspace, state.customer_id)
        self._drop_state(key)
        self._states[key] = state
        self._read_at[key] = time.monotonic()
        if as_of:
            self._read_as_of[key] = as_of
        for member_id in state.member_ids:
            self._roots[workspace, member_id] = state.customer_id
        if len(self._states) > self._states_max:
            self._drop_state(next(iter(self._states)))
        return state

    def get(self, workspace: str, customer_id: str) -> CustomerState | None:
        """Return the state of the customer of a member; None: it is not in memory."""
        root = self._roots.get((workspace, customer_id))
        if root is None:
            return None
        self._states.move_to_end((workspace, root))
        return self._states[workspace, root]

    def get_recent(self, workspace: str, customer_id: str) -> CustomerState | None:
        """Return the state of the customer of a member as ``get``, if it was read within ``READ_AGAIN_S``."""
        state = self.get(workspace, customer_id)
        is_recent = state is not None and time.monotonic() - self._read_at[workspace, state.customer_id] < READ_AGAIN_S
        return state if is_recent else None

    def __len__(self) -> int:
        """Return the number of customers in memory."""
        return len(self._states)

    def drop(self, workspace: str, customer_id: str) -> None:
        """Forget a customer. Idempotent."""
        root = self._roots.get((workspace, customer_id))
        if root is not None:
            self._drop_state((workspace, root))

    def drop_all(self) -> None:
        """Forget all customers."""
        for states in (self._states, self._roots, self._read_as_of, self._read_at):
            states.clear()

    def forget_workspace(self, workspace: str) -> None:
        """Forget the customers and the policy of a workspace that is not followed any more."""
        for key in [key for key in self._states if key[0] == workspace]:
            self._drop_state(key)
        for key in [key for key in self._due if key[0] == workspace]:
            self._due.pop(key).cancel()
        self._derivers.pop(workspace, None)
        self._goal_steps.pop(workspace, None)

    def _drop_state(self, key: tuple[str, str]) -> None:
        state = self._states.pop(key, None)
        self._read_as_of.pop(key, None)
        self._read_at.pop(key, None)
        if state is not None:
            for member_id in state.member_ids:
                self._roots.pop((key[0], member_id), None)

    def values(self, workspace: str, state: CustomerState, *, besides: str | None = None) -> dict[str, FactValue]:
        """Return the facts that are known now; ``besides``: a contact that does not count as another open one."""
        deriver = self.deriver(workspace)
        open_contacts = 0
        if deriver.reads_contacts:
            others = self._live_contacts(workspace).of_customers(state.member_ids)
            open_contacts = sum(one.contact_id != besides for one in others)
        return deriver.values(state, now_ms=self._writer.clock.now_ms(), open_contacts=open_contacts)

    # --- changes -------------------------------------------------------------------------------

    def changes_begin_again(self) -> None:
        """Note that the store was opened again, and counts its changes from 1."""
        self._read_as_of.clear()

    def step_stored(self, workspace: str, customer_id: str, step: Step, *, number: int) -> None:
        """Fold a step into the state of its customer, if that was read before the step; ``number``: of the change."""
        self._note_change(workspace, customer_id)
        deriver = self.deriver(workspace)
        if step.type not in deriver.step_types:
            return
        state = self.get(workspace, customer_id)
        is_contained = number <= self._read_as_of.get((workspace, self._roots.get((workspace, customer_id), "")), 0)
        if state is None or is_contained or deriver.fold(state, step):
            self.refresh(workspace, customer_id)

    def customer_changed(self, workspace: str, customer_id: str) -> None:
        """Forget a customer whose profile or members have changed, or who was erased."""
        self._note_change(workspace, customer_id)
        state = self.get(workspace, customer_id)
        self.drop(workspace, customer_id)
        for member_id in (customer_id,) if state is None else state.member_ids:
            self.refresh(workspace, member_id)

    def _note_change(self, workspace: str, customer_id: str) -> None:
        for changed in self._changed_during_reads.values():
            changed.add((workspace, customer_id))

    def contacts_changed(self, workspace: str, customer_id: str) -> None:
        """Refresh the other contacts of a customer, after one has begun or is over."""
        if self.deriver(workspace).reads_contacts:
            self.refresh(workspace, customer_id)

    # --- refresh -------------------------------------------------------------------------------

    def refresh(self, workspace: str, customer_id: str, *, after_s: float = REFRESH_S) -> None:
        """Refresh the waiting contacts of a customer soon, if any fact is refreshed."""
        key = (workspace, customer_id)
        if not self.deriver(workspace).refreshed or not self._waiting(workspace, customer_id):
            return
        loop = asyncio.get_running_loop()
        pending = self._due.get(key)
        if pending is not None:
            if pending.when() <= loop.time() + after_s:
                return
            pending.cancel()
        self._due[key] = loop.call_later(after_s, self._begin_refresh, key)

    def _waiting(self, workspace: str, customer_id: str) -> list[CustomerContact]:
        state = self.get(workspace, customer_id)
        members = (customer_id,) if state is None else state.member_ids
        return [one for one in self._live_contacts(workspace).of_customers(members) if one.waits]

    def _begin_refresh(self, key: tuple[str, str]) -> None:
        self._due.pop(key, None)
        task = asyncio.get_running_loop().create_task(self._refresh(*key), name="customer facts")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refresh(self, workspace: str, customer_id: str) -> None:
        deriver = self.deriver(workspace)
        state = self.get(workspace, customer_id)
        if state is None:
            state = await self._read(workspace, customer_id)
        if state is None:
            return  # What is not known does not change; a later change tries again.
        for contact in self._waiting(workspace, customer_id):
            facts = self.values(workspace, state, besides=contact.contact_id)
            sent = {name: value for name, value in facts.items() if name in deriver.refreshed}
            before = contact.facts
            if before is not None and sent == {name: value for name, value in before.items() if name in deriver.refreshed}:
                continue
            command = UpdateContact(contact_id=contact.contact_id, customer_facts=sent)
            try:
                self._writer.submit(workspace, command, actor=REFRESH_ACTOR, reply=None)
            except RouterError:
                return  # Too many commands wait; the next change refreshes the contact.
            contact.facts = facts
        now_ms = self._writer.clock.now_ms()
        next_ms = deriver.next_change_ms(state, now_ms=now_ms, names=deriver.refreshed)
        if next_ms is not None:
            self.refresh(workspace, customer_id, after_s=max(REFRESH_S, (next_ms - now_ms) / 1000))

    async def _read(self, workspace: str, customer_id: str) -> CustomerState | None:
        """Read a customer from the store and keep the state; None: the customer is not known, or is changing all the time.

        A change that is announced while the store is read may not be part of what was read; it is read again then.
        """
        for _ in range(_READS_MAX):
            token, changed = object(), set[tuple[str, str]]()
            self._changed_during_reads[token] = changed
            try:
                view, steps = await self._context.run(
                    lambda store: store.contacts.customer(workspace, customer_id), timeout_s=_READ_TIMEOUT_S
                )
            except ContextError:
                return None
            finally:
                del self._changed_during_reads[token]
            members = {customer_id, view.customer_id, view.merged_into or view.customer_id, *view.members}
            if not any((workspace, member_id) in changed for member_id in members):
                return self.put(workspace, view, steps)
        return None

    def stop(self) -> None:
        """Cancel timers and tasks. Idempotent."""
        for timer in self._due.values():
            timer.cancel()
        self._due.clear()
        for task in self._tasks:
            task.cancel()
