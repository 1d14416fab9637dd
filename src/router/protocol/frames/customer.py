"""Frames of a customer's socket. None of them names a contact: the token is bound to one."""

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

from router.model import commands as c
from router.model.events.contact import TimeWindow
from router.model.states import IfUnable, Name
from router.protocol.frames.client import HelloFrame, PingFrame
from router.protocol.frames.command_frame import CommandFrame
from router.protocol.frames.goals import AnswerFrame


class ChooseFrame(CommandFrame, frozen=True, kw_only=True, tag="choose"):
    """Customer: choose an option of the request."""

    command = c.ChooseOption
    option: Name
    """Id of the option."""
    window: TimeWindow | None = None
    """Time window of a callback, as the request shows it; omitted: the callback has no agreed time."""


class CancelRequestFrame(CommandFrame, frozen=True, kw_only=True, tag="cancel_request"):
    """Customer: leave. The choice, the wait, the callback or the conversation ends."""

    command = c.CancelRequest


class SuspendRequestFrame(CommandFrame, frozen=True, kw_only=True, tag="suspend_request"):
    """Customer: stop for now, and resume later; on the terms of the queue's policy."""

    command = c.SuspendContact


class ResumeRequestFrame(CommandFrame, frozen=True, kw_only=True, tag="resume_request"):
    """Customer: resume a suspended request."""

    command = c.ResumeContact
    channel: Name | None = None
    """Channel to go on with; omitted: the same as before."""


class SwitchRequestChannelFrame(CommandFrame, frozen=True, kw_only=True, tag="switch_request_channel"):
    """Customer: go on on another channel that the policy offers; to the present one: give up a switch in progress.

    If the agent cannot take the channel now, the switch waits and the conversation goes on.
    """

    command = c.SwitchChannel
    fixed: ClassVar[Mapping[str, object]] = {"if_unable": IfUnable.QUEUE, "by_customer": True}
    channel: Name
    """One of the ``channels`` of the request."""


CustomerFrame: TypeAlias = (
    HelloFrame
    | PingFrame
    | ChooseFrame
    | CancelRequestFrame
    | SuspendRequestFrame
    | ResumeRequestFrame
    | SwitchRequestChannelFrame
    | AnswerFrame
)
