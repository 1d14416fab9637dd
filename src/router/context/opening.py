"""Opening of the customer context with the settings: where its data and its master keys are, and its limits."""

import secrets
from collections.abc import Callable
from pathlib import Path

from router.context.keys import MasterKeys, MasterKeysInvalid, load_master_keys, new_master_keys
from router.context.limits import StepBudget
from router.context.port import ContextStore
from router.context.service import ContextClock, ContextService
from router.context.sqlite.database import DATA_FILE
from router.context.sqlite.store import SqliteContextStore
from router.context_settings import ContextStorage
from router.model.errors import SettingsInvalid
from router.settings import JournalBackend, Settings

_DAY_MS = 24 * 3_600_000


def open_context(settings: Settings, clock: ContextClock) -> ContextService | None:
    """Return the service of the customer context, not started yet; None where the settings switch it off.

    The store is opened by ``ContextService.start``, on the thread of the service. Raises SettingsInvalid.
    """
    context, journal = settings.context, settings.journal
    if context.storage is ContextStorage.STORE and settings.store.url is None:
        raise SettingsInvalid("context.storage: store needs the address of a server in store.url; set it, or choose files or auto")
    is_shared = context_is_shared(settings)
    if not context.enabled or (context.path is None and journal.backend is JournalBackend.MEMORY and not is_shared):
        return None

    def new_budget() -> StepBudget:
        return StepBudget(context.steps_per_s, context.steps_burst)

    open_store = _redis_opener(settings, clock) if is_shared else _file_opener(settings, clock)
    return ContextService(open_store, clock, queue_max=context.queue_count_max, new_budget=new_budget)


def context_is_shared(settings: Settings) -> bool:
    """Return whether the customer context is in the store, where all nodes share it, and not in files of this node."""
    match settings.context.storage:
        case ContextStorage.STORE:
            return settings.store.url is not None
        case ContextStorage.FILES:
            return False
        case ContextStorage.AUTO:
            return settings.store.url is not None and not has_context_files(settings)


def has_context_files(settings: Settings) -> bool:
    """Return whether there are files of a customer context on this node."""
    return (_directory(settings) / DATA_FILE).exists()


def _directory(settings: Settings) -> Path:
    path = settings.context.path
    return Path(path) if path is not None else Path(settings.journal.path).parent / "context"


def _key_path(settings: Settings) -> Path:
    path = settings.context.master_key_path
    return Path(path) if path is not None else Path(settings.journal.path).parent / "context-master.json"


def _file_opener(settings: Settings, clock: ContextClock) -> Callable[[], ContextStore]:
    context, directory, key_path = settings.context, _directory(settings), _key_path(settings)

    def open_store() -> SqliteContextStore:
        return SqliteContextStore(
            directory,
            _master_keys(key_path, is_begun=(directory / DATA_FILE).exists()),
            now_ms=clock.now_ms(),
            idle_customer_ms=context.idle_customer_days * _DAY_MS,
            contact_kept_ms=context.contact_days * _DAY_MS,
            steps_kept_ms={name: days * _DAY_MS for name, days in context.step_type_days.items()},
            steps_per_minute=context.customer_steps_per_minute,
            key_path=key_path,
        )

    return open_store


def _redis_opener(settings: Settings, clock: ContextClock) -> Callable[[], ContextStore]:
    # Its client library takes a tenth of a second to load.
    from router.context.redis.opening import new_rows
    from router.context.redis.store import RedisContextStore, was_begun

    context, key_path, node = settings.context, _key_path(settings), secrets.token_bytes(8)
    kept_ms = context.contact_days * _DAY_MS

    def open_store() -> RedisContextStore:
        rows = new_rows(settings.store, kept_ms=kept_ms)
        try:
            master = _master_keys(key_path, is_begun=was_begun(rows))
        except BaseException:
            rows.close()
            raise
        return RedisContextStore(
            rows,
            master,
            node=node,
            now_ms=clock.now_ms(),
            idle_customer_ms=context.idle_customer_days * _DAY_MS,
            contact_kept_ms=kept_ms,
            steps_kept_ms={name: days * _DAY_MS for name, days in context.step_type_days.items()},
            steps_per_minute=context.customer_steps_per_minute,
            key_path=key_path,
        )

    return open_store


def _master_keys(path: Path, *, is_begun: bool) -> MasterKeys:
    """Return the master keys of the file, creating one for a new context. Raises MasterKeysInvalid."""
    if path.exists() or is_begun:
        return load_master_keys(path)
    keys = new_master_keys()
    try:
        keys.save(path)
    except OSError as error:
        raise MasterKeysInvalid(f"{path}: the master keys cannot be written ({error.strerror})") from None
    return keys
