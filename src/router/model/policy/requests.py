"""Requests of customers: the options that an app shows before its customer waits, and what holds if none is chosen."""

from typing import Annotated

from msgspec import Meta

from router.model.policy.values import DAY_S, PolicyStruct
from router.model.states import Name


class CallbackWindowsPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Time windows in which a customer may be called back, within the opening hours of the queue."""

    length_s: Annotated[int, Meta(ge=300, le=DAY_S)] = 3_600
    """Length of a window in seconds; windows begin at multiples of it."""
    windows_max: Annotated[int, Meta(ge=0, le=24)] = 4
    """Maximum number of windows told; 0: the callback has no agreed time."""
    first_after_s: Annotated[int, Meta(ge=0, le=7 * DAY_S)] = 900
    """Least time from the request to the beginning of the first window."""


class RequestPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Options of a customer who asks for an agent (``POST /v1/requests``)."""

    channels: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()
    """Channels offered besides the one that was asked for."""
    callback: CallbackWindowsPolicy | None = None
    """Offer a callback, where the queue offers callbacks; null: never."""
    later: bool = False
    """Offer to suspend the request, to be resumed on any channel; see ``suspension`` of the queue."""
    default_option: Name = "now"
    """Option that is taken when the customer chooses none in time: ``now``, ``callback``, ``later`` or one of
    ``channels``."""
    choose_s: Annotated[int, Meta(ge=5, le=600)] = 120
    """Time to choose, in seconds."""
    agent_name: Name | None = None
    """Attribute of agents that customers are shown as the name of their agent; null: they are shown none."""
