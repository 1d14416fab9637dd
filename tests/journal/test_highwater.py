"""The high-water mark: alternating slots, torn writes, and the lock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.journal.highwater import HighWaterFile, HighWaterMark
from router.model.errors import JournalCorrupt, JournalLocked

SLOT_BYTES = 4096


def mark(number: int) -> HighWaterMark:
    return HighWaterMark(number, number.to_bytes(16))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db.hwm"
    HighWaterFile.create(path, mark(0))
    return path


@pytest.fixture
def file(path: Path) -> Iterator[HighWaterFile]:
    opened = HighWaterFile.open_locked(path)
    yield opened
    opened.close()


def damage(path: Path, slot: int) -> None:
    data = bytearray(path.read_bytes())
    data[slot * SLOT_BYTES + 9] ^= 1
    path.write_bytes(data)


def test_the_newest_mark_is_read(file: HighWaterFile) -> None:
    for number in (1, 2, 3):
        file.write(mark(number))
        assert file.read() == mark(number)


def test_creating_leaves_an_existing_file_unchanged(file: HighWaterFile, path: Path) -> None:
    file.write(mark(7))
    HighWaterFile.create(path, mark(0))
    assert file.read() == mark(7)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("newest", [4, 5])
def test_a_torn_write_leaves_the_mark_before(file: HighWaterFile, path: Path, newest: int) -> None:
    for number in range(1, newest + 1):
        file.write(mark(number))
    damage(path, newest & 1)
    assert file.read() == mark(newest - 1)


def test_two_damaged_slots_are_reported(file: HighWaterFile, path: Path) -> None:
    damage(path, 0)
    damage(path, 1)
    with pytest.raises(JournalCorrupt, match="both slots"):
        file.read()


def test_a_mark_written_to_both_slots_survives_damage_to_either(file: HighWaterFile, path: Path) -> None:
    file.write_both(mark(9))
    assert (file.written, file.synced) == (9, 9)
    for slot in (0, 1):
        damage(path, slot)
        assert file.read() == mark(9)
        damage(path, slot)


def test_only_a_sync_makes_a_mark_durable(file: HighWaterFile) -> None:
    file.write(mark(1))
    assert (file.written, file.synced) == (1, -1)
    file.sync()
    assert file.synced == 1


def test_a_second_descriptor_does_not_get_the_lock(file: HighWaterFile, path: Path) -> None:
    with pytest.raises(JournalLocked):
        HighWaterFile.open_locked(path)
    file.write(mark(3))
    assert file.read() == mark(3)
