"""Services that API operations use, and the readiness of the process."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.edge.auth import Authenticator
from router.edge.tickets import TicketOffice
from router.journal.port import Journal
from router.runtime.publisher import Publisher
from router.runtime.shadowing import Shadowing
from router.runtime.writer import Writer
from router.settings import Settings
from router.stats.meters import Meters
from router.telemetry.process import ProcessMeters


@dataclass(slots=True)
class Condition:
    """Whether the process accepts work. Set by the composition root; read by probes and admission control."""

    ready: bool = False
    stopping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """References to everything the server needs from the rest of the process."""

    settings: Settings
    authenticator: Authenticator
    tickets: TicketOffice
    writer: Writer
    publisher: Publisher
    journal: Journal
    shadows: Shadowing
    meters: Mapping[str, Meters]
    """Statistics by workspace, computed from the published events."""
    condition: Condition = field(default_factory=Condition)
    process: ProcessMeters = field(default_factory=ProcessMeters)
