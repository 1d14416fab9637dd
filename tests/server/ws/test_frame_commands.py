"""Every frame that an endpoint accepts belongs to the session, is a query or submit, or has a command."""

from typing import get_args

import pytest

from router.protocol import frames
from router.protocol.session import Endpoint
from router.server.ws.frame_commands import AGENT_COMMANDS, OTHER_COMMANDS

_FRAMES_WITHOUT_COMMAND = {
    frames.HelloFrame,
    frames.RefreshFrame,
    frames.PingFrame,
    frames.ExpectedWaitFrame,
    frames.SubmitFrame,
}


@pytest.mark.parametrize("endpoint", list(Endpoint))
def test_every_frame_of_an_endpoint_has_a_command(endpoint: Endpoint) -> None:
    rows = AGENT_COMMANDS if endpoint is Endpoint.DESKTOP else OTHER_COMMANDS
    missing = set(get_args(endpoint.client_frames)) - _FRAMES_WITHOUT_COMMAND - rows.keys()
    assert not missing


def test_every_command_row_is_for_a_frame_that_an_endpoint_accepts() -> None:
    desktop_frames = set(get_args(Endpoint.DESKTOP.client_frames))
    other_frames = {
        kind
        for endpoint in (Endpoint.GATEWAY, Endpoint.SUPERVISOR)
        for kind in get_args(endpoint.client_frames)
    }
    assert AGENT_COMMANDS.keys() <= desktop_frames
    assert OTHER_COMMANDS.keys() <= other_frames
