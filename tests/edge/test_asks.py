"""Every frame that an endpoint accepts belongs to the session, is a query or submit, or has a command."""

from typing import get_args

import pytest

from router.edge.asks import AGENT_COMMANDS, OTHER_COMMANDS
from router.wire import frames
from router.wire.session import Door

_FRAMES_WITHOUT_COMMAND = {
    frames.Hello,
    frames.Refresh,
    frames.Ping,
    frames.AskExpectedWait,
    frames.Submit,
}


@pytest.mark.parametrize("endpoint", list(Door))
def test_every_frame_of_an_endpoint_has_a_command(endpoint: Door) -> None:
    rows = AGENT_COMMANDS if endpoint is Door.DESKTOP else OTHER_COMMANDS
    missing = set(get_args(endpoint.asks)) - _FRAMES_WITHOUT_COMMAND - rows.keys()
    assert not missing


def test_every_command_row_is_for_a_frame_that_an_endpoint_accepts() -> None:
    desktop_frames = set(get_args(Door.DESKTOP.asks))
    other_frames = {
        kind for endpoint in (Door.GATEWAY, Door.SUPERVISOR) for kind in get_args(endpoint.asks)
    }
    assert AGENT_COMMANDS.keys() <= desktop_frames
    assert OTHER_COMMANDS.keys() <= other_frames
