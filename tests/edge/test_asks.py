"""Every frame that a door understands is one of the session's, a question, or has its command."""

from typing import get_args

import pytest

from router.edge import asks
from router.wire import frames
from router.wire.session import Door

_NO_COMMANDS = {frames.Hello, frames.Refresh, frames.Ping, frames.AskExpectedWait, frames.Submit}


@pytest.mark.parametrize("door", list(Door))
def test_every_frame_of_a_door_has_its_command(door: Door) -> None:
    rows = asks._AGENTS if door is Door.DESKTOP else asks._OTHERS
    missing = set(get_args(door.asks)) - _NO_COMMANDS - rows.keys()
    assert not missing


def test_no_row_is_for_a_frame_that_no_door_understands() -> None:
    at_desktops = set(get_args(Door.DESKTOP.asks))
    elsewhere = {kind for door in (Door.GATEWAY, Door.SUPERVISOR) for kind in get_args(door.asks)}
    assert asks._AGENTS.keys() <= at_desktops
    assert asks._OTHERS.keys() <= elsewhere
