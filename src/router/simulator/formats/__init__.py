"""Recorded days: one reader per log format, all with the same result.

``parse_log("vanad:PATH")`` reads one source, ``parse_logs`` reads several and merges them. Ids and order of the contacts follow
from their contents, not from names of files or the order of rows. A log has no policy; the derived one has a queue for each type of
contact, first in, first out over all queues, the longest idle agent first, and automatic accept.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from router.simulator.day import WorkloadInvalid
from router.simulator.formats import bank, vanad
from router.simulator.formats import native as own
from router.simulator.formats.recorded_log import RecordedLog, merge_logs

READERS: Final[dict[str, Callable[[Path], RecordedLog]]] = {
    "vanad": vanad.read,
    "bank": bank.read,
    "contacts": own.read_contacts,
    "agents": own.read_agents,
}
"""Readers by the format name before the colon."""


def parse_log(source: str) -> RecordedLog:
    """Read one log given as ``FORMAT:PATH``. Raises ``WorkloadInvalid``."""
    return parse_logs([source])


def parse_logs(sources: Sequence[str]) -> RecordedLog:
    """Read several logs, such as consecutive days, or the contacts and the agents of one day, and merge them."""
    return merge_logs([_read(source) for source in sources])


def _read(source: str) -> RecordedLog:
    name, colon, path = source.partition(":")
    reader = READERS.get(name)
    if not colon or not path or reader is None:
        known = ", ".join(READERS)
        raise WorkloadInvalid(f"a log must be given as FORMAT:PATH, where FORMAT is one of {known}")
    return reader(Path(path))


__all__ = ["READERS", "RecordedLog", "merge_logs", "parse_log", "parse_logs"]
