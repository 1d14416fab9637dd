"""What the server holds of customers: nothing that can be read, and nothing that outlives an erasure or its time."""

import time
from pathlib import Path

import msgspec
import pytest

from router.context.cards import ContactContext, WorkChange
from router.context.customers import ContextCorrupt, ContextUnavailable, ErasedCustomer, ProfileChange, UnknownCustomer
from router.context.identities import Assurance
from router.context.journey import Step
from router.context.keys import MasterKeys, SealBroken, load_master_keys, new_master_keys
from router.context.port import ContactReference
from router.context.redis.database import ContextRows
from router.context.redis.layout import FILE_TABLES, PLANS
from router.context.redis.store import RedisContextStore
from router.context.sqlite.database import ADDED_DATA_TABLES, DATA_TABLES, FORMAT, KEY_TABLES
from router.journal.redis.address import parse_address
from router.journal.redis.appender import WaitRule
from router.journal.redis.client import StoreClient
from router.journal.redis.connection import StoreOptions
from router.store_settings import Durability
from tests.context.redis.conftest import OpenNode
from tests.context.redis.test_nodes import identity, resolve, run
from tests.contracts.context_contract import erase
from tests.support.redis_context import NOW, open_redis_context
from tests.support.redis_server import RedisServer

DAY_MS = 24 * 3_600_000
WORDS = ("canary-user", "canaryname", "canary-step", "canary-note", "canary-intent", "canary-reference", "canary@example.org")


def append(store: RedisContextStore, customer_id: str, step: Step) -> None:
    run(store, lambda: store.append_step("default", step, customer_id=customer_id, identity=None, now_ms=NOW))


def fill(store: RedisContextStore, suffix: str = "") -> str:
    """Store something of every kind about a customer, and return the id."""
    customer_id = run(
        store, lambda: resolve(store, identity("canary-user" + suffix), identity(f"canary@example.org{suffix}", "email"))
    )
    change = ProfileChange(name="canaryname Doe")
    run(store, lambda: store.change_profile("default", customer_id, change, versions=None, actor="s", now_ms=NOW))
    for number in range(20):
        append(store, customer_id, Step(NOW, "view", name="canary-step", id=f"s{number}"))
    context = ContactContext(intent="canary-intent")
    contact = "k" + suffix
    run(
        store,
        lambda: store.contacts.keep(
            "default", contact, customer_id=customer_id, assurance=Assurance.VERIFIED, context=context, now_ms=NOW
        ),
    )
    run(store, lambda: store.contacts.keep("default", contact + "x", customer_id=None, assurance=None, context=context, now_ms=NOW))
    run(
        store,
        lambda: store.contacts.add_note("default", contact, customer_id=customer_id, author="a", text="canary-note", now_ms=NOW),
    )
    references = [
        ContactReference(contact, "canary-reference", customer_id),
        ContactReference(contact + "x", "canary-reference", None),
    ]
    run(store, lambda: store.references.keep("default", references, now_ms=NOW))
    work = [WorkChange(contact_id=contact, at_ms=NOW, customer_id=customer_id, state="ended", channel="chat", queue_id="q")]
    run(store, lambda: store.contacts.record_work("default", work, history_id="h", seq=1))
    run(store, lambda: store.note_read(customer_id, actor="agent", purpose="view", fields="all", now_ms=NOW))
    return customer_id


def files_of(server: RedisServer) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(server.directory.rglob("*")) if path.is_file())


def wrapped_key(store: RedisContextStore, customer_id: str) -> bytes:
    row = store._table("default").row_of(customer_id)
    [(wrapped,)] = store._data.execute("SELECT wrapped FROM customer_key WHERE row = ?", (row,)).fetchall()
    store.begin()
    assert isinstance(wrapped, bytes)
    return wrapped


def test_the_server_holds_no_word_of_a_customer(open_node: OpenNode, server: RedisServer) -> None:
    store = open_node()
    fill(store)
    content = files_of(server)
    assert b"customer_key" in content
    assert [word for word in WORDS if word.encode() in content] == []


def test_an_erasure_is_acknowledged_when_no_file_of_the_server_holds_the_key(open_node: OpenNode, server: RedisServer) -> None:
    store = open_node()
    customer_id = fill(store)
    key = wrapped_key(store, customer_id)
    assert key in files_of(server)
    assert store.erase("default", customer_id, now_ms=NOW) is False, "the append-only file still holds the key"
    with pytest.raises(ErasedCustomer):
        run(store, lambda: store.customer("default", customer_id))
    assert key in files_of(server)
    erase(store, customer_id)
    assert key not in files_of(server)
    with pytest.raises(ErasedCustomer):
        store.erase("default", customer_id, now_ms=NOW)


def test_an_erasure_is_completed_by_another_node(open_node: OpenNode, server: RedisServer) -> None:
    one, other = open_node(), open_node()
    customer_id = fill(one)
    key = wrapped_key(one, customer_id)
    assert one.erase("default", customer_id, now_ms=NOW) is False
    one.close()  # The node ends before the server has rewritten its file.
    erase(other, customer_id)
    assert key not in files_of(server)


def test_an_erasure_with_dumps(tmp_path: Path, open_node: OpenNode) -> None:
    server = RedisServer(tmp_path / "dumps", save="3600 1").start()
    try:
        rows = ContextRows(
            StoreClient(parse_address(server.url), StoreOptions()), "t", WaitRule.of(Durability.FSYNC), expiries_ms={}
        )
        key_path = tmp_path / "master.json"
        new_master_keys().save(key_path)
        store = RedisContextStore(rows, load_master_keys(key_path), node=b"n")
        customer_id = fill(store)
        key = wrapped_key(store, customer_id)
        with server.client() as client:
            client.save()
        assert key in (server.directory / "dump.rdb").read_bytes()
        erase(store, customer_id)
        assert key not in files_of(server)
        store.close()
    finally:
        server.stop()


def test_nothing_is_left_of_an_erased_customer(open_node: OpenNode, server: RedisServer, prefix: str) -> None:
    store = open_node()
    with server.client() as client:
        kept = fill(store, "-kept")
        before = {key: client.type(key) for key in client.keys(f"{prefix}:*")}
        erased = fill(store, "-erased")
        alone = len({key for key in client.keys(f"{prefix}:*") if b":h:" in key})
        erase(store, erased)
        left = {key.decode() for key in client.keys(f"{prefix}:*") if key not in before}
        assert alone == 4
    # The id, the suppressed hashes, the audit, and the contact of no customer, which has a key of its own.
    kinds = {key.split(":")[2] + (":" + key.split(":")[3] if key.split(":")[2] in "iz" else "") for key in left}
    assert kinds <= {"e", "s", "a", "rewrite", "z:suppressed.until", "z:erased_change.changed", "h", "c", "r", "i:contact.contact",
                     "i:customer.id"}  # fmt: skip
    assert run(store, lambda: store.customer("default", kept)).name == "canaryname Doe"


def test_what_is_old_is_deleted(open_node: OpenNode) -> None:
    store = open_node()
    customer_id = fill(store)
    late = NOW + 91 * DAY_MS
    store.maintain(now_ms=late)
    card = run(store, lambda: store.contacts.content("default", "k", customer_id=customer_id))
    assert card.context is None and card.notes == [] and card.work == [] and len(card.steps) == 20
    assert run(store, lambda: store.references.read("default", ["k", "kx"])) == {}
    store.maintain(now_ms=NOW + 401 * DAY_MS)
    with pytest.raises(ErasedCustomer):
        run(store, lambda: store.customer("default", customer_id))


def test_a_resumed_contact_has_no_older_proof(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    customer_id = fill(one)

    def assurance() -> Assurance | None:
        return run(other, lambda: other.contacts.content("default", "k", customer_id=customer_id)).assurance

    assert assurance() is Assurance.VERIFIED
    change = WorkChange(contact_id="k", at_ms=NOW + 1, state="open", submitted_as="unknown")
    run(other, lambda: other.contacts.record_work("default", [change], history_id="h", seq=2))
    assert assurance() is Assurance.ASSERTED
    run(
        one,
        lambda: one.contacts.raise_assurance("default", "k", customer_id=customer_id, assurance=Assurance.VERIFIED, now_ms=NOW + 2),
    )
    resumed = run(one, lambda: one.contacts.resume("default", "k", customer_id=customer_id, submitted_as="unknown", at_ms=NOW + 3))
    assert resumed.assurance is assurance() is Assurance.ASSERTED
    assert resumed.context == ContactContext(intent="canary-intent")


def test_steps_are_folded_by_whichever_node_is_there(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    customer_id = run(one, lambda: resolve(one, identity("u-1")))
    append(one, customer_id, Step(NOW, "view"))
    one.close()
    other.maintain(now_ms=NOW + 5 * 60_000)
    row = run(other, lambda: other._table("default").row_of(customer_id))

    def kept(table: str) -> int:
        [(count,)] = run(other, lambda: other._data.execute(f"SELECT count(*) FROM {table} WHERE row = ?", (row,)).fetchall())
        return int(count)

    assert (kept("tail"), kept("journey")) == (1, 0)
    other.maintain(now_ms=NOW + 11 * 60_000)
    assert (kept("tail"), kept("journey")) == (0, 1)
    assert len(run(other, lambda: other.steps("default", customer_id, limit=10))) == 1


def test_steps_of_a_type_have_a_time_of_their_own(server: RedisServer, master: MasterKeys, prefix: str) -> None:
    store = open_redis_context(server, master, prefix, steps_kept_ms={"payment": 7 * DAY_MS})
    customer_id = run(store, lambda: resolve(store, identity("u-1")))
    for type in ("payment", "view"):
        append(store, customer_id, Step(NOW, type))
    store.take_changes()
    store.maintain(now_ms=NOW + 6 * DAY_MS)
    assert len(run(store, lambda: store.steps("default", customer_id, limit=10))) == 2
    store.maintain(now_ms=NOW + 8 * DAY_MS)
    assert [step.type for step in run(store, lambda: store.steps("default", customer_id, limit=10))] == ["view"]
    assert [change.customer_id for change in store.take_changes()] == [customer_id]
    store.close()


@pytest.mark.parametrize("table", ["tail", "journey"])
def test_steps_that_cannot_be_read_do_not_keep_those_of_others(
    server: RedisServer, master: MasterKeys, prefix: str, table: str
) -> None:
    store = open_redis_context(server, master, prefix, steps_kept_ms={"payment": 7 * DAY_MS})
    damaged, other = (run(store, lambda name=name: resolve(store, identity(name))) for name in ("u-1", "u-2"))  # type: ignore[misc]
    for name in (damaged, other):
        for type in ("payment", "view"):
            append(store, name, Step(NOW, type))
    row = run(store, lambda: store._table("default").row_of(damaged))
    insert = "INSERT INTO tail (row, step) VALUES (?, ?)" if table == "tail" else "INSERT INTO journey VALUES (?, ?)"
    run(store, lambda: store._data.execute(insert, (row, b"damaged")))
    for late_ms in (0, 1, 2 * DAY_MS):
        store.maintain(now_ms=NOW + 8 * DAY_MS + late_ms)
    assert [step.type for step in run(store, lambda: store.steps("default", other, limit=10))] == ["view"]
    with pytest.raises(SealBroken):
        run(store, lambda: store.steps("default", damaged, limit=10))
    store.close()


def test_identities_of_an_erased_customer_are_suppressed_for_a_time(open_node: OpenNode) -> None:
    store = open_node()
    customer_id = fill(store)
    erase(store, customer_id)

    def late_step(now_ms: int) -> bool:
        step = Step(NOW - 1, "view")
        return run(
            store, lambda: store.append_step("default", step, customer_id=None, identity=identity("canary-user"), now_ms=now_ms)
        ).stored

    assert not late_step(NOW + DAY_MS)
    store.maintain(now_ms=NOW + 31 * DAY_MS)
    assert late_step(NOW + 31 * DAY_MS)


def test_a_name_is_found_on_another_node(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    customer_id = fill(one)
    found = run(other, lambda: other.search("default", identity=None, name="cana do", after_row=0, limit=10))
    assert [view.customer_id for view in found.customers] == [customer_id]
    change = ProfileChange(name="Bo")
    run(one, lambda: one.change_profile("default", customer_id, change, versions=None, actor="s", now_ms=NOW))
    assert not run(other, lambda: other.search("default", identity=None, name="cana", after_row=0, limit=10)).customers


def test_an_export_holds_everything(open_node: OpenNode) -> None:
    store = open_node()
    customer_id = fill(store)
    found = run(store, lambda: store.export("default", customer_id))
    assert found.customer.name == "canaryname Doe" and len(found.steps) == 20 and len(found.reads) == 1
    assert [note.text for note in found.notes] == ["canary-note"]
    assert [one.reference for one in found.references] == ["canary-reference"]


def test_a_rotation_wraps_every_key_again_that_can_be_opened(
    open_node: OpenNode, server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    store = open_node()
    customer_id, other_id = fill(store), run(store, lambda: resolve(store, identity("u-2")))
    row = store._table("default").row_of(other_id)
    run(store, lambda: store._data.execute("UPDATE customer_key SET wrapped = zeroblob(60) WHERE row = ?", (row,)))
    path = tmp_path / "master.json"
    store._keys.master.save(path)
    store.close()

    def opened() -> RedisContextStore:
        rows = ContextRows(
            StoreClient(parse_address(server.url), StoreOptions()), prefix, WaitRule.of(Durability.LEADER), expiries_ms={}
        )
        return RedisContextStore(rows, load_master_keys(path), node=b"n", key_path=path)

    store = opened()
    assert store.rotation.begin().remaining == 5  # Two customers, the contact alone, the references of the day, the workspace.
    while store.rotation.is_rotating:
        store.rotation.rewrap_slice()
    store.close()
    assert load_master_keys(path).versions == [2]
    store = opened()
    assert run(store, lambda: store.customer("default", customer_id)).name == "canaryname Doe"
    # A key that cannot be opened is reported; reading its customer fails alone, and the store goes on.
    status = run(store, lambda: store.rotation.status())
    assert (status.remaining, status.unreadable, status.unreadable_customers) == (0, 1, (other_id,))
    with pytest.raises(SealBroken):
        run(store, lambda: store.customer("default", other_id))
    store.close()


def test_a_server_that_does_not_answer_ends_the_store_alone(tmp_path: Path) -> None:
    server = RedisServer(tmp_path).start()
    rows = ContextRows(StoreClient(parse_address(server.url), StoreOptions()), "t", WaitRule.of(Durability.LEADER), expiries_ms={})
    store = RedisContextStore(rows, new_master_keys(), node=b"n")
    run(store, lambda: resolve(store, identity("u-1")))
    server.stop()
    started = time.monotonic()
    with pytest.raises(ContextUnavailable):
        run(store, lambda: resolve(store, identity("u-1")))
    # It waits two seconds for an answer; without that limit the call would not return.
    assert time.monotonic() - started < 30
    store.close(has_failed=True)


def test_every_table_of_the_files_has_a_place() -> None:
    names = {table.split()[2] for table in (*DATA_TABLES, *ADDED_DATA_TABLES, *KEY_TABLES) if table.startswith("CREATE TABLE")}
    assert names == {plan.name for plan in PLANS} | FILE_TABLES


def test_a_statement_without_a_look_up_is_refused(open_node: OpenNode) -> None:
    store = open_node()
    with pytest.raises(LookupError, match="identity"):
        store._data.execute("SELECT count(*) FROM identity WHERE type = 'phone'")


def test_what_was_not_completed_is_not_there(open_node: OpenNode) -> None:
    one, other = open_node(), open_node()
    one.begin()
    one.attempt_began()
    lost = resolve(one, identity("u-1"))
    one.close()
    with pytest.raises(UnknownCustomer):
        run(other, lambda: other.customer("default", lost))


def test_the_rights_of_the_guide_are_enough(tmp_path: Path) -> None:
    guide = Path(__file__).parents[3] / "docs" / "how-to" / "redis.md"
    [rule] = [line.split() for line in guide.read_text().splitlines() if line.startswith("    ACL SETUSER router ")]
    server = RedisServer(tmp_path / "acl", save="3600 1").start()
    try:
        with server.client() as client:
            client.execute_command(*[part.replace(">PASSWORD", ">secret") for part in rule])
        options = StoreOptions(username="router", password="secret")
        rows = ContextRows(StoreClient(parse_address(server.url), options), "rt", WaitRule.of(Durability.FSYNC), expiries_ms={})
        store = RedisContextStore(rows, new_master_keys(), node=b"n")
        customer_id = fill(store)
        store.poll()
        store.maintain(now_ms=NOW)
        erase(store, customer_id)
        store.close()
    finally:
        server.stop()


def test_what_an_earlier_version_has_stored_is_read_and_rewritten(open_node: OpenNode, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("router.context.sqlite.customers.stored_type", lambda type: type)
        earlier.setattr("router.context.sqlite.customers.stored_assurance", str)
        earlier.setattr("router.context.sqlite.customers.pack_profile", msgspec.msgpack.encode)
        node = open_node()
        customer_id = fill(node)
        before = node.export("default", customer_id)
    later = open_node()
    assert later.export("default", customer_id) == before
    run(later, lambda: resolve(later, identity("canary@example.org", "email")))
    change = ProfileChange(tier="gold")
    run(later, lambda: later.change_profile("default", customer_id, change, versions=None, actor="s", now_ms=NOW))
    after = open_node().export("default", customer_id)
    assert after.customer.name == "canaryname Doe" and after.customer.tier == "gold"
    assert after.customer.identities == before.customer.identities and after.steps == before.steps


def test_a_node_refuses_the_format_of_a_later_version(open_node: OpenNode, server: RedisServer, prefix: str) -> None:
    open_node()
    client = server.client()
    key = f"{prefix}:{{context}}:check"
    assert client.hget(key, "format") == str(FORMAT).encode()
    client.hset(key, "format", FORMAT + 1)
    with pytest.raises(ContextCorrupt, match=f"has format {FORMAT + 1}, this version reads formats 1 to {FORMAT}"):
        open_node()
