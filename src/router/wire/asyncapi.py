"""AsyncAPI 3.0 document of the WebSocket APIs, generated from the frame structs.

Channels are the three endpoints, messages the frames. ``send`` and ``receive`` are seen from the router.
"""

from typing import Any, Final, get_args

import msgspec

import router
from router.wire.close_codes import CloseCode, may_return
from router.wire.codec import SUBPROTOCOLS
from router.wire.frames import Tell
from router.wire.session import Door

_REF: Final = "#/components/schemas/{name}"
_ABOUT: Final = {
    Door.DESKTOP: "An agent's desktop: receives offers and sends the agent's actions. The token's subject is the agent.",
    Door.GATEWAY: "A channel gateway: submits contacts and receives their events.",
    Door.SUPERVISOR: "A supervisor: receives all events of the workspace, and statistics of changed queues at most once a second.",
}
# Frames sent on some endpoints only.
_ONLY_FOR: Final = {"figures": {Door.SUPERVISOR}, "page": {Door.GATEWAY, Door.SUPERVISOR}}


def asyncapi_document() -> dict[str, Any]:
    """Return the document as plain data."""
    kinds = {kind for door in Door for kind in get_args(door.asks)} | set(get_args(Tell))
    ordered = sorted(kinds, key=_name)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=_REF)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:contact-router:sockets",
        "info": {
            "title": "Contact Router WebSockets",
            "version": router.__version__,
            "description": _description(),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "router": {
                "host": "127.0.0.1:8080",
                "protocol": "ws",
                "description": "Subprotocols: " + ", ".join(SUBPROTOCOLS),
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            }
        },
        "channels": {str(door): _channel(door) for door in Door},
        "operations": {
            f"{verb}_{door}": _operation(door, verb)
            for door in Door
            for verb in ("receive", "send")
        },
        "components": {
            "schemas": schemas,
            "messages": {_tag(kind): _message(kind) for kind in ordered},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "In the header, or the token or a single-use ticket in `hello`.",
                }
            },
        },
    }


def _channel(door: Door) -> dict[str, Any]:
    names = [_tag(kind) for kind in (*get_args(door.asks), *_told_at(door))]
    return {
        "address": f"/v1/{door}",
        "title": str(door).capitalize(),
        "description": _ABOUT[door],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operation(door: Door, verb: str) -> dict[str, Any]:
    kinds = get_args(door.asks) if verb == "receive" else _told_at(door)
    return {
        "action": verb,
        "channel": {"$ref": f"#/channels/{door}"},
        "summary": f"Frames that a {door} client may send."
        if verb == "receive"
        else f"Frames that a {door} client receives.",
        "messages": [{"$ref": f"#/channels/{door}/messages/{_tag(kind)}"} for kind in kinds],
    }


def _message(kind: type) -> dict[str, Any]:
    doc = " ".join((kind.__doc__ or "").split())
    return {
        "name": _tag(kind),
        "title": _tag(kind).replace("_", " ").capitalize(),
        "summary": doc.partition(". ")[0].rstrip("."),
        "description": doc,
        "payload": {"$ref": _REF.format(name=_name(kind))},
    }


def _told_at(door: Door) -> list[type]:
    return [kind for kind in get_args(Tell) if door in _ONLY_FOR.get(_tag(kind), set(Door))]


def _tag(kind: type) -> str:
    tag = getattr(kind, "__struct_config__").tag  # noqa: B009  (a plain `type` does not show it)
    assert isinstance(tag, str)
    return tag


def _name(kind: type) -> str:
    return kind.__name__


def _description() -> str:
    codes = "\n".join(
        f"* `{int(code)}` {code.name.lower().replace('_', ' ')} "
        f"– {'reconnect' if may_return(code) else 'do not reconnect automatically'}"
        for code in CloseCode
    )
    return (
        "JSON and MessagePack carry the same frames; the subprotocol selects the encoding. A client's first frame is `hello`, "
        "within five seconds. Every later frame has an `id` and is answered by exactly one `ok` or `error` with that id."
        "\n\nClose codes:\n\n" + codes
    )
