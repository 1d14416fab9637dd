"""Selection of the journal from the settings: a file, memory, or a server."""

import os
from pathlib import Path

from router.journal.files import prepare_directory
from router.journal.memory import MemoryJournal
from router.journal.port import Journal
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalUnavailable, SettingsInvalid
from router.settings import JournalBackend, JournalSettings
from router.store_settings import StoreSettings

_NO_STORE = StoreSettings()


def open_journal(settings: JournalSettings, store: StoreSettings = _NO_STORE) -> Journal:
    """Return the configured journal, not yet open. Raises SettingsInvalid where its directory cannot be created or written to."""
    if store.url is not None:
        return _open_store(settings, store)
    if store.shared:
        raise SettingsInvalid("store.shared: must be false where store.url names no server; give one with --store")
    if settings.backend is JournalBackend.MEMORY:
        return MemoryJournal()
    path = Path(settings.path)
    try:
        prepare_directory(path.parent)
    except JournalUnavailable as error:
        raise SettingsInvalid(f"journal.path: {error}") from None
    if settings.archive_path is not None:
        _check_archive_path(Path(settings.archive_path))
    return SqliteJournal(
        path,
        high_water_interval_ms=settings.high_water_interval_ms,
        high_water_sync=settings.high_water_sync,
        checkpoint_bytes_max=settings.checkpoint_bytes_max,
        checkpoint_idle_ms=settings.checkpoint_idle_ms,
        reserved_bytes=settings.reserved_bytes,
        second_mark_path=None if settings.second_mark_path is None else Path(settings.second_mark_path),
    )


def _open_store(settings: JournalSettings, store: StoreSettings) -> Journal:
    # Its client library takes a tenth of a second to load.
    from router.journal.redis.journal import RedisJournal
    from router.journal.redis.shared_journal import SharedRedisJournal

    if settings.backend is JournalBackend.MEMORY:
        raise SettingsInvalid("journal.backend: memory and store.url exclude each other; leave one of them out")
    path = Path(settings.path)
    if path.exists():
        raise SettingsInvalid(
            f"store.url: the data directory has a journal of its own ({path}), whose contacts the store does not have; "
            "use another directory (--data), or remove store.url"
        )
    if settings.archive_path is not None:
        _check_archive_path(Path(settings.archive_path))
    archives = Path(settings.archive_path) if settings.archive_path is not None else path.absolute().with_name("archive")
    kind = SharedRedisJournal if store.shared else RedisJournal
    return kind(store, data_directory=path.absolute().parent, archive_directory=archives)


def _check_archive_path(path: Path) -> None:
    """Check at the start that archives can be made below a path, which is tried only days later. Raises SettingsInvalid."""
    while path != path.parent and not os.path.lexists(path):
        path = path.parent
    if not path.is_dir():
        raise SettingsInvalid(f"journal.archive_path: {path}: is not a directory")
