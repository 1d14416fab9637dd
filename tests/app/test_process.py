"""Process of the application: garbage collection and acceptance of lost history."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.app.process import (
    EXIT_OK,
    EXIT_SETTINGS,
    freeze_and_resume_garbage_collection,
    main_accept_history_loss,
    pause_garbage_collection,
)
from router.settings import Settings, settings_from


@pytest.fixture
def collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


@pytest.mark.usefixtures("collector")
def test_full_collections_are_paused_during_recovery_and_rare_afterwards() -> None:
    pause_garbage_collection()
    assert not gc.isenabled()
    freeze_and_resume_garbage_collection()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    young, middle, full = gc.get_threshold()
    assert full > young > middle


def settings_for(tmp_path: Path, backend: str) -> Settings:
    return settings_from({"journal": {"backend": backend, "path": str(tmp_path / "journal.db")}})


def test_history_loss_of_a_journal_in_memory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_accept_history_loss(settings_for(tmp_path, "memory")) == EXIT_SETTINGS
    assert "$.journal.backend" in capsys.readouterr().err


def test_an_intact_journal_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_accept_history_loss(settings_for(tmp_path, "sqlite")) == EXIT_OK
    assert capsys.readouterr().err == ""
