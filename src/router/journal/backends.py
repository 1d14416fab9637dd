"""Selection of the journal backend from the settings."""

from pathlib import Path

from router.journal.memory import MemoryJournal
from router.journal.port import Journal
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import SettingsInvalid
from router.settings import JournalBackend, JournalSettings


def open_journal(settings: JournalSettings) -> Journal:
    """Return the configured journal, not yet open. Raises SettingsInvalid where its directory cannot be created."""
    if settings.backend is JournalBackend.MEMORY:
        return MemoryJournal()
    path = Path(settings.path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsInvalid(f"$.journal.path: the directory cannot be created ({error.strerror})") from None
    return SqliteJournal(
        path,
        high_water_interval_ms=settings.high_water_interval_ms,
        high_water_sync=settings.high_water_sync,
        checkpoint_bytes_max=settings.checkpoint_bytes_max,
        checkpoint_idle_ms=settings.checkpoint_idle_ms,
        reserved_bytes=settings.reserved_bytes,
    )
