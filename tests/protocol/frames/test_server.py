"""Server frames: tags, and fields that are omitted at their default."""

from typing import get_args

import msgspec

from router.protocol import frames as f
from router.protocol.frames import client, server

TAGS = {
    "StateFrame": "state",
    "WelcomeFrame": "welcome",
    "StatePageFrame": "state_page",
    "ResumedFrame": "resumed",
    "EventFrame": "event",
    "CardFrame": "card",
    "CardChangedFrame": "card_changed",
    "StatsFrame": "stats",
    "StatisticsFrame": "statistics",
    "ScopeFrame": "scope",
    "OkFrame": "ok",
    "ErrorFrame": "error",
    "PongFrame": "pong",
    "ReconnectFrame": "reconnect",
}


def test_the_tags_of_server_frames() -> None:
    kinds = get_args(f.ServerFrame)
    assert {kind.__name__: kind.__struct_config__.tag for kind in kinds} == TAGS


def test_fields_at_their_default_are_omitted() -> None:
    assert msgspec.to_builtins(f.OkFrame(id="1")) == {"type": "ok", "id": "1"}
    error = f.ErrorFrame(code="busy", title="Server overloaded", temporary=True)
    assert msgspec.to_builtins(error) == {"type": "error", "code": "busy", "title": "Server overloaded", "temporary": True}


def test_the_package_exports_every_frame() -> None:
    defined = {
        name
        for module in (client, server)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and name[0] != "_"
    }
    assert defined <= set(f.__all__)
