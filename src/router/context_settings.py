"""Settings of the customer context, and the base of all settings.

They are part of the settings of the process (``router.settings``), which reads and checks them.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

OPERATIONS_MAX: Final = 100_000_000
Count: TypeAlias = Annotated[int, Meta(ge=1, le=OPERATIONS_MAX)]

StepType: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$",
        extra={"rule": "must be a letter or digit, then at most 63 of A-Z, a-z, 0-9, and _ . : / -"},
    ),
]


class SettingsStruct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the settings structs: frozen, keyword-only; unknown keys are errors."""


class ReferenceStorage(StrEnum):
    """Where the references of contacts are kept."""

    SEALED = "sealed"
    SEALED_OR_JOURNAL = "sealed_or_journal"
    JOURNAL = "journal"


class ContextStorage(StrEnum):
    """Where the customer context is kept."""

    AUTO = "auto"
    STORE = "store"
    FILES = "files"


class ContextSettings(SettingsStruct, frozen=True, kw_only=True):
    """Customer context: who customers are and what they did, encrypted, in files of its own or in the store."""

    enabled: bool = True
    """Whether customers, identities and journeys are stored. False: their operations answer `context_unavailable`."""
    storage: ContextStorage = ContextStorage.AUTO
    """Where it is kept: `store` (in the server of `store.url`, shared by all nodes; they need the same file of master keys),
    `files` (in `context.path` of this node, known to this node only) or `auto`: in the store where `store.url` is set, unless this
    node has files of a customer context already."""
    path: str | None = None
    """Directory of `context.db` and `context-keys.db`; null: `context` beside the journal. Nothing is stored with the journal
    backend `memory` unless a directory is given."""
    master_key_path: str | None = None
    """File of the master keys, with mode 0600; created at the first start. Null: `context-master.json` beside the journal. Without
    this file nothing of any customer can be read, so keep a copy in a safe place, apart from the backups of the data."""
    region: Annotated[str, Meta(pattern="^[A-Z]{2}$", extra={"rule": "must be a country in two capital letters, or ZZ"})] = "ZZ"
    """Country (ISO 3166) of telephone numbers without a country code; `ZZ`: every number needs one."""
    queue_count_max: Count = 20_000
    """Maximum number of operations that wait for the store; beyond it: 503."""
    idle_customer_days: Annotated[int, Meta(ge=1, le=10_000)] = 400
    """Customers that were not seen for this long are erased."""
    step_type_days: Annotated[dict[StepType, Annotated[int, Meta(ge=1, le=10_000)]], Meta(max_length=256)] = {}
    """Types of steps that are kept for a time of their own, in days, for example `{login: 30, payment: 400}`; they are deleted
    within two days after it. Others are kept as long as their customer. A customer has the newest 200 steps of all types."""
    agents_verify_for_good: bool = False
    """Whether an identity that an agent verifies is verified for later contacts too. False: for this contact only."""
    agents_confirm_merges: bool = False
    """Whether the verification by an agent merges two customers at once. False: the merge is proposed to supervisors."""
    customer_steps_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 60
    """Steps of one customer in a minute; further ones are rejected."""
    steps_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    """Steps of one workspace in a second, on average; beyond it: 429."""
    steps_burst: Annotated[int, Meta(ge=500, le=10_000_000)] = 10_000
    """Steps of one workspace at once; at least one full batch."""
    contact_days: Annotated[int, Meta(ge=1, le=10_000)] = 90
    """References, context and notes of contacts are kept for this long."""
    references: ReferenceStorage = ReferenceStorage.SEALED
    """Where the `reference` of a contact is kept: `sealed` (in the customer context, encrypted; where the context has failed, in
    memory until it is back), `sealed_or_journal` (the same, but in the journal where the context has failed) or `journal`.
    Where the customer context is switched off it is in the journal."""
    submit_wait_ms_max: Annotated[int, Meta(ge=1, le=5_000)] = 50
    """Longest time in milliseconds that a submit waits for its customer; then the contact is routed without one."""
    sensitive_fields: Annotated[tuple[str, ...], Meta(max_length=32)] = ()
    """Fields of a profile (`name`, `tier`, `time_zone`, `locale`, `preferred_channel`, `identities`) that a card shows only of a
    customer who is verified."""
    sensitive_step_types: Annotated[tuple[str, ...], Meta(max_length=256)] = ()
    """Types of steps that a card shows only of a customer who is verified."""
