"""What the removal of a workspace does before its last record: end its contacts, delete its agents, erase its customers.

Each step is a command or an operation of its own, as if an administrator had sent it, so that no turn of the event loop is long and
an interrupted removal can be repeated. Nothing new comes meanwhile, because the tokens of the workspace are refused already.
"""

import asyncio
from typing import Final

from router.context.customers import ErasedCustomer, UnknownCustomer
from router.context.port import ChangedPage, ContextStore
from router.engine.engine import Engine
from router.engine.queries.slices import ContactPage, Slices
from router.model.commands import CompleteAssignment, EndContact, PlainCommand, RemoveAgent
from router.model.states import ContactId, ContactState
from router.model.views import AgentView
from router.server.api.customer_access import forget_in_records, run_on_context
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest

_AT_ONCE: Final = 64
_CUSTOMERS_AT_ONCE: Final = 100
_REASON: Final = "workspace_removed"
_LIVE: Final = tuple(state for state in ContactState if not state.is_terminal)


async def empty_workspace(request: ApiRequest, workspace: str) -> None:
    """End the contacts of a workspace, delete its agents, and erase what the customer context holds. Raises ProblemError."""
    for state in _LIVE:
        while contact_ids := await _contacts_in(request, workspace, state):
            await _execute_all(request, workspace, [EndContact(contact_id=name, reason=_REASON) for name in contact_ids])
    while agents := (await request.services.writer.query(workspace, lambda engine: engine.agents(limit=_AT_ONCE))).value:
        await _execute_all(request, workspace, _completions(agents))
        await _execute_all(request, workspace, [RemoveAgent(agent_id=agent.agent_id) for agent in agents])
    if request.services.context is not None:
        await _erase_customers(request, workspace)
        await _discard_references(request, workspace)
        await _erase_contacts_alone(request, workspace)


def _completions(agents: list[AgentView]) -> list[PlainCommand]:
    return [CompleteAssignment(assignment_id=one.assignment_id) for agent in agents for one in agent.assignments]


async def _contacts_in(request: ApiRequest, workspace: str, state: ContactState) -> list[ContactId]:
    def page(engine: Engine) -> Slices[ContactPage]:
        return engine.contact_page(state=state, after_seq=after_seq, limit=_AT_ONCE)

    after_seq = 0
    while True:
        found = (await request.services.writer.query_in_slices(workspace, page)).value
        if found.contacts or found.next_position is None:
            return [contact.contact_id for contact in found.contacts]
        after_seq = found.next_position


async def _execute_all(request: ApiRequest, workspace: str, commands: list[PlainCommand]) -> None:
    """Execute the commands; one that is refused because another command was first does not matter, as long as one is done."""
    answers = await asyncio.gather(*(request.execute_in(workspace, one) for one in commands), return_exceptions=True)
    failed = [one for one in answers if isinstance(one, BaseException)]
    for one in failed:
        if not isinstance(one, ProblemError) or one.document.temporary:
            raise one
    if commands and len(failed) == len(commands):
        raise failed[0]


async def _erase_customers(request: ApiRequest, workspace: str) -> None:
    context = request.services.context
    assert context is not None
    position = 0
    while True:

        def next_page(store: ContextStore, after: int = position) -> ChangedPage:
            return store.changed_after(workspace, after, limit=_CUSTOMERS_AT_ONCE)

        page: ChangedPage = await run_on_context(request, next_page)
        await forget_in_records(request, workspace, {customer.customer_id for customer in page.customers})
        for customer in page.customers:
            try:
                await context.erase(workspace, customer.customer_id)
            except (UnknownCustomer, ErasedCustomer):
                continue  # It was merged into another one, or is gone.
        if not page.has_more:
            return
        position = page.position


async def _erase_contacts_alone(request: ApiRequest, workspace: str) -> None:
    """Erase what is stored of contacts whose customers were never known: contexts, notes, and the keys of references."""
    context = request.services.context
    assert context is not None
    erased: set[str] = set()

    def find(store: ContextStore) -> list[str]:
        contacts = store.contacts.ids_without_customer(workspace, limit=_CUSTOMERS_AT_ONCE)
        return contacts + store.references.ids_without_customer(workspace, limit=_CUSTOMERS_AT_ONCE)

    while found := [one for one in await run_on_context(request, find) if one not in erased]:
        results = await asyncio.gather(*(context.erase(workspace, one) for one in found), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, (UnknownCustomer, ErasedCustomer)):
                raise result
        erased.update(found)


async def _discard_references(request: ApiRequest, workspace: str) -> None:
    """Discard the references of contacts that have ended and are still kept."""
    after_seq = 0
    while True:

        def page(engine: Engine, after: int = after_seq) -> Slices[ContactPage]:
            return engine.contact_page(after_seq=after, limit=_CUSTOMERS_AT_ONCE)

        found = (await request.services.writer.query_in_slices(workspace, page)).value
        names = [contact.contact_id for contact in found.contacts]

        def discard(store: ContextStore, contact_ids: list[ContactId] = names) -> None:
            store.references.discard(workspace, contact_ids)

        if names:
            await run_on_context(request, discard)
        if found.next_position is None:
            return
        after_seq = found.next_position
