"""What stands behind the door: the rooms that an operation may use, and the state of the house as health checks see it."""

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
    """Whether the process takes new work. Health checks and admission read it, the composition root sets it."""

    ready: bool = False
    stopping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """All rooms that the door leads to."""

    settings: Settings
    authenticator: Authenticator
    tickets: TicketOffice
    writer: Writer
    publisher: Publisher
    journal: Journal
    shadows: Shadowing
    meters: Mapping[str, Meters]
    """By workspace; folds over what was published."""
    condition: Condition = field(default_factory=Condition)
    process: ProcessMeters = field(default_factory=ProcessMeters)
