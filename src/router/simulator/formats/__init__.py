"""Recorded days: one reader a format, all of them giving the same plain plan.

``parse_log("vanad:PATH")`` reads one source; several are merged by ``merged``. What a log does not say (a policy) is derived:
one queue for each kind of contact, one FIFO over all of them, longest idle agent, automatic accept.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from router.simulator.day import WorkloadInvalid
from router.simulator.formats import bank, own, vanad
from router.simulator.formats.log import Log, merged

READERS: Final[dict[str, Callable[[Path], Log]]] = {
    "vanad": vanad.read,
    "bank": bank.read,
    "contacts": own.read_contacts,
    "agents": own.read_agents,
}
"""By the name that stands before the colon."""


def parse_log(source: str) -> Log:
    """Read ``FORMAT:PATH``. Raises ``WorkloadInvalid``."""
    name, colon, path = source.partition(":")
    reader = READERS.get(name)
    if not colon or not path or reader is None:
        known = ", ".join(READERS)
        raise WorkloadInvalid(f"a log is named FORMAT:PATH, and FORMAT is one of {known}")
    return reader(Path(path))


def parse_logs(sources: Sequence[str]) -> Log:
    """Read several and merge them: days after each other, contacts and agents of one day."""
    return merged([parse_log(source) for source in sources])


__all__ = ["READERS", "Log", "merged", "parse_log", "parse_logs"]
