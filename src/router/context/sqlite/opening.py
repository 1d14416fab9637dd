"""Opening of the customer context with the settings: where its files and its master keys are, and its limits."""

from pathlib import Path

from router.context.keys import MasterKeys, MasterKeysInvalid, load_master_keys, new_master_keys
from router.context.limits import StepBudget
from router.context.service import ContextClock, ContextService
from router.context.sqlite.database import DATA_FILE
from router.context.sqlite.store import SqliteContextStore
from router.settings import JournalBackend, Settings


def open_context(settings: Settings, clock: ContextClock) -> ContextService | None:
    """Return the service of the customer context, not started yet; None where the settings switch it off.

    The files are opened by ``ContextService.start``, on the thread of the service.
    """
    context, journal = settings.context, settings.journal
    if not context.enabled or (context.path is None and journal.backend is JournalBackend.MEMORY):
        return None
    beside = Path(journal.path).parent
    directory = Path(context.path) if context.path is not None else beside / "context"
    key_path = Path(context.master_key_path) if context.master_key_path is not None else beside / "context-master.json"
    day_ms = 24 * 3_600_000

    def open_store() -> SqliteContextStore:
        return SqliteContextStore(
            directory,
            _master_keys(key_path, directory),
            now_ms=clock.now_ms(),
            idle_customer_ms=context.idle_customer_days * day_ms,
            contact_kept_ms=context.contact_days * day_ms,
            steps_kept_ms={name: days * day_ms for name, days in context.step_type_days.items()},
            steps_per_minute=context.customer_steps_per_minute,
            key_path=key_path,
        )

    def new_budget() -> StepBudget:
        return StepBudget(context.steps_per_s, context.steps_burst)

    return ContextService(open_store, clock, queue_max=context.queue_count_max, new_budget=new_budget)


def _master_keys(path: Path, directory: Path) -> MasterKeys:
    """Return the master keys of the file, creating one for a new context. Raises MasterKeysInvalid."""
    if path.exists() or (directory / DATA_FILE).exists():
        return load_master_keys(path)
    keys = new_master_keys()
    try:
        keys.save(path)
    except OSError as error:
        raise MasterKeysInvalid(f"{path}: the master keys cannot be written ({error.strerror})") from None
    return keys
