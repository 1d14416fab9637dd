"""Recorded days: one reader per log format, all with the same result.

``parse_log("vanad:PATH")`` reads one source, ``parse_logs`` reads several and merges them. Ids and order of the contacts follow
from their contents, not from names of files or the order of rows. A journal has the policy of its day; for the others one is
derived: a queue for each type of contact, first in, first out over all queues, the longest idle agent first, and automatic accept.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import structs

from router.simulator.day import DayWindow, WorkloadInvalid
from router.simulator.formats import asterisk, bank, journal, mapped_csv, vanad
from router.simulator.formats import native as own
from router.simulator.formats.recorded_log import RecordedLog, merge_logs

READERS: Final[dict[str, Callable[[str, DayWindow], RecordedLog]]] = {
    "journal": journal.read,
    "asterisk": lambda path, _: asterisk.read(Path(path)),
    "csv": lambda path, _: mapped_csv.read(path),
    "vanad": lambda path, _: vanad.read(Path(path)),
    "bank": lambda path, _: bank.read(Path(path)),
    "contacts": lambda path, _: own.read_contacts(Path(path)),
    "agents": lambda path, _: own.read_agents(Path(path)),
}
"""Readers by the format name before the colon."""

_STORES: Final = frozenset({"redis", "rediss", "valkey", "valkeys"})


_WHOLE: Final = DayWindow()


def parse_log(source: str) -> RecordedLog:
    """Read one log given as ``FORMAT:PATH``. Raises ``WorkloadInvalid`` or ``JournalError``."""
    return parse_logs([source])


def parse_logs(sources: Sequence[str], window: DayWindow = _WHOLE) -> RecordedLog:
    """Read several logs, such as consecutive days, or the contacts and the agents of one day, and merge them.

    Only contacts that arrive in the window are kept.
    """
    log = merge_logs([_read(source, window) for source in sources])
    contacts = tuple(contact for contact in log.contacts if window.contains(contact.at_ms))
    if window != _WHOLE and not contacts:
        raise WorkloadInvalid("the logs have no contacts between --from and --to; times without a zone are UTC")
    return structs.replace(log, contacts=contacts)


def require_file(source: str) -> str:
    """Return a source that is not in a store. Raises ``WorkloadInvalid`` that says how to make a file of one that is."""
    name = source.removeprefix("journal:").partition("://")[0]
    if name not in _STORES:
        return source
    raise WorkloadInvalid(
        f"a journal in a store is not read directly: copy it with `router journal export --store {name}://… --to DIRECTORY` "
        "(with --running where a router uses it), then give DIRECTORY/journal.db"
    )


def _read(source: str, window: DayWindow) -> RecordedLog:
    name, colon, path = require_file(source).partition(":")
    reader = READERS.get(name)
    if not colon or not path or reader is None:
        known = ", ".join(READERS)
        raise WorkloadInvalid(f"a log must be given as FORMAT:PATH, where FORMAT is one of {known}")
    return reader(path, window)


__all__ = ["READERS", "RecordedLog", "merge_logs", "parse_log", "parse_logs", "require_file"]
