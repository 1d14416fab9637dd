"""Record of a callback in the event model."""

from dataclasses import dataclass

from router.model.policy import CallbackMode, CallbackPlace


@dataclass
class RefCallback:
    """State of a contact that is a callback."""

    mode: CallbackMode
    place: CallbackPlace
    expires_at_ms: int | None
    scheduled_at_ms: int | None = None
    due_at_ms: int | None = None
    dialling: bool = False
    for_agent: str | None = None
    attempts: int = 0
    on_the_line: bool = False
