"""Settings of the records of ended contacts.

They are part of the settings of the process (``router.settings``), which reads and checks them.
"""

from typing import Annotated

from msgspec import Meta

from router.context_settings import SettingsStruct


class RecordSettings(SettingsStruct, frozen=True, kw_only=True):
    """Records of ended contacts: one for each contact, made from the events, to be searched and exported."""

    enabled: bool = True
    """Whether records are written. False: their operations answer `records_unavailable`."""
    path: str | None = None
    """File of the records, of this node alone; null: `records.db` beside the journal. Where it is missing it is made again from
    the events that the journal still has."""
    days: Annotated[int, Meta(ge=1, le=36_500)] = 400
    """Days after the end of a contact for which its record is kept."""
    count_max: Annotated[int, Meta(ge=1_000, le=1_000_000_000)] = 5_000_000
    """Records kept of each workspace, about 0.9 KB of disk each; beyond it the oldest ones are deleted."""
