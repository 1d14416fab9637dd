"""The form that every event has. No event itself: those are in ``contact_events``, ``agent_events`` and ``workspace_events``."""

from msgspec import Struct


class EventStruct(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", omit_defaults=True
):
    """Frozen, keyword-only, with a stable tag; defaults are left out of the journal."""
