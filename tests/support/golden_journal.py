"""A journal of format 1, written by the last version before format 2, and what that version made of it.

``tests/journal/golden/format_1.tar.gz`` holds the files of a journal with one workspace for each scenario, with every type of
event that format 1 knew, and ``decisions.json``: the decisions and the resulting state of each workspace.
``format_1_small.tar.gz`` holds three of these workspaces, for tests that migrate many times.
"""

import tarfile
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

_DIRECTORY: Final = Path(__file__).parents[1] / "journal" / "golden"
ALL: Final = _DIRECTORY / "format_1.tar.gz"
SMALL: Final = _DIRECTORY / "format_1_small.tar.gz"


class GoldenWorkspace(Struct):
    """What the version that wrote the journal made of one workspace."""

    decisions: list[tuple[int, int, str, str | None, str | None, str | None, str | None, str | None]]
    """For each event: seq, time, tag, contact, agent, offer, queue, reason."""
    contacts: dict[str, tuple[str, str, list[str]] | None]
    """For each contact: state, queue and agents with a pending offer; None where it is forgotten."""
    agents: dict[str, tuple[str, str | None]]
    """For each agent: state and reason."""


def extract(directory: Path, archive_path: Path = ALL) -> Path:
    """Extract the files of the journal and return the path of the database."""
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive_path) as archive:
        for name in ("journal.db", "journal.db.hwm"):
            archive.extract(name, directory, filter="data")
    return directory / "journal.db"


def golden_workspaces() -> dict[str, GoldenWorkspace]:
    """Return what the old version made of each workspace."""
    with tarfile.open(ALL) as archive:
        file = archive.extractfile("decisions.json")
        assert file is not None
        return msgspec.json.decode(file.read(), type=dict[str, GoldenWorkspace])
