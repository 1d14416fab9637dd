"""Client of a desktop: the frames of its commands."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from router.client import DesktopClient
from router.model.states import AgentState
from tests.support.scripted_server import FAST_OPTIONS, answering_script, scripted_server, stay_connected

Send = Callable[[DesktopClient], Awaitable[Any]]


def a_desktop(url: str) -> DesktopClient:
    return DesktopClient(url, "token", codec="json", options=FAST_OPTIONS)


@pytest.mark.parametrize(
    ("send", "frame"),
    [
        (lambda d: d.ready(), {"type": "set_state", "state": "ready", "after_work": False}),
        (
            lambda d: d.not_ready("lunch", after_work=True),
            {"type": "set_state", "state": "not_ready", "reason": "lunch", "after_work": True},
        ),
        (lambda d: d.accept("c1.1"), {"type": "accept", "offer_id": "c1.1"}),
        (lambda d: d.decline("c1.1", "busy"), {"type": "decline", "offer_id": "c1.1", "reason": "busy"}),
        (lambda d: d.hold("c1.1"), {"type": "hold", "assignment_id": "c1.1"}),
        (lambda d: d.unhold("c1.1"), {"type": "unhold", "assignment_id": "c1.1"}),
        (lambda d: d.park("c1.1"), {"type": "park", "assignment_id": "c1.1"}),
        (lambda d: d.suspend("c1"), {"type": "suspend", "contact_id": "c1"}),
        (lambda d: d.unpark("c1.1"), {"type": "unpark", "assignment_id": "c1.1"}),
        (lambda d: d.pause_channels("voice", "chat"), {"type": "set_channels", "paused": ["voice", "chat"]}),
        (lambda d: d.end("c1"), {"type": "end", "contact_id": "c1", "reason": "ended"}),
        (lambda d: d.extend_wrap_up("c1.1", 30), {"type": "extend_wrap_up", "assignment_id": "c1.1", "extend_s": 30}),
        (lambda d: d.complete("c1.1", "resolved"), {"type": "complete", "assignment_id": "c1.1", "disposition": "resolved"}),
        (lambda d: d.transfer_to_queue("c1", "sales"), {"type": "transfer", "contact_id": "c1", "to_queue_id": "sales"}),
        (
            lambda d: d.transfer_to_agent("c1", "bob", wait_s=60, return_to_sender_s=30),
            {"type": "transfer", "contact_id": "c1", "to_agent_id": "bob", "wait_s": 60, "return_to_sender_s": 30},
        ),
        (lambda d: d.consult_agent("c1", "bob"), {"type": "consult", "contact_id": "c1", "to_agent_id": "bob"}),
        (lambda d: d.consult_queue("c1", "sales"), {"type": "consult", "contact_id": "c1", "to_queue_id": "sales"}),
        (lambda d: d.complete_consult("c1"), {"type": "consult_complete", "contact_id": "c1"}),
        (lambda d: d.cancel_consult("c1"), {"type": "consult_cancel", "contact_id": "c1"}),
        (lambda d: d.conference("c1"), {"type": "conference", "contact_id": "c1"}),
        (lambda d: d.leave("c1"), {"type": "leave", "contact_id": "c1"}),
        (lambda d: d.hand_over("c1", "bob"), {"type": "hand_over", "contact_id": "c1", "to_agent_id": "bob"}),
    ],
)
async def test_a_command_sends_its_frame(send: Send, frame: dict[str, Any]) -> None:
    frames: list[dict[str, Any]] = []
    async with scripted_server(answering_script(frames)) as url, a_desktop(url) as desktop:
        await send(desktop)
    (sent,) = frames
    assert {name: value for name, value in sent.items() if value is not None} == frame


async def test_the_state_is_loaded_from_the_welcome() -> None:
    async with scripted_server(stay_connected) as url, a_desktop(url) as desktop:
        assert (desktop.state.agent_id, desktop.state.state) == ("ada", AgentState.READY)
        assert (desktop.history_id, desktop.seq) == ("g", 10)
