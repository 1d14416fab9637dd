"""Master keys, wrapped data keys and sealed values."""

import stat
from pathlib import Path

import pytest

from router.context.keys import (
    SEAL_OVERHEAD_BYTES,
    DataKey,
    LookupKey,
    MasterKeysInvalid,
    SealBroken,
    load_master_keys,
    new_data_key,
    new_master_keys,
    scope_of,
)


def test_a_sealed_value_opens_only_at_its_own_place() -> None:
    raw = new_data_key()
    key = DataKey(raw, scope_of("default", 7))
    sealed = key.seal("customer.profile", b"Anna")
    assert key.open("customer.profile", sealed) == b"Anna" and len(sealed) == 4 + SEAL_OVERHEAD_BYTES
    for other, column in [
        (DataKey(raw, scope_of("default", 8)), "customer.profile"),
        (DataKey(raw, scope_of("other", 7)), "customer.profile"),
        (key, "identity.value"),
        (DataKey(new_data_key(), scope_of("default", 7)), "customer.profile"),
    ]:
        with pytest.raises(SealBroken):
            other.open(column, sealed)


@pytest.mark.parametrize("position", [0, 11, 12, -1])
def test_an_altered_value_does_not_open(position: int) -> None:
    key = DataKey(new_data_key(), scope_of("default", 7))
    sealed = bytearray(key.seal("customer.profile", b"Anna"))
    sealed[position] ^= 1
    with pytest.raises(SealBroken):
        key.open("customer.profile", bytes(sealed))
    with pytest.raises(SealBroken):
        key.open("customer.profile", b"short")


def test_the_same_content_is_sealed_differently_each_time() -> None:
    key = DataKey(new_data_key(), scope_of("default", 7))
    assert key.seal("c", b"x") != key.seal("c", b"x")


def test_keys_wrapped_before_a_rotation_open_until_the_old_key_goes() -> None:
    first = new_master_keys()
    wrapped = first.wrap(b"k" * 32, b"place")
    second = first.with_new_key()
    assert second.unwrap(wrapped, 1, b"place") == b"k" * 32 and second.newest_version == 2
    with pytest.raises(SealBroken, match="version 1"):
        second.without_old_keys().unwrap(wrapped, 1, b"place")
    with pytest.raises(SealBroken):
        second.unwrap(wrapped, 1, b"other")


def test_the_file_of_master_keys_is_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "master.json"
    keys = new_master_keys().with_new_key()
    keys.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = load_master_keys(path)
    assert loaded.versions == [1, 2] and loaded.unwrap(keys.wrap(b"x" * 32, b""), 2, b"") == b"x" * 32


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "not a file of master keys"),
        ("{}", "keys"),
        ('{"keys": []}', "keys"),
        ('{"keys": [{"version": 1, "key": "zz"}]}', r"keys\[0\].key"),
        ('{"keys": [{"version": 0, "key": "' + "0" * 64 + '"}]}', r"keys\[0\].version"),
        ('{"keys": [{"version": 1, "key": "' + "0" * 64 + '"}, {"version": 1, "key": "' + "1" * 64 + '"}]}', "same version"),
    ],
)
def test_a_damaged_file_of_master_keys_is_refused_by_its_path(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "master.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(MasterKeysInvalid, match=told) as caught:
        load_master_keys(path)
    assert str(path) in str(caught.value) and "zz" not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.json"
    new_master_keys().save(path)
    path.chmod(0o644)
    with pytest.raises(MasterKeysInvalid, match="0600"):
        load_master_keys(path)
    with pytest.raises(MasterKeysInvalid, match="cannot be read"):
        load_master_keys(tmp_path / "missing.json")


def test_look_up_hashes_depend_on_key_type_and_value() -> None:
    key = LookupKey(b"k" * 32)
    assert key.hash("phone", "+49151") == LookupKey(b"k" * 32).hash("phone", "+49151")
    hashes = {
        key.hash("phone", "+49151"),
        key.hash("email", "+49151"),
        key.hash("phone", "+49152"),
        LookupKey(b"j" * 32).hash("phone", "+49151"),
    }
    assert len(hashes) == 4 and all(len(one) == 16 for one in hashes)
