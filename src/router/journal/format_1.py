"""Conversion of record bodies from journal format 1 to format 2, and back.

Format 2 renamed event tags, event fields, keys of the policy documents inside events, and some enumeration values; it changed no
meaning and no order. The conversion is therefore a table of names, applied to plain MessagePack data along the structure of each
event. It is directed by the structure because keys of free mappings (skills, attributes, names of queues) must stay as they are,
even where they equal a renamed field.

The table is a bijection: ``to_format_1`` restores every body exactly. Migration uses that to prove that it lost nothing. The
tables describe two fixed formats, so they must not change when the model changes; a further rename needs a format 3.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

Plain = dict[str, Any]


class Shape(Struct, frozen=True, kw_only=True):
    """The renamed parts of one object; everything that is not named here stays as it is."""

    fields: Mapping[str, str] = {}
    """Format 1 name to format 2 name."""
    values: Mapping[str, Mapping[str, str]] = {}
    """Renamed values of a field, by its format 1 name; also of the items of a list."""
    one: Mapping[str, "Shape"] = {}
    """Fields that hold an object or None, by format 1 name. A string in its place stays as it is."""
    items: Mapping[str, "Shape"] = {}
    """Fields that hold a list of objects."""
    mapped: Mapping[str, "Shape"] = {}
    """Fields that hold a mapping from free names to objects."""
    mapped_items: Mapping[str, "Shape"] = {}
    """Fields that hold a mapping from free names to lists of objects."""

    def reversed(self) -> "Shape":
        """Return the shape for the way back."""

        def named(shapes: Mapping[str, "Shape"]) -> dict[str, "Shape"]:
            return {self.fields.get(name, name): one.reversed() for name, one in shapes.items()}

        return Shape(
            fields={new: old for old, new in self.fields.items()},
            values={self.fields.get(name, name): {new: old for old, new in values.items()} for name, values in self.values.items()},
            one=named(self.one),
            items=named(self.items),
            mapped=named(self.mapped),
            mapped_items=named(self.mapped_items),
        )

    def convert(self, plain: Plain) -> Plain:
        """Return the object with its parts renamed, in the same order."""
        return {self.fields.get(name, name): self._convert_value(name, value) for name, value in plain.items()}

    def _convert_value(self, name: str, value: Any) -> Any:
        if name in self.values:
            values = self.values[name]
            if isinstance(value, list):
                return [values.get(item, item) for item in value]
            return values.get(value, value)
        if name in self.one and isinstance(value, dict):
            return self.one[name].convert(value)
        if name in self.items:
            return [self.items[name].convert(item) for item in value]
        if name in self.mapped:
            return {key: self.mapped[name].convert(item) for key, item in value.items()}
        if name in self.mapped_items:
            shape = self.mapped_items[name]
            return {key: [shape.convert(item) for item in items] for key, items in value.items()}
        return value


_SELECTIONS: Final = {"by_facts": "by_attributes"}
_QUEUE_POSITIONS: Final = {"at_due": "from_due_time"}
_CONDITIONS: Final = {
    "nobody_qualified": "no_agent_qualified",  # plain-words: a value of format 1
    "nobody_ready": "no_agent_ready",  # plain-words: a value of format 1
    "nobody_free": "no_agent_free",  # plain-words: a value of format 1
}

_RATE_CAP: Final = Shape(fields={"most": "contacts_max", "per_s": "window_s"})
_CALLBACK_POLICY: Final = Shape(
    fields={"ring_s": "ring_timeout_s", "voicemail_is": "voicemail_counts_as", "place": "queue_position"},
    values={"place": _QUEUE_POSITIONS},
)
_QUEUE: Final = Shape(
    fields={
        "strict_class": "priority_class",
        "when_nobody": "when_no_agents_ready",  # plain-words: a key of format 1
    },
    values={"selection": _SELECTIONS},
    one={"callback": _CALLBACK_POLICY},
)
_CHANNEL: Final = Shape(
    fields={"cap": "rate_cap", "unpark_away": "unpark_when_not_ready", "consult_holds": "hold_during_consult"},
    one={"cap": _RATE_CAP},
)
_PLAN_STEP: Final = Shape(
    fields={
        "for_s": "duration_s",
        "levels": "lower_levels",
        "keep_earlier": "keep_earlier_agents",
        "strict_class": "priority_class",
    },
    values={"selection": _SELECTIONS, "skip_if": _CONDITIONS},
)
_POLICY: Final = Shape(
    fields={"overflow_hops_max": "overflow_count_max", "across_queues": "cross_queue_order"},
    values={"across_queues": {"age": "priority_and_age", "risk": "service_level_risk"}},
    one={"agents": Shape(fields={"cap": "rate_cap"}, one={"cap": _RATE_CAP})},
    items={"entry": Shape(fields={"strict_class": "priority_class"})},
    mapped={"channels": _CHANNEL, "queues": _QUEUE, "facts": Shape(fields={"of": "applies_to"})},
    mapped_items={"plans": _PLAN_STEP},
)

_TAGS: Final = {
    "contact.relaxed": "contact.preferred_agent_expired",
    "callback.due": "callback.dial_requested",
    "workspace.day_began": "workspace.day_started",
}
_REQUIREMENT: Final = {"req": "requirement"}
_REQUEUE_REASONS: Final = {"stays": "overflow_impossible"}
_EVENTS: Final[Mapping[str, Shape]] = {
    "contact.queued": Shape(
        fields={
            **_REQUIREMENT,
            "cfg": "policy_version",
            "strict_class": "priority_class",
            "hops": "overflow_count",
            "asked": "original_request",
            "by_default": "default_queue_used",
        },
        one={"asked": Shape(fields={"strict_class": "priority_class"})},
    ),
    "contact.updated": Shape(fields={**_REQUIREMENT, "strict_class": "priority_class"}),
    "contact.requeued": Shape(
        fields={**_REQUIREMENT, "orig_seq": "queued_seq", "back_agent_id": "return_to_agent_id", "back_ms": "return_to_sender_ms"},
        values={"reason": _REQUEUE_REASONS},
    ),
    "contact.overflowed": Shape(fields={**_REQUIREMENT, "hops": "overflow_count"}),
    "contact.relaxed": Shape(fields=_REQUIREMENT),
    "contact.step_entered": Shape(fields=_REQUIREMENT),
    "offer.made": Shape(
        fields={
            **_REQUIREMENT,
            "prio": "effective_priority_s",
            "cfg": "policy_version",
            "turn": "match_trigger",
            "others": "other_candidates",
            "values": "selection_inputs",
        },
        values={"reason": _SELECTIONS},
    ),
    "callback.requested": Shape(fields={**_REQUIREMENT, "place": "queue_position"}, values={"place": _QUEUE_POSITIONS}),
    "callback.connected": Shape(fields=_REQUIREMENT),
    "queue.closed": Shape(fields={"holds": "holds_contacts"}),
    "policy.published": Shape(one={"policy": _POLICY}),
    "policy.shadow_set": Shape(one={"policy": _POLICY}),
}

_TAGS_BACK: Final = {new: old for old, new in _TAGS.items()}
_EVENTS_BACK: Final = {_TAGS.get(tag, tag): shape.reversed() for tag, shape in _EVENTS.items()}


def to_format_2(record: Plain) -> Plain:
    """Return a format 1 body in format 2. Raises KeyError, TypeError or AttributeError for anything but a record."""
    return {**record, "events": [_convert(event, _EVENTS, _TAGS) for event in record["events"]]}


def to_format_1(record: Plain) -> Plain:
    """Return a format 2 body in format 1: the inverse of ``to_format_2``."""
    events = [_convert(event, _EVENTS_BACK, _TAGS_BACK) for event in record["events"]]
    return {**record, "events": events}


def _convert(event: Plain, shapes: Mapping[str, Shape], tags: Mapping[str, str]) -> Plain:
    tag = event["type"]
    shape = shapes.get(tag)
    converted = dict(event) if shape is None else shape.convert(event)
    converted["type"] = tags.get(tag, tag)
    return converted
