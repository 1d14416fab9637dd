"""Contacts in the SQLite context store: context, notes and work, merges, erasure, retention, and announced changes."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from router.context.cards import NOTES_MAX, CardContent, CardStatus, ContactContext, TooManyNotes, WorkChange, card_of
from router.context.customers import ErasedCustomer
from router.context.identities import Assurance, Identity, NormalIdentity, normalise
from router.context.journey import Step
from router.context.keys import new_master_keys
from router.context.port import CustomerChangeKind
from router.context.sqlite.contacts import CONTACT_KEPT_MS
from router.context.sqlite.store import SqliteContextStore

NOW = 1_800_000_000_000
MASTER = new_master_keys()
SECRET = "wants to refinance at 3.9 %"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteContextStore]:
    opened = SqliteContextStore(tmp_path, MASTER)
    opened.begin()
    yield opened
    opened.close()


def identity(value: str, type: str = "app_user") -> NormalIdentity:
    return normalise(Identity(type=type, value=value, assurance=Assurance.VERIFIED), region="DE")


def create(store: SqliteContextStore, *identities: NormalIdentity) -> str:
    found = store.resolve("default", identities, at_ms=NOW, create=True, now_ms=NOW)
    assert found.customer_id is not None
    return found.customer_id


def keep(store: SqliteContextStore, contact_id: str, customer_id: str | None, text: str = SECRET) -> None:
    context = ContactContext(screen="loan/rates", summary=text)
    store.contacts.keep("default", contact_id, customer_id=customer_id, assurance=Assurance.ASSERTED, context=context, now_ms=NOW)


def note(store: SqliteContextStore, contact_id: str, customer_id: str | None, text: str, at_ms: int = NOW) -> None:
    store.contacts.add_note("default", contact_id, customer_id=customer_id, author="agent:ada", text=text, now_ms=at_ms)


def work(contact_id: str, customer_id: str | None = None, **fields: object) -> WorkChange:
    return WorkChange(contact_id=contact_id, customer_id=customer_id, at_ms=NOW, **fields)  # type: ignore[arg-type]


def test_the_card_content_of_a_contact_has_everything(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("u-1"))
    keep(store, "c1", customer_id)
    note(store, "c1", customer_id, "call back")
    store.append_step("default", Step(NOW, "page", "rates"), customer_id=customer_id, identity=None, now_ms=NOW)
    content = store.contacts.content("default", "c1", customer_id=customer_id)
    assert content.context == ContactContext(screen="loan/rates", summary=SECRET)
    assert [one.text for one in content.notes] == ["call back"]
    assert [one.name for one in content.steps] == ["rates"]
    assert content.assurance is Assurance.ASSERTED and content.customer is not None
    assert card_of(content, contact_id="c1").status is CardStatus.COMPLETE


def test_a_contact_without_a_customer_keeps_its_context(store: SqliteContextStore) -> None:
    keep(store, "c1", None)
    note(store, "c1", None, "hello")
    note(store, "c2", None, "first note without a context")
    content = store.contacts.content("default", "c1", customer_id=None)
    assert content.context is not None and content.customer is None and [one.text for one in content.notes] == ["hello"]
    assert [one.text for one in store.contacts.content("default", "c2", customer_id=None).notes] == ["first note without a context"]
    assert store.contacts.content("default", "c3", customer_id=None).context is None


def test_nothing_of_a_contact_is_in_the_file_in_clear(store: SqliteContextStore, tmp_path: Path) -> None:
    keep(store, "c1", create(store, identity("u-1")))
    note(store, "c1", None, SECRET)
    store.commit()
    store.close()
    assert all(b"refinance" not in path.read_bytes() for path in tmp_path.iterdir() if path.is_file())


def test_a_contact_has_at_most_50_notes(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("u-1"))
    for number in range(NOTES_MAX):
        note(store, "c1", customer_id, str(number))
    with pytest.raises(TooManyNotes):
        note(store, "c1", customer_id, "one more")
    note(store, "c2", customer_id, "another contact")


def test_merged_customers_show_the_work_and_notes_of_all_and_get_their_own_back(store: SqliteContextStore) -> None:
    first, second = create(store, identity("u-1")), create(store, identity("0151 1234567", "phone"))
    changes = [work("c1", first, state="open", channel="voice", queue_id="q"), work("c2", second, channel="chat", queue_id="q")]
    store.contacts.record_work("default", changes, history_id="h", seq=2)
    note(store, "c1", first, "of the first", NOW)
    note(store, "c2", second, "of the second", NOW + 1)
    merged = store.merge("default", first, second, actor="s", reason="same", now_ms=NOW)
    for customer_id in (first, second):
        content = store.contacts.content("default", "c3", customer_id=customer_id)
        assert {one.contact_id for one in content.work} == {"c1", "c2"}
        assert [one.text for one in content.notes] == ["of the first", "of the second"]
    store.undo_merge("default", merged.merge_id, actor="s", now_ms=NOW)
    assert [one.contact_id for one in store.contacts.content("default", "c3", customer_id=second).work] == ["c2"]


def test_work_is_updated_by_events_and_its_position_is_stored_with_it(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("u-1"))
    assert store.contacts.cursor("default") is None
    store.contacts.record_work("default", [work("c1", customer_id, channel="voice", queue_id="q")], history_id="h", seq=3)
    updates = [work("c1", agent_id="ada"), work("c1", state="ended"), work("c1", disposition="sold"), work("c9", state="ended")]
    for _ in range(2):  # Delivered again after a crash.
        store.contacts.record_work("default", updates, history_id="h", seq=9)
    [one] = store.contacts.content("default", "c2", customer_id=customer_id).work
    assert (one.state, one.agent_id, one.disposition, one.channel) == ("ended", "ada", "sold", "voice")
    assert store.contacts.cursor("default") == ("h", 9)


def test_an_erasure_takes_contacts_and_notes_along(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("u-1"))
    keep(store, "c1", customer_id)
    note(store, "c1", customer_id, "x")
    store.contacts.record_work("default", [work("c1", customer_id, channel="voice", queue_id="q")], history_id="h", seq=3)
    store.commit()
    assert store.erase("default", customer_id, now_ms=NOW)
    store.begin()
    for table in ("contact", "note", "work"):
        assert store._data.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)]
    content = store.contacts.content("default", "c1", customer_id=customer_id)
    assert card_of(content, contact_id="c1").status is CardStatus.ERASED
    with pytest.raises(ErasedCustomer):
        note(store, "c1", customer_id, "late")


def test_an_export_holds_contacts_and_notes(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("u-1"))
    note(store, "c1", customer_id, "x")
    store.contacts.record_work("default", [work("c1", customer_id, channel="voice", queue_id="q")], history_id="h", seq=3)
    export = store.export("default", customer_id)
    assert [one.contact_id for one in export.contacts] == ["c1"] and [one.text for one in export.notes] == ["x"]


def test_old_contacts_are_deleted_by_retention(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("u-1"))
    keep(store, "c1", customer_id)
    keep(store, "c2", None)
    note(store, "c1", customer_id, "x")
    store.commit()
    store.maintain(now_ms=NOW + CONTACT_KEPT_MS - 1)
    assert store._data.execute("SELECT count(*) FROM contact").fetchall() == [(2,)]
    store.maintain(now_ms=NOW + CONTACT_KEPT_MS + 1)
    assert store._data.execute("SELECT count(*) FROM contact").fetchall() == [(0,)]
    assert store._data.execute("SELECT count(*) FROM note").fetchall() == [(0,)]
    # The row that stood for the contact alone is gone, with its key; the customer is still there.
    assert store._data.execute("SELECT count(*) FROM customer").fetchall() == [(1,)]


def test_durable_changes_are_announced_and_those_of_a_failed_operation_are_not(store: SqliteContextStore) -> None:
    first, second = create(store, identity("u-1")), create(store, identity("0151 1234567", "phone"))
    store.take_changes()
    step = Step(NOW, "page", "rates", id="s")
    for _ in range(2):
        store.append_step("default", step, customer_id=first, identity=None, now_ms=NOW)
    note(store, "c1", first, "x")
    store.merge("default", first, second, actor="s", reason="same", now_ms=NOW)
    found = store.take_changes()
    assert [(one.kind, one.step) for one in found[:2]] == [(CustomerChangeKind.STEP, step), (CustomerChangeKind.NOTE, None)]
    assert {one.customer_id for one in found if one.kind is CustomerChangeKind.PROFILE} == {first, second}
    store.attempt_began()
    note(store, "c1", first, "y")
    store.attempt_failed()
    assert store.take_changes() == []


def test_a_resumed_contact_has_what_came_with_the_submit_and_no_older_proof(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("u-1"))
    later = NOW + 1_000

    def content(contact_id: str = "c1") -> CardContent:
        return store.contacts.content("default", contact_id, customer_id=customer_id)

    def verified(text: str = SECRET) -> None:
        context = ContactContext(summary=text)
        store.contacts.keep("default", "c1", customer_id=customer_id, assurance=Assurance.VERIFIED, context=context, now_ms=NOW)

    verified()
    keep(store, "c2", customer_id, "wants a loan")
    resumed = store.contacts.resume("default", "c1", customer_id=customer_id, submitted_as="c2", at_ms=later)
    assert resumed == content() and resumed.assurance is Assurance.ASSERTED
    assert resumed.context is not None and resumed.context.summary == "wants a loan"
    verified()
    nothing = store.contacts.resume("default", "c1", customer_id=customer_id, submitted_as="unknown", at_ms=later)
    assert nothing == content() and nothing.assurance is Assurance.ASSERTED
    assert nothing.context is not None and nothing.context.summary == SECRET

    def read_from_the_feed() -> None:
        change = msgspec.structs.replace(work("c1", state="open", submitted_as="c2"), at_ms=later)
        store.contacts.record_work("default", [change], history_id="h", seq=1)

    # The router was killed before it was stored: the feed says so after the start. What is proved later stays.
    verified()
    read_from_the_feed()
    assert content().assurance is Assurance.ASSERTED
    store.contacts.raise_assurance("default", "c1", customer_id=customer_id, assurance=Assurance.VERIFIED, now_ms=later)
    read_from_the_feed()
    assert content().assurance is Assurance.VERIFIED


@pytest.mark.parametrize("damage", ["the key", "the context"])
def test_a_customer_who_cannot_be_read_costs_no_change_of_another(store: SqliteContextStore, damage: str) -> None:
    damaged, other = create(store, identity("u-1")), create(store, identity("u-2"))
    for contact_id, customer_id in (("c1", damaged), ("c2", other)):
        keep(store, contact_id, customer_id)
        store.contacts.record_work("default", [work(contact_id, customer_id)], history_id="h", seq=1)
    row = store._table("default").row_of(damaged)
    if damage == "the key":
        store._keys._connection.execute("UPDATE customer_key SET wrapped = zeroblob(60) WHERE row = ?", (row,))
        store._keys._cache.clear()
    else:
        store._data.execute("UPDATE contact SET content = zeroblob(60) WHERE row = ?", (row,))
    resumed = msgspec.structs.replace(work("c1", state="open", submitted_as="c3"), at_ms=NOW + 1)
    store.contacts.record_work("default", [resumed, work("c2", state="ended")], history_id="h", seq=3)
    content = store.contacts.content("default", "c2", customer_id=other)
    assert [one.state for one in content.work] == ["ended"] and store.contacts.cursor("default") == ("h", 3)
