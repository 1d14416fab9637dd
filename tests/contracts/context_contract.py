"""What every backend of the customer context guarantees; see ``ContextStore``. The tests of a backend inherit from it."""

import itertools
import time
from collections.abc import Callable

import pytest

from router.context.cards import ContactContext
from router.context.customers import ErasedCustomer, NotErasable, ProfileChange, UnknownCustomer
from router.context.identities import Assurance, Identity, NormalIdentity, normalise
from router.context.journey import Step
from router.context.port import ContactReference, ContextStore, CustomerChangeKind
from router.context.sqlite.references import BLOCK_SIZE

NOW = 1_800_000_000_000
OpenStore = Callable[[], ContextStore]


def identity(type: str, value: str) -> NormalIdentity:
    return normalise(Identity(type=type, value=value, assurance=Assurance.VERIFIED), region="DE")


def create(store: ContextStore, *identities: NormalIdentity, at_ms: int = NOW) -> str:
    found = store.resolve("default", identities, at_ms=at_ms, create=True, now_ms=at_ms)
    assert found.customer_id is not None
    return found.customer_id


def erase(store: ContextStore, customer_id: str) -> None:
    """Erase, again until it is complete, as the service does."""
    until_s = time.monotonic() + 10
    while not store.erase("default", customer_id, now_ms=NOW):
        assert time.monotonic() < until_s
        time.sleep(0.02)


def erase_references(store: ContextStore, contact_ids: list[str]) -> None:
    """Erase references, again until it is complete."""
    until_s = time.monotonic() + 10
    while not store.erase_references("default", contact_ids, now_ms=NOW):
        assert time.monotonic() < until_s
        time.sleep(0.02)


class ContextContract:
    """Tests of the guarantees. ``open_store`` opens the same storage again after it was closed."""

    def test_a_committed_group_is_there_after_opening_again(self, open_store: OpenStore) -> None:
        store = open_store()
        store.begin()
        customer_id = create(store, identity("app_user", "u-1"))
        store.append_step("default", Step(NOW, "view", id="s-1"), customer_id=customer_id, identity=None, now_ms=NOW)
        store.commit()
        store.begin()
        lost = create(store, identity("app_user", "u-2"))
        store.close()
        again = open_store()
        again.begin()
        assert len(again.steps("default", customer_id, limit=10)) == 1
        with pytest.raises(UnknownCustomer):
            again.customer("default", lost)
        again.close()

    def test_a_failed_operation_is_undone_alone(self, open_store: OpenStore) -> None:
        store = open_store()
        store.begin()
        kept = create(store, identity("app_user", "u-1"))
        store.attempt_began()
        lost = create(store, identity("app_user", "u-2"))
        store.attempt_failed()
        store.commit()
        store.begin()
        assert store.is_known("default", kept) and not store.is_known("default", lost)
        store.close()

    def test_a_repeated_step_counts_once(self, open_store: OpenStore) -> None:
        store = open_store()
        store.begin()
        customer_id = create(store, identity("app_user", "u-1"))
        step = Step(NOW, "view", id="s-1")
        results = [store.append_step("default", step, customer_id=customer_id, identity=None, now_ms=NOW).stored for _ in range(2)]
        assert results == [True, False]
        store.close()

    def test_a_merge_is_undone_exactly(self, open_store: OpenStore) -> None:
        store = open_store()
        store.begin()
        one, other = create(store, identity("app_user", "u-1")), create(store, identity("email", "a@example.org"))
        store.change_profile("default", other, ProfileChange(name="Ann"), versions=None, actor="s", now_ms=NOW)

        def shown() -> object:
            views = [store.customer("default", each) for each in (one, other)]
            return [(view.name, view.identities, view.merged_into, view.members) for view in views]

        before = shown()
        merge = store.merge("default", one, other, actor="s", reason="r", now_ms=NOW)
        assert store.customer("default", other).merged_into == one
        store.undo_merge("default", merge.merge_id, actor="s", now_ms=NOW)
        assert shown() == before
        store.close()

    def test_resolution_does_not_depend_on_the_order_of_arrival(self, open_store: OpenStore) -> None:
        store = open_store()
        store.begin()
        groups = set()
        for turn, order in enumerate(itertools.permutations(range(3))):
            workspace = f"w{turn}"
            reports = [
                [identity("device", "d-1")],
                [identity("app_user", "u-1"), identity("device", "d-1")],
                [identity("app_user", "u-2"), identity("device", "d-1")],
            ]
            for number in order:
                at_ms = NOW + number
                store.resolve(workspace, reports[number], at_ms=at_ms, create=True, now_ms=NOW + 10)
            owners = [
                store.resolve(workspace, [one], at_ms=NOW + 20, create=False, now_ms=NOW + 20).customer_id
                for one in (identity("device", "d-1"), identity("app_user", "u-1"), identity("app_user", "u-2"))
            ]
            groups.add((owners[0] == owners[1], owners[0] == owners[2], owners[1] == owners[2]))
        assert groups == {(False, True, False)}
        store.close()

    def test_an_erased_customer_is_gone_for_good(self, open_store: OpenStore) -> None:
        store = open_store()
        store.begin()
        user = identity("app_user", "u-1")
        customer_id = create(store, user)
        store.commit()
        erase(store, customer_id)
        store.begin()
        late = store.append_step("default", Step(NOW, "view"), customer_id=None, identity=user, now_ms=NOW + 1)
        assert not late.stored and late.customer_id is None
        store.commit()
        store.close()
        again = open_store()
        with pytest.raises(ErasedCustomer):
            again.customer("default", customer_id)
        again.close()

    def test_contacts_without_a_customer_are_listed_for_their_erasure(self, open_store: OpenStore) -> None:
        store = open_store()
        store.begin()
        known = create(store, identity("app_user", "u-1"))
        context = ContactContext(summary="wants a refund")
        for number in range(3):
            customer_id = known if number == 0 else None
            store.contacts.keep("default", f"k{number}", customer_id=customer_id, assurance=None, context=context, now_ms=NOW)
            reference = ContactReference(f"k{number}", f"call-{number}", customer_id)
            store.references.keep("default", [reference], now_ms=NOW + number * 24 * 3_600_000)
        store.commit()
        store.begin()
        contacts = store.contacts.ids_without_customer("default", limit=10)
        days = store.references.ids_without_customer("default", limit=10)
        assert len(store.contacts.ids_without_customer("default", limit=1)) == 1
        store.commit()
        assert (len(set(contacts)), len(set(days)), len({*contacts, *days, known})) == (2, 2, 5)
        for customer_id in contacts + days:
            erase(store, customer_id)
        store.begin()
        assert store.contacts.ids_without_customer("default", limit=10) == []
        assert store.references.ids_without_customer("default", limit=10) == []
        assert set(store.references.read("default", ["k0", "k1", "k2"])) == {"k0"}
        assert store.contacts.content("default", "k1", customer_id=None).context is None
        assert store.contacts.content("default", "k0", customer_id=known).context == context
        store.close()

    def test_the_reference_of_a_contact_without_a_customer_is_erased_alone(self, open_store: OpenStore) -> None:
        """Its key shares it with others, which stay readable; those of a customer go with the customer."""
        store = open_store()
        names = [f"k{number}" for number in range(BLOCK_SIZE + 20)]
        store.begin()
        known = create(store, identity("app_user", "u-1"))
        for start in range(0, len(names), 50):
            part = [ContactReference(name, f"call-{name}") for name in names[start : start + 50]]
            store.references.keep("default", part, now_ms=NOW)
        store.references.keep("default", [ContactReference("owned", "call-owned", known)], now_ms=NOW)
        before = store.references.ids_without_customer("default", limit=10)
        store.commit()
        assert len(before) == 2, "a key seals a bounded number of references"
        store.take_changes()
        for _ in range(2):
            erase_references(store, ["k7", "never"])
        changes = [(one.kind, one.contact_id) for one in store.take_changes() if one.contact_id]
        assert changes == [(CustomerChangeKind.REFERENCE_ERASED, "k7")]
        with pytest.raises(NotErasable):
            store.erase_references("default", ["owned"], now_ms=NOW)
        for opened in range(2):
            again = open_store() if opened else store
            again.begin()
            found = again.references.read("default", [*names, "owned"])
            assert {name: one.reference for name, one in found.items()} == {
                name: f"call-{name}" for name in (*names, "owned") if name != "k7"
            }
            after = again.references.ids_without_customer("default", limit=10)
            assert before[0] not in after and before[1] in after, "the key of the erased one is gone"
            again.commit()
            again.maintain(now_ms=NOW)
            again.close()
