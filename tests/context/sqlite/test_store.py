"""The SQLite context store: customers, journeys, merges, search, erasure and damage of its files."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.context.customers import (
    Consent,
    ContextCorrupt,
    ContextUnavailable,
    ErasedCustomer,
    IdentityTaken,
    ProfileChange,
    UnknownCustomer,
    UnknownIdentity,
    VersionMismatch,
)
from router.context.identities import Assurance, Identity, NormalIdentity, normalise
from router.context.journey import STEPS_MAX, Step
from router.context.keys import SealBroken, new_master_keys
from router.context.sqlite import journeys
from router.context.sqlite.database import ContextFiles
from router.context.sqlite.journeys import JourneyTable
from router.context.sqlite.store import SqliteContextStore

NOW = 1_800_000_000_000
MASTER = new_master_keys()


def identity(type: str, value: str, assurance: Assurance = Assurance.VERIFIED) -> NormalIdentity:
    return normalise(Identity(type=type, value=value, assurance=assurance), region="DE")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "context"


@pytest.fixture
def store(directory: Path) -> Iterator[SqliteContextStore]:
    opened = SqliteContextStore(directory, MASTER)
    opened.begin()
    yield opened
    opened.close()


def create(store: SqliteContextStore, *identities: NormalIdentity, at_ms: int = NOW) -> str:
    found = store.resolve("default", identities, at_ms=at_ms, create=True, now_ms=at_ms)
    assert found.customer_id is not None
    return found.customer_id


def append(store: SqliteContextStore, customer_id: str, *steps: Step) -> list[bool]:
    return [store.append_step("default", step, customer_id=customer_id, identity=None, now_ms=NOW).stored for step in steps]


def restart(store: SqliteContextStore, directory: Path) -> SqliteContextStore:
    store.commit()
    store.close()
    again = SqliteContextStore(directory, MASTER)
    again.begin()
    return again


def test_everything_is_there_after_a_restart(store: SqliteContextStore, directory: Path) -> None:
    customer_id = create(store, identity("app_user", "u-7"), identity("phone", "0151 1234567"))
    change = ProfileChange(name="Anna Müller", tier="gold", consents={"ads": Consent(granted=True, at_ms=5, source="app")})
    store.change_profile("default", customer_id, change, versions=None, actor="gateway:web", now_ms=NOW)
    append(store, customer_id, Step(NOW, "payment", "invoice", "failed", id="s-1"))
    before = store.customer("default", customer_id, unmasked=True), store.steps("default", customer_id, limit=20)
    again = restart(store, directory)
    assert (again.customer("default", customer_id, unmasked=True), again.steps("default", customer_id, limit=20)) == before
    assert {one.value for one in before[0].identities} == {"u-7", "+491511234567"}
    assert append(again, customer_id, Step(NOW, "payment", "invoice", "failed", id="s-1")) == [False]
    again.close()


def test_no_file_holds_what_a_customer_said_or_did(store: SqliteContextStore, directory: Path) -> None:
    customer_id = create(store, identity("email", "canary-mail@example.org"), identity("phone", "+4915155512345"))
    store.change_profile("default", customer_id, ProfileChange(name="Canary Name"), versions=None, actor="gateway:web", now_ms=NOW)
    for number in range(40):
        append(store, customer_id, Step(NOW + number, "search", data={"text": f"canary-search-{number}"}))
    store.commit()
    content = b"".join(path.read_bytes() for path in directory.iterdir())
    for word in (b"canary-mail", b"15155512345", b"Canary Name", b"canary-search"):
        assert word not in content


def test_identities_are_masked_unless_asked_for(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("phone", "+4915155512345"), identity("email", "anna@example.org"))
    values = {one.value for one in store.customer("default", customer_id).identities}
    assert values == {"+49…45", "a…@example.org"}


def test_steps_are_kept_by_their_own_time_and_bounded(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("app_user", "u-1"))
    times = [NOW + (number * 7919) % 1000 for number in range(STEPS_MAX + 30)]
    append(store, customer_id, *(Step(at_ms, "view", id=f"s-{number}") for number, at_ms in enumerate(times)))
    found = [step.at_ms for step in store.steps("default", customer_id, limit=1_000)]
    assert len(found) == STEPS_MAX and found == sorted(times)[-STEPS_MAX:]
    assert append(store, customer_id, Step(times[-1], "view", id=f"s-{len(times) - 1}")) == [False]


def test_steps_in_memory_are_those_of_the_file_and_go_with_their_customer(
    store: SqliteContextStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journeys, "PLAIN_STEPS_MAX", 40)
    ids, draw = [create(store, identity("app_user", f"u-{number}")) for number in range(5)], random.Random(7)
    for number in range(400):
        data = {"rate": 1.5, "items": [1, {"sku": "a"}]} if number % 3 else {}
        step = Step(NOW - draw.randrange(1_000), "view", f"page-{number}", data=data, refs=(("image", "s3://x", 7),))
        store.attempt_began()
        append(store, draw.choice(ids), step)
        # Now and then an operation fails after it has written.
        store.attempt_failed() if number % 50 == 25 else store.attempt_done()
        assert store._journeys._plain_steps <= 40
        if number % 20 == 19:
            before = [store.steps("default", one, limit=STEPS_MAX) for one in ids]
            table = JourneyTable(store._data, key_of=store._key_of)
            assert [table.steps(row) for row in range(1, 6)] == before
    assert sum(map(len, before)) == 392 and store._journeys._plain_steps
    store.commit()
    for one in ids:
        store.erase("default", one, now_ms=NOW)
    assert (store._journeys._plain_steps, len(store._journeys._plain)) == (0, 0)
    assert not [tail for tail in store._journeys._tails.values() if tail.plain]


def test_a_step_of_an_unknown_device_makes_an_anonymous_customer(store: SqliteContextStore) -> None:
    device = identity("device", "d-1", Assurance.ASSERTED)
    first = store.append_step("default", Step(NOW, "view"), customer_id=None, identity=device, now_ms=NOW)
    again = store.append_step("default", Step(NOW + 1, "view"), customer_id=None, identity=device, now_ms=NOW)
    assert first.customer_id == again.customer_id and first.customer_id is not None
    assert store.customer("default", first.customer_id).is_anonymous


def test_merging_and_undoing_shows_the_same_as_before(store: SqliteContextStore) -> None:
    one = create(store, identity("app_user", "u-7"))
    other = create(store, identity("phone", "+4915155512345"), at_ms=NOW + 1)
    store.change_profile("default", one, ProfileChange(tier="gold"), versions=None, actor="s", now_ms=NOW)
    store.change_profile("default", other, ProfileChange(name="Anna", tier="basic"), versions=None, actor="s", now_ms=NOW)
    append(store, one, Step(NOW, "payment"), Step(NOW + 2, "view"))
    append(store, other, Step(NOW + 1, "call"))

    def shown(customer_id: str) -> object:
        view = store.customer("default", customer_id, unmasked=True)
        return view.name, view.tier, view.identities, view.members, store.steps("default", customer_id, limit=20)

    before = shown(one), shown(other)
    merged = store.merge("default", one, other, actor="supervisor:s", reason="same person", now_ms=NOW + 5)
    view = store.customer("default", other)
    assert (view.merged_into, view.name, view.tier) == (one, "Anna", "gold") and merged.customer_id == one
    assert [step.type for step in store.steps("default", other, limit=20)] == ["payment", "call", "view"]
    store.undo_merge("default", merged.merge_id, actor="supervisor:s", now_ms=NOW + 6)
    assert (shown(one), shown(other)) == before


def test_what_comes_by_an_identity_after_a_merge_goes_with_it_when_undone(store: SqliteContextStore) -> None:
    user, phone = identity("app_user", "u-7"), identity("phone", "+4915155512345")
    one, other = create(store, user), create(store, phone, at_ms=NOW + 1)
    merged = store.merge("default", one, other, actor="s", reason="r", now_ms=NOW)
    for number, each in enumerate([user, phone]):
        result = store.append_step("default", Step(NOW + number, "view", id=each.type), customer_id=None, identity=each, now_ms=NOW)
        assert result.customer_id == one
    store.undo_merge("default", merged.merge_id, actor="s", now_ms=NOW)
    assert [step.id for step in store.steps("default", one, limit=9)] == ["app_user"]
    assert [step.id for step in store.steps("default", other, limit=9)] == ["phone"]


def test_a_profile_is_changed_as_a_merge_patch_under_a_version(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("app_user", "u-1"))
    first = store.change_profile(
        "default", customer_id, ProfileChange(name="Anna", tier="gold"), versions=None, actor="s", now_ms=NOW
    )
    second = store.change_profile(
        "default", customer_id, ProfileChange(tier=None), versions=frozenset({first.version}), actor="s", now_ms=NOW
    )
    assert (second.name, second.tier) == ("Anna", None) and second.version > first.version
    with pytest.raises(VersionMismatch):
        store.change_profile(
            "default", customer_id, ProfileChange(name="B"), versions=frozenset({first.version}), actor="s", now_ms=NOW
        )


def test_names_are_found_by_the_beginnings_of_their_words(store: SqliteContextStore) -> None:
    ids = {}
    for name in ["Anna Müller", "Anton Muster", "Bernd Müllerson"]:
        ids[name] = create(store, identity("app_user", name))
        store.change_profile("default", ids[name], ProfileChange(name=name), versions=None, actor="s", now_ms=NOW)

    def search(text: str) -> set[str]:
        page = store.search("default", identity=None, name=text, after_row=0, limit=10)
        return {one.customer_id for one in page.customers}

    assert search("mull") == {ids["Anna Müller"], ids["Bernd Müllerson"]}
    assert search("AN MU") == {ids["Anna Müller"], ids["Anton Muster"]}
    assert search("x") == search("nna") == set()
    store.change_profile("default", ids["Anton Muster"], ProfileChange(name="Zoe"), versions=None, actor="s", now_ms=NOW)
    assert search("anton") == set() and search("zoe") == {ids["Anton Muster"]}
    pages = [store.search("default", identity=None, name="mull", after_row=0, limit=1)]
    assert pages[0].next_row is not None
    pages.append(store.search("default", identity=None, name="mull", after_row=pages[0].next_row, limit=1))
    assert len({one.customer_id for page in pages for one in page.customers}) == 2 and pages[1].next_row is None


def test_attaching_and_detaching_an_identity(store: SqliteContextStore) -> None:
    one, other = create(store, identity("app_user", "u-1")), create(store, identity("app_user", "u-2"))
    _, attached = store.attach("default", one, identity("email", "anna@example.org"), now_ms=NOW)
    with pytest.raises(IdentityTaken):
        store.attach("default", other, identity("email", "anna@example.org"), now_ms=NOW)
    with pytest.raises(UnknownIdentity):
        store.detach("default", other, attached.number)
    store.detach("default", one, attached.number)
    store.attach("default", other, identity("email", "anna@example.org"), now_ms=NOW)


# --- erasure ---------------------------------------------------------------------------------


def wrapped_keys(directory: Path) -> list[bytes]:
    with sqlite3.connect(directory / "context-keys.db") as connection:
        found = [bytes(wrapped) for (wrapped,) in connection.execute("SELECT wrapped FROM customer_key")]
    connection.close()
    return found


def all_bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()))


def test_after_an_erasure_no_byte_of_the_key_is_left(store: SqliteContextStore, directory: Path) -> None:
    customer_id = create(store, identity("app_user", "u-1"))
    append(store, customer_id, Step(NOW, "payment"))
    store.commit()
    [wrapped] = wrapped_keys(directory)
    assert wrapped in all_bytes(directory)
    assert store.erase("default", customer_id, now_ms=NOW)
    assert wrapped not in all_bytes(directory)
    with pytest.raises(ErasedCustomer):
        store.customer("default", customer_id)
    store.begin()


def test_an_erasure_that_skips_the_checkpoint_is_noticed(
    store: SqliteContextStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer_id = create(store, identity("app_user", "u-1"))
    store.commit()
    store._files.truncate_log(store._files.keys)
    [wrapped] = wrapped_keys(directory)
    monkeypatch.setattr(store._files, "truncate_log", lambda connection: True)
    assert store.erase("default", customer_id, now_ms=NOW)
    assert wrapped in all_bytes(directory)
    store.begin()


def test_an_erasure_waits_for_a_reader(store: SqliteContextStore, directory: Path) -> None:
    customer_id = create(store, identity("app_user", "u-1"))
    store.commit()
    assert isinstance(store._files, ContextFiles)
    reader = store._files.open_key_reader()
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM customer_key").fetchall() == [(1,)]
    assert not store.erase("default", customer_id, now_ms=NOW)
    reader.execute("COMMIT")
    reader.close()
    assert store.erase("default", customer_id, now_ms=NOW)
    store.begin()


def test_late_steps_of_an_erased_customer_are_dropped(store: SqliteContextStore) -> None:
    user = identity("app_user", "u-1")
    customer_id = create(store, user)
    store.commit()
    store.erase("default", customer_id, now_ms=NOW)
    store.begin()
    late = store.append_step("default", Step(NOW, "view"), customer_id=None, identity=user, now_ms=NOW + 1)
    assert late.customer_id is None and not late.stored
    assert create(store, user) != customer_id
    again = store.append_step("default", Step(NOW, "view"), customer_id=None, identity=user, now_ms=NOW + 2)
    assert again.customer_id is None, "what the erased customer did must not come back with the new one"
    assert store.append_step("default", Step(NOW + 1, "view"), customer_id=None, identity=user, now_ms=NOW + 2).stored


def test_an_erasure_covers_all_members(store: SqliteContextStore, directory: Path) -> None:
    one, other = create(store, identity("app_user", "u-1")), create(store, identity("phone", "+4915155512345"))
    store.merge("default", one, other, actor="s", reason="r", now_ms=NOW)
    store.commit()
    assert store.erase("default", other, now_ms=NOW) and wrapped_keys(directory) == []
    for customer_id in (one, other):
        with pytest.raises(ErasedCustomer):
            store.customer("default", customer_id)
    store.begin()


def test_a_key_file_that_is_older_than_the_data_is_refused(store: SqliteContextStore, directory: Path) -> None:
    create(store, identity("app_user", "u-1"))
    store.commit()
    store._files.truncate_log(store._files.keys)
    older = (directory / "context-keys.db").read_bytes()
    store.begin()
    later = create(store, identity("app_user", "u-2"))
    store.commit()
    store.close()
    newer = (directory / "context-keys.db").read_bytes()
    (directory / "context-keys.db").write_bytes(older)
    with pytest.raises(ContextCorrupt, match="1 customers have no key"):
        SqliteContextStore(directory, MASTER)
    (directory / "context-keys.db").write_bytes(newer)
    again = SqliteContextStore(directory, MASTER)
    assert again.customer("default", later).customer_id == later, "a refused start changes nothing"
    again.close()


def put_back_older_data(store: SqliteContextStore, directory: Path) -> tuple[str, str, bytes]:
    """Put a copy of the data back that lacks the second of two customers; return both and the newer data."""
    first = create(store, identity("app_user", "u-1"))
    store.commit()
    store._files.truncate_log(store._files.data)
    older = (directory / "context.db").read_bytes()
    store.begin()
    second = create(store, identity("app_user", "u-2"))
    store.commit()
    store.close()
    newer = (directory / "context.db").read_bytes()
    (directory / "context.db").write_bytes(older)
    return first, second, newer


def test_data_that_lack_customers_of_the_key_file_are_refused(store: SqliteContextStore, directory: Path) -> None:
    first, second, newer = put_back_older_data(store, directory)
    for _ in range(2):
        with pytest.raises(ContextCorrupt, match=r"context\.db is older than context-keys\.db: it lacks 1 customers"):
            SqliteContextStore(directory, MASTER)
    (directory / "context.db").write_bytes(newer)
    again = SqliteContextStore(directory, MASTER)
    assert again.customer("default", first).customer_id == first
    assert again.customer("default", second).customer_id == second, "a refused start deletes no key"
    again.close()


def test_older_data_are_accepted_for_one_start(store: SqliteContextStore, directory: Path) -> None:
    first, second, newer = put_back_older_data(store, directory)
    older = (directory / "context.db").read_bytes()
    (directory / "accept-older-data").touch()
    again = SqliteContextStore(directory, MASTER)
    assert not (directory / "accept-older-data").exists()
    assert again.customer("default", first).customer_id == first
    with pytest.raises(UnknownCustomer):
        again.customer("default", second)
    again.begin()
    third = create(again, identity("app_user", "u-3"))
    again.commit()
    row_of = "SELECT row FROM customer WHERE customer_id = ?"
    assert again._files.data.execute(row_of, (bytes.fromhex(third[2:]),)).fetchall() == [(3,)], "a row is not used again"
    again.close()
    (directory / "context.db").write_bytes(older)
    with pytest.raises(ContextCorrupt, match="it lacks 1 customers"):
        SqliteContextStore(directory, MASTER)
    (directory / "context.db").write_bytes(newer)
    with pytest.raises(ContextCorrupt, match="it lacks 1 customers"):
        SqliteContextStore(directory, MASTER)


@pytest.mark.parametrize("killed_in", ["data", "nothing"])
def test_an_end_of_the_process_between_both_commits_is_no_older_data(
    store: SqliteContextStore, directory: Path, tmp_path: Path, killed_in: str
) -> None:
    first = create(store, identity("app_user", "u-1"))
    store.commit()
    store.begin()
    second = create(store, identity("app_user", "u-2"))
    if killed_in == "data":
        store._files.data.set_trace_callback(lambda sql: _copy_at(sql, directory, tmp_path / "copy"))
    store.commit()
    if killed_in == "nothing":
        _copy_at("COMMIT", directory, tmp_path / "copy")
    store._files.data.set_trace_callback(None)
    again = SqliteContextStore(tmp_path / "copy", MASTER)
    assert again.customer("default", first).customer_id == first
    assert again.is_known("default", second) is (killed_in == "nothing")
    again.close()
    store.begin()


def _copy_at(sql: str, directory: Path, copy: Path) -> None:
    if sql == "COMMIT":
        shutil.copytree(directory, copy)


def test_an_idle_customer_is_erased(store: SqliteContextStore, directory: Path) -> None:
    old, new = create(store, identity("app_user", "u-1"), at_ms=1_000), create(store, identity("app_user", "u-2"))
    store.commit()
    store.maintain(now_ms=NOW)
    store.begin()
    with pytest.raises(ErasedCustomer):
        store.customer("default", old)
    assert store.customer("default", new).customer_id == new


# --- keys and damage ----------------------------------------------------------------------------


def test_a_new_master_key_wraps_every_key_again(store: SqliteContextStore, directory: Path) -> None:
    ids = [create(store, identity("app_user", f"u-{number}")) for number in range(5)]
    rotated = MASTER.with_new_key()
    store.use_master_keys(rotated)
    remaining: list[int] = []
    while not remaining or remaining[-1]:
        remaining.append(store.rewrap(limit=2))
    assert len(remaining) == 3
    store.commit()
    store.close()
    again = SqliteContextStore(directory, rotated.without_old_keys())
    assert [again.customer("default", one, unmasked=True).identities[0].value for one in ids] == [f"u-{n}" for n in range(5)]
    again.close()
    with pytest.raises(ContextCorrupt):
        SqliteContextStore(directory, MASTER)


def test_another_master_key_opens_nothing(store: SqliteContextStore, directory: Path) -> None:
    create(store, identity("app_user", "u-1"))
    store.commit()
    store.close()
    with pytest.raises(ContextCorrupt):
        SqliteContextStore(directory, new_master_keys())


def test_a_value_moved_to_another_row_does_not_open(store: SqliteContextStore) -> None:
    one, other = create(store, identity("app_user", "u-1")), create(store, identity("app_user", "u-2"))
    rows = [store._table("default").row_of(customer_id) for customer_id in (one, other)]
    store._data.execute("UPDATE identity SET row = ? WHERE row = ?", (rows[1], rows[0]))
    with pytest.raises(SealBroken):
        store.customer("default", other)


def test_a_second_process_is_refused(store: SqliteContextStore, directory: Path) -> None:
    with pytest.raises(ContextUnavailable, match="another process"):
        SqliteContextStore(directory, MASTER)


@pytest.mark.parametrize("name", ["context.db", "context-keys.db"])
def test_a_missing_file_or_one_of_another_pair_is_refused(
    store: SqliteContextStore, directory: Path, tmp_path: Path, name: str
) -> None:
    create(store, identity("app_user", "u-1"))
    store.commit()
    store.close()
    other = SqliteContextStore(tmp_path / "other", MASTER)
    other.close()
    (directory / name).unlink()
    with pytest.raises(ContextCorrupt, match="missing"):
        SqliteContextStore(directory, MASTER)
    shutil.copy(tmp_path / "other" / name, directory / name)
    with pytest.raises(ContextCorrupt, match="does not belong"):
        SqliteContextStore(directory, MASTER)


def test_an_operation_that_fails_leaves_nothing(store: SqliteContextStore) -> None:
    customer_id = create(store, identity("app_user", "u-1"))
    store.attempt_began()
    append(store, customer_id, Step(NOW, "view", id="s-1"))
    create(store, identity("app_user", "u-2"))
    store.attempt_failed()
    assert store.steps("default", customer_id, limit=9) == []
    assert store.search("default", identity=identity("app_user", "u-2"), name=None, after_row=0, limit=1).customers == []
    assert append(store, customer_id, Step(NOW, "view", id="s-1")) == [True]
    with pytest.raises(UnknownCustomer):
        store.customer("default", "c_" + "0" * 32)
