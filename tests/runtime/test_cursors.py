"""The contract of cursor stores, on every implementation."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from router.runtime.event_feed import CursorsDamaged, CursorStore, FeedPosition, FileCursorStore, MemoryCursorStore

CURSORS = {"main": FeedPosition("history-1", 17), "other": FeedPosition("history-2", 0)}


@pytest.fixture(params=["memory", "file"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], CursorStore]:
    """Return a function that opens the same store as after a restart."""
    if request.param == "file":
        return lambda: FileCursorStore(tmp_path / "cursors")
    store = MemoryCursorStore()
    return lambda: store


def test_a_subscription_without_cursors_has_none(reopen: Callable[[], CursorStore]) -> None:
    assert reopen().load("webhooks") == {}


def test_saved_cursors_are_loaded_after_a_restart(reopen: Callable[[], CursorStore]) -> None:
    reopen().save("webhooks", CURSORS)
    assert reopen().load("webhooks") == CURSORS


def test_saving_replaces_earlier_cursors(reopen: Callable[[], CursorStore]) -> None:
    store = reopen()
    store.save("webhooks", CURSORS)
    store.save("webhooks", {"main": FeedPosition("history-1", 18)})
    assert reopen().load("webhooks") == {"main": FeedPosition("history-1", 18)}


def test_subscriptions_do_not_share_cursors(reopen: Callable[[], CursorStore]) -> None:
    store = reopen()
    store.save("webhooks", CURSORS)
    store.save("triggers", {})
    assert (store.load("webhooks"), store.load("triggers")) == (CURSORS, {})


def test_changing_loaded_cursors_does_not_change_the_store(reopen: Callable[[], CursorStore]) -> None:
    store = reopen()
    store.save("webhooks", CURSORS)
    store.load("webhooks").clear()
    assert store.load("webhooks") == CURSORS


class TestFiles:
    def test_files_are_private_and_replaced_atomically(self, tmp_path: Path) -> None:
        store = FileCursorStore(tmp_path / "cursors")
        store.save("webhooks", CURSORS)
        store.save("webhooks", {})
        (path,) = (tmp_path / "cursors").iterdir()
        assert (path.name, path.stat().st_mode & 0o777) == ("webhooks.json", 0o600)

    @pytest.mark.parametrize("data", [b"", b"{", b'{"main": 7}', b"\xff\xfe", b"[]"])
    def test_damaged_cursors_are_reported(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "webhooks.json").write_bytes(data)
        with pytest.raises(CursorsDamaged, match="webhooks"):
            FileCursorStore(tmp_path).load("webhooks")

    @pytest.mark.parametrize("name", ["", "../webhooks", "Web", "a b", "x" * 65])
    def test_names_that_are_not_file_names_are_rejected(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="subscription name"):
            FileCursorStore(tmp_path).load(name)

    def test_a_file_is_on_the_disk_before_it_replaces_the_earlier_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, synced = FileCursorStore(tmp_path), list[tuple[str, bytes]]()
        sync = os.fsync

        def recorded(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.is_file():
                synced.append((path.suffix, path.read_bytes()))
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", recorded)
        store.save("export", {"main": FeedPosition("h", 7)})
        assert synced == [(".new", (tmp_path / "export.json").read_bytes())]
