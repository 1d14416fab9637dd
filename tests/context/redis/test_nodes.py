"""Several nodes share one customer context: what one stores the others see, and they never overwrite each other."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from router.context.cards import ContactContext, WorkChange
from router.context.customers import ContextConflict, ContextCorrupt, ErasedCustomer, ProfileChange
from router.context.identities import Assurance, Identity, NormalIdentity, normalise
from router.context.journey import Step
from router.context.keys import MasterKeys, new_master_keys
from router.context.port import ContactReference, ContextChange, ContextStore, CustomerChangeKind
from router.context.redis.store import RedisContextStore
from router.context.service import ContextService
from router.runtime.clock import SystemClock
from tests.context.redis.conftest import OpenNode
from tests.contracts.context_contract import erase
from tests.support.redis_context import NOW, open_redis_context
from tests.support.redis_server import RedisServer

T = TypeVar("T")


def identity(value: str, type: str = "app_user") -> NormalIdentity:
    return normalise(Identity(type=type, value=value, assurance=Assurance.VERIFIED), region="DE")


def run(store: RedisContextStore, work: Callable[[], T]) -> T:
    """Run one operation as the service does."""
    store.begin()
    while True:
        store.attempt_began()
        try:
            found = work()
            store.attempt_done()
        except ContextConflict:
            continue
        store.commit()
        return found


def resolve(store: ContextStore, *identities: NormalIdentity, at_ms: int = NOW) -> str:
    found = store.resolve("default", identities, at_ms=at_ms, create=True, now_ms=at_ms)
    assert found.customer_id is not None
    return found.customer_id


def rename(store: RedisContextStore, customer_id: str, name: str) -> None:
    change = ProfileChange(name=name)
    run(store, lambda: store.change_profile("default", customer_id, change, versions=None, actor="s", now_ms=NOW))


def test_a_customer_of_one_node_has_a_card_on_another(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    customer_id = run(one, lambda: resolve(one, identity("u-1")))
    run(one, lambda: one.change_profile("default", customer_id, ProfileChange(name="Ann"), versions=None, actor="s", now_ms=NOW))
    run(one, lambda: one.append_step("default", Step(NOW, "view", id="s"), customer_id=customer_id, identity=None, now_ms=NOW))
    context = ContactContext(intent="help")
    run(one, lambda: one.contacts.keep("default", "k", customer_id=customer_id, assurance=None, context=context, now_ms=NOW))
    run(one, lambda: one.contacts.add_note("default", "k", customer_id=customer_id, author="a", text="hello", now_ms=NOW))
    card = run(other, lambda: other.contacts.content("default", "k", customer_id=customer_id))
    assert card.customer is not None and card.customer.name == "Ann"
    assert [step.type for step in card.steps] == ["view"]
    assert card.context == context and [note.text for note in card.notes] == ["hello"]
    assert run(other, lambda: resolve(other, identity("u-1"))) == customer_id


def test_a_step_sent_to_two_nodes_counts_once(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    step = Step(NOW, "view", id="s-1")

    def send(node: RedisContextStore) -> bool:
        one_user = identity("u-1")
        return run(node, lambda: node.append_step("default", step, customer_id=None, identity=one_user, now_ms=NOW)).stored

    stored = [send(node) for node in (one, other, one)]
    assert stored == [True, False, False]


def test_an_operation_that_another_node_overtakes_runs_again(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    run(one, lambda: resolve(one, identity("u-0")))  # The workspace is there.
    one.begin()
    one.attempt_began()
    overtaken = resolve(one, identity("u-1"))
    known = run(other, lambda: resolve(other, identity("u-1")))
    with pytest.raises(ContextConflict):
        one.attempt_done()
    assert run(one, lambda: resolve(one, identity("u-1"))) == known != overtaken
    assert run(other, lambda: other.is_known("default", overtaken)) is False


def test_an_operation_that_failed_for_what_another_node_did_runs_again(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    customer_id = run(one, lambda: resolve(one, identity("u-1")))
    one.begin()
    one.attempt_began()
    one.customer("default", customer_id)
    erase(other, customer_id)
    with pytest.raises(ContextConflict):
        one.attempt_failed()


def test_the_first_customers_of_a_workspace_on_two_nodes(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    one.begin()
    one.attempt_began()
    resolve(one, identity("u-1"))
    known = run(other, lambda: resolve(other, identity("u-1")))
    with pytest.raises(ContextConflict):
        one.attempt_done()
    assert run(one, lambda: resolve(one, identity("u-1"))) == known


async def test_two_nodes_that_meet_the_same_customers_at_once_make_each_of_them_once(
    server: RedisServer, master: MasterKeys, prefix: str
) -> None:
    nodes = [ContextService(lambda: open_redis_context(server, master, prefix), SystemClock()) for _ in range(3)]
    for node in nodes:
        await node.start()

    def operation(number: int) -> Callable[[ContextStore], str]:
        both = [identity(f"u-{number}"), identity(f"d-{number % 7}", "device")]
        return lambda store: resolve(store, *both, at_ms=NOW + number)

    found = await asyncio.gather(*(node.run_in_time(operation(number), deadline_s=30) for number in range(60) for node in nodes))
    for _, stored in found:
        await stored
    ids = [customer_id for customer_id, _ in found]
    assert len(set(ids)) == 60 and all(len(set(ids[start : start + 3])) == 1 for start in range(0, len(ids), 3))
    for node in nodes:
        await node.stop()


def test_changes_are_told_to_the_other_nodes_without_what_they_hold(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    customer_id = run(one, lambda: resolve(one, identity("u-1")))
    step = Step(NOW, "view", id="s")
    run(one, lambda: one.append_step("default", step, customer_id=customer_id, identity=None, now_ms=NOW))
    run(one, lambda: one.change_profile("default", customer_id, ProfileChange(name="Ann"), versions=None, actor="s", now_ms=NOW))
    other.poll()
    told = other.take_changes()
    assert [(change.customer_id, change.kind, change.step) for change in told] == [
        (customer_id, CustomerChangeKind.STEP, None),
        (customer_id, CustomerChangeKind.PROFILE, None),
    ]
    assert [change.number for change in told] == [1, 2]
    one.poll()
    assert [change.step for change in one.take_changes()] == [step, None]
    other.poll()
    assert other.take_changes() == []


async def test_the_service_announces_what_other_nodes_change(server: RedisServer, master: MasterKeys, prefix: str) -> None:
    told: list[ContextChange] = []
    arrived = asyncio.Event()
    service = ContextService(lambda: open_redis_context(server, master, prefix), SystemClock())
    service.on_changed = told.extend
    service.observers.append(lambda _: arrived.set())
    await service.start()
    other = open_redis_context(server, master, prefix)
    customer_id = run(other, lambda: resolve(other, identity("u-1")))
    run(other, lambda: other.change_profile("default", customer_id, ProfileChange(name="A"), versions=None, actor="s", now_ms=NOW))
    async with asyncio.timeout(30):
        await arrived.wait()
    assert [(change.customer_id, change.kind) for change in told] == [(customer_id, CustomerChangeKind.PROFILE)]
    other.close()
    await service.stop()


def test_an_erased_customer_is_gone_on_the_other_nodes(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    customer_id = run(one, lambda: resolve(one, identity("u-1")))
    run(other, lambda: other.customer("default", customer_id))
    assert len(other._keys._cache) == 1
    erase(one, customer_id)
    with pytest.raises(ErasedCustomer):
        run(other, lambda: other.customer("default", customer_id))
    other.poll()
    assert [change.kind for change in other.take_changes()] == [CustomerChangeKind.ERASED]
    assert not other._keys._cache, "the plain key is still in memory"


def test_positions_of_changes_are_in_the_order_of_commits(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    run(one, lambda: resolve(one, identity("u-0")))
    one.begin()
    one.attempt_began()
    early = resolve(one, identity("u-1"))  # Begun first, committed last.
    late = run(other, lambda: resolve(other, identity("u-2")))
    page = run(other, lambda: other.changed_after("default", 0, limit=10))
    one.attempt_done()
    one.commit()
    rest = run(other, lambda: other.changed_after("default", page.position, limit=10))
    assert [view.customer_id for view in page.customers][-1:] == [late]
    assert [view.customer_id for view in rest.customers] == [early]


def test_work_that_two_nodes_follow_is_not_put_back(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    customer_id = run(one, lambda: resolve(one, identity("u-1")))
    opened = [WorkChange(contact_id="k", at_ms=NOW, customer_id=customer_id, state="open", channel="chat", queue_id="q")]
    ended = [WorkChange(contact_id="k", at_ms=NOW + 5, state="ended", disposition="solved")]
    run(one, lambda: one.contacts.record_work("default", opened, history_id="h", seq=5))
    run(one, lambda: one.contacts.record_work("default", ended, history_id="h", seq=9))
    reopened = [WorkChange(contact_id="k", at_ms=NOW + 1, state="open")]
    run(other, lambda: other.contacts.record_work("default", reopened, history_id="h", seq=7))
    assert run(other, lambda: other.contacts.cursor("default")) == ("h", 9)
    [work] = run(other, lambda: other.contacts.content("default", "k", customer_id=customer_id)).work
    assert work.state == "ended"


def test_a_node_with_other_master_keys_is_refused(open_node: OpenNode, server: RedisServer, prefix: str) -> None:
    open_node()
    with pytest.raises(ContextCorrupt, match=r"context-master\.json"):
        open_redis_context(server, new_master_keys(), prefix)


def test_a_node_that_was_cut_off_follows_again(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    customer_id = run(one, lambda: resolve(one, identity("u-1")))
    other.poll()
    for number in range(3):
        rename(one, customer_id, f"n{number}")
    other._polled_at = time.monotonic() - 60
    other.poll()
    assert len(other.take_changes()) == 3


def test_a_stored_reference_is_told_to_the_other_nodes_by_the_id_of_its_contact(
    open_node: OpenNode, server: RedisServer, prefix: str
) -> None:
    one, other = open_node(), open_node()
    customer_id = run(one, lambda: resolve(one, identity("u-1")))
    kept = [ContactReference("k1", "call-of-ann", customer_id), ContactReference("k2", "call-of-bob")]
    run(one, lambda: one.references.keep("default", kept, now_ms=NOW))
    other.poll()
    told = [change for change in other.take_changes() if change.kind is CustomerChangeKind.REFERENCE]
    assert [(change.workspace, change.contact_id, change.customer_id) for change in told] == [
        ("default", "k1", ""),
        ("default", "k2", ""),
    ]
    with server.client() as client:
        [key] = [key for key in client.keys("*") if prefix.encode() in key and key.endswith(b":changes")]
        assert b"call-of" not in repr(client.xrange(key)).encode()
    one.poll()
    assert all(change.kind is not CustomerChangeKind.REFERENCE for change in one.take_changes()), "it knows its own"
