"""Base struct of all events."""

from msgspec import Struct


class EventStruct(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", omit_defaults=True
):
    """Base of all events: frozen, keyword-only, with a stable tag; fields at their default are omitted from the journal."""
