"""The journey of a customer: the steps they took, and how steps are checked.

A **step** is something a customer did in an app, on a website, in a shop or on the telephone: a payment that failed, a page, a
search. It has a type and a name from the application's own vocabulary, a result, the time at which it happened, and a little data.

Steps of one customer are kept together, by columns, compressed (``journey_codec``), and sealed in one piece: one value of 20 steps
takes 400 bytes and 3 µs to open, 20 single values 2,000 bytes and 20 µs.

Steps arrive late, twice and out of order. They are kept sorted by their own time, the newest ``STEPS_MAX`` of a customer; the id of
a step is remembered for a day, at most ``IDS_MAX`` per customer, so that a repeated batch counts once.
"""

import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from router.context.customers import CustomerId
from router.context.identities import Identity
from router.model.states import Ident

STEP_BYTES_MAX: Final = 2_048
"""Size of a step's ``data`` and ``refs`` in JSON."""
DATA_KEYS_MAX: Final = 16
DATA_DEPTH_MAX: Final = 2
_WIDE_INTEGER: Final = "has an integer of more than 64 bits; send it as text"
_INFINITE_NUMBER: Final = "has a number beyond 1.8e308; send it as text"
REFS_MAX: Final = 8
BATCH_STEPS_MAX: Final = 500
LOGOUT: Final = "logout"
"""Type of the step after which a device is anonymous until the next login."""
STEPS_MAX: Final = 200
"""Steps kept per customer."""
IDS_MAX: Final = 64
"""Step ids remembered per customer."""
ID_WINDOW_MS: Final = 24 * 3_600_000
"""Time for which step ids are remembered."""
AGE_MS_MAX: Final = 30 * 24 * 3_600_000
"""Older steps are dropped."""
AHEAD_MS_MAX: Final = 5 * 60_000
"""Steps that are further ahead of the router's clock are set to its time."""

JourneyWord = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$",
        extra={"rule": "must be a letter or digit, then at most 63 of A-Z, a-z, 0-9, and _ . : / -"},
    ),
]


class Reference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A large thing that belongs to a step and is stored elsewhere."""

    kind: JourneyWord
    """Kind, for example ``recording`` or ``document``."""
    ref: Annotated[str, Meta(min_length=1, max_length=256)]
    """Where it is, in words of the application."""
    bytes: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    """Size."""


class StepFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step as a client sends it, with the customer it belongs to: a customer id or one identity."""

    type: JourneyWord
    """Type from the application's vocabulary, for example ``payment``."""
    id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """Id chosen by the client; a step that repeats one of the last day is not counted again. Omitted: never a repeat."""
    name: JourneyWord | None = None
    """What exactly, for example ``invoice``."""
    result: JourneyWord | None = None
    """How it ended, for example ``ok`` or ``failed``."""
    channel: Ident | None = None
    """Where it happened, for example ``app``."""
    at_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    """When it happened, in milliseconds of Unix time; omitted: now."""
    data: dict[str, Any] = {}
    """At most 16 values, nested at most once, 2 KiB together with ``refs``."""
    refs: Annotated[list[Reference], Meta(max_length=REFS_MAX)] = []
    """Large things that are stored elsewhere."""
    customer_id: CustomerId | None = None
    """Customer; else ``identity``."""
    identity: Identity | None = None
    """Identity of the customer; else ``customer_id``."""


class Step(Struct, frozen=True, array_like=True):
    """A step as it is stored."""

    at_ms: int
    type: str
    name: str | None = None
    result: str | None = None
    channel: str | None = None
    data: dict[str, Any] = {}
    refs: tuple[tuple[str, str, int | None], ...] = ()
    id: str | None = None


class StepInvalid(ValueError):
    """A step cannot be stored; ``field`` and the message name what is wrong, never a value."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


def step_of(fields: StepFields, *, now_ms: int) -> Step | None:
    """Return a step in the form it is stored in; None for one that is too old to be kept. Raises StepInvalid."""
    if (fields.customer_id is None) == (fields.identity is None):
        raise StepInvalid("invalid_value", "customer_id", "give either customer_id or identity")
    if fields.data or fields.refs:
        _check_data(fields.data)
        size = len(_json.encode([fields.data, fields.refs]))
        if size > STEP_BYTES_MAX:
            raise StepInvalid("step_too_large", "data", f"data and refs have {size} bytes of JSON, at most {STEP_BYTES_MAX}")
    at_ms = now_ms if fields.at_ms is None or fields.at_ms > now_ms + AHEAD_MS_MAX else fields.at_ms
    if at_ms < now_ms - AGE_MS_MAX:
        return None
    refs = tuple((one.kind, one.ref, one.bytes) for one in fields.refs)
    return Step(at_ms, fields.type, fields.name, fields.result, fields.channel, fields.data, refs, fields.id)


def _check_data(data: dict[str, Any]) -> None:
    if len(data) > DATA_KEYS_MAX:
        raise StepInvalid("step_too_large", "data", f"has {len(data)} keys, at most {DATA_KEYS_MAX}")
    if nesting_depth(data) > DATA_DEPTH_MAX:
        raise StepInvalid("invalid_value", "data", f"is nested deeper than {DATA_DEPTH_MAX} levels")
    fault = number_fault(data)
    if fault is not None:
        raise StepInvalid("invalid_value", "data", fault)


def nesting_depth(value: object, limit: int = DATA_DEPTH_MAX) -> int:
    """Return the nesting depth of a JSON value; counting stops above ``limit``."""
    if not isinstance(value, dict | list) or limit < 0:
        return 0
    children: Iterable[object] = value.values() if isinstance(value, dict) else value
    return 1 + max((nesting_depth(child, limit - 1) for child in children), default=0)


def number_fault(value: object) -> str | None:
    """Return what is wrong with a number in a JSON value that cannot be stored, or be shown as it was sent; None: nothing."""
    try:
        _msgpack.encode(value)
    except OverflowError:
        return _WIDE_INTEGER
    return _INFINITE_NUMBER if _has_infinite_number(value) else None


def _has_infinite_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isinf(value)
    if isinstance(value, dict):
        return any(map(_has_infinite_number, value.values()))
    return isinstance(value, list) and any(map(_has_infinite_number, value))


_json: Final = msgspec.json.Encoder()
_msgpack: Final = msgspec.msgpack.Encoder()
# In C: each card sorts its steps.
_at_ms: Final = attrgetter("at_ms")


def merge_steps(kept: Sequence[Step], added: Iterable[Step]) -> list[Step]:
    """Return the newest ``STEPS_MAX`` steps of both by their own time; of equal times the ones added first come first."""
    return sorted([*kept, *added], key=_at_ms)[-STEPS_MAX:]


def recent_ids(steps: Iterable[Step], *, now_ms: int) -> dict[str, int]:
    """Return the step ids that are still remembered, with the times of their steps; at most ``IDS_MAX``, the newest."""
    found = {step.id: step.at_ms for step in steps if step.id is not None and step.at_ms > now_ms - ID_WINDOW_MS}
    return dict(sorted(found.items(), key=lambda item: item[1])[-IDS_MAX:])
