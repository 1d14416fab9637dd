"""Files of the first format: they open, show the same as before, and get the newest form where they are written again."""

import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from router.context.customers import Consent, ContextCorrupt, ProfileChange
from router.context.identities import Assurance, Identity, NormalIdentity, normalise
from router.context.journey import Step
from router.context.journey_codec import JourneyCodec
from router.context.keys import DataKey, load_master_keys, scope_of
from router.context.port import CustomerExport
from router.context.sqlite.database import DATA_APPLICATION_ID, DATA_FILE, FORMAT, KEY_APPLICATION_ID, KEY_FILE
from router.context.sqlite.store import SqliteContextStore
from router.context.stored_forms import unpack_profile

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_800_000_000_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory with the files that an earlier version has written."""
    directory = tmp_path / "context"
    directory.mkdir(mode=0o700)
    for name, application_id in ((DATA_FILE, DATA_APPLICATION_ID), (KEY_FILE, KEY_APPLICATION_ID)):
        connection = sqlite3.connect(directory / name)
        connection.executescript((GOLDEN / name).with_suffix(".sql").read_text())
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute("PRAGMA user_version = 1")
        connection.close()
        (directory / name).chmod(0o600)
    return directory


@pytest.fixture
def master(tmp_path: Path) -> Path:
    path = tmp_path / "context-master.json"
    shutil.copy(GOLDEN / path.name, path)
    path.chmod(0o600)
    return path


def expected() -> list[CustomerExport]:
    return msgspec.json.decode((GOLDEN / "customers.json").read_bytes(), type=list[CustomerExport])


def identity(type: str, value: str, assurance: Assurance = Assurance.VERIFIED) -> NormalIdentity:
    return normalise(Identity(type=type, value=value, assurance=assurance), region="DE")


def values(directory: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(directory / DATA_FILE)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_files_of_the_first_format_show_what_they_did(directory: Path, master: Path) -> None:
    store = SqliteContextStore(directory, load_master_keys(master), now_ms=NOW)
    store.begin()
    assert [store.export("default", one.customer.customer_id) for one in expected()] == expected()
    found = [
        store.resolve("default", [one], at_ms=NOW, create=False, now_ms=NOW)
        for one in (identity("app_user", "u-7"), identity("device", "d-1"))
    ]
    assert {one.customer_id for one in found} == {expected()[0].customer.customer_id}
    store.close()


def test_what_is_written_again_has_the_newest_form_and_the_same_values(directory: Path, master: Path) -> None:
    customer_id = expected()[0].customer.customer_id
    keys = load_master_keys(master)
    store = SqliteContextStore(directory, keys, now_ms=NOW)
    store.begin()
    store.change_profile("default", customer_id, ProfileChange(tier="silver"), versions=None, actor="agent:bob", now_ms=NOW + 7)
    store.resolve("default", [identity("phone", "0151 1234567")], at_ms=NOW, create=True, now_ms=NOW)
    for number in range(32):
        store.append_step("default", Step(NOW + number, "page"), customer_id=customer_id, identity=None, now_ms=NOW)
    store.commit()
    store.close()
    assert values(directory, "SELECT type, assurance FROM identity ORDER BY number") == [
        ("app_user", "verified"),
        ("phone", "v"),
        ("external:crm", "verified"),
        ("device", "asserted"),
        ("email", "asserted"),
        ("cookie", "asserted"),
    ]
    again = SqliteContextStore(directory, keys, now_ms=NOW)
    again.begin()
    export, before = again.export("default", customer_id), expected()[0]
    assert export.customer.tier == "silver" and export.customer.name == "Anna Müller"
    assert export.customer.consents == {"calls": Consent(granted=False, at_ms=6, source="agent")}
    assert export.consent_changes == before.consent_changes
    assert [one.assurance for one in export.customer.identities if one.type == "phone"] == [Assurance.VERIFIED]
    assert [step for step in export.steps if step.type != "page"] == before.steps
    again.close()
    connection = sqlite3.connect(directory / KEY_FILE)
    [(wrapped, version)] = connection.execute("SELECT wrapped, version FROM customer_key WHERE row = 1").fetchall()
    connection.close()
    scope = scope_of("default", 1)
    key = DataKey(keys.unwrap(wrapped, version, scope), scope)
    [(profile, steps)] = values(directory, "SELECT profile, steps FROM customer JOIN journey USING (row) WHERE row = 1")
    assert isinstance(profile, bytes) and isinstance(steps, bytes)
    stored = msgspec.msgpack.decode(key.open("customer.profile", profile))
    assert stored[:4] == ["Anna Müller", "silver", "Europe/Berlin", "de-DE"]
    assert unpack_profile(key.open("customer.profile", profile)).changed["tier"] == (NOW + 7, "agent:bob")
    content = key.open("journey.steps", steps)
    assert content[0] == 2 and len(JourneyCodec().unpack(content)) == 40  # One more is in the tail.


def test_an_earlier_version_refuses_the_files_and_this_one_those_of_a_later(directory: Path, master: Path) -> None:
    keys = load_master_keys(master)
    SqliteContextStore(directory, keys, now_ms=NOW).close()
    # Earlier versions compare the number with their own, 1, before they read anything.
    for name in (DATA_FILE, KEY_FILE):
        connection = sqlite3.connect(directory / name)
        assert connection.execute("PRAGMA user_version").fetchall() == [(FORMAT,)] and FORMAT > 1
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
        connection.close()
    with pytest.raises(ContextCorrupt, match=f"has format {FORMAT + 1}, this version reads formats 1 to {FORMAT}"):
        SqliteContextStore(directory, keys, now_ms=NOW)


def test_a_verified_identity_decides_a_merge_in_both_forms(directory: Path, master: Path) -> None:
    """The customer with a verified strong identity wins against an older one: stored by an earlier version, and by this one."""
    store = SqliteContextStore(directory, load_master_keys(master), now_ms=NOW)
    store.begin()

    def create(value: str, assurance: Assurance, at_ms: int) -> str:
        found = store.resolve("default", [identity("app_user", value, assurance)], at_ms=at_ms, create=True, now_ms=at_ms)
        assert found.customer_id is not None
        return found.customer_id

    golden = expected()[0].customer.customer_id
    asserted = create("u-8", Assurance.ASSERTED, NOW - 10)
    assert store.merge("default", asserted, golden, actor="a", reason="r", now_ms=NOW).customer_id == golden
    verified, older = create("u-9", Assurance.VERIFIED, NOW), create("u-10", Assurance.ASSERTED, NOW - 20)
    assert store.merge("default", older, verified, actor="a", reason="r", now_ms=NOW).customer_id == verified
    store.close()
