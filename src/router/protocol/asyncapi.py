"""AsyncAPI 3.0 document of the WebSocket APIs, generated from the frame structs.

Channels are the three endpoints, messages the frames, each with an example. ``send`` and ``receive`` are seen from the router.

AsyncAPI schemas are JSON Schema draft 7, in which ``discriminator`` is the name of a property whose values are names of schemas.
Types of frames and events are none, so it is left out: the ``enum`` of each ``type`` tells the variants apart. The host of
the server is that of the request (``with_server``), so that tools connect to where they got the document.
"""

from typing import Any, Final, get_args

import router
from router.protocol.close_codes import CloseCode, may_reconnect
from router.protocol.codec import SUBPROTOCOLS
from router.protocol.frames import ServerFrame
from router.protocol.schemas import description_of, example_of, field_docs, markdown, schemas_of
from router.protocol.session import Endpoint

_REF: Final = "#/components/schemas/{name}"
_DESCRIPTIONS: Final = {
    Endpoint.DESKTOP: "An agent's desktop: receives offers and sends the agent's actions. The token's subject is the agent.",
    Endpoint.GATEWAY: "A channel gateway: submits contacts and receives their events.",
    Endpoint.CUSTOMER: "The customer of one request: shows it and takes the choice. The token is that of the request, in `hello`.",
    Endpoint.SUPERVISOR: "A supervisor: receives all events of the workspace and statistics of changed queues.",
}
# Frames sent on some endpoints only.
_STAFF: Final = set(Endpoint) - {Endpoint.CUSTOMER}
_RESTRICTED_TO: Final = {
    "stats": {Endpoint.SUPERVISOR},
    "statistics": {Endpoint.SUPERVISOR},
    "state_page": {Endpoint.GATEWAY, Endpoint.SUPERVISOR},
    "state": {Endpoint.CUSTOMER},
    **{name: set(Endpoint) for name in ("ok", "error", "pong", "reconnect")},
}


def asyncapi_document() -> dict[str, Any]:
    """Return the document as plain data."""
    kinds = {kind for endpoint in Endpoint for kind in get_args(endpoint.client_frames)} | set(get_args(ServerFrame))
    ordered = sorted(kinds, key=_schema_name)
    _, schemas = schemas_of(ordered, _REF)
    schemas = _without_discriminators(schemas)
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
        "channels": {str(endpoint): _channel(endpoint) for endpoint in Endpoint},
        "operations": {f"{verb}_{endpoint}": _operation(endpoint, verb) for endpoint in Endpoint for verb in ("receive", "send")},
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


def with_server(document: dict[str, Any], host: str, *, is_secure: bool) -> dict[str, Any]:
    """Return the document with another host of its server; the rest is shared with the argument."""
    server = {**document["servers"]["router"], "host": host, "protocol": "wss" if is_secure else "ws"}
    return {**document, "servers": {"router": server}}


def _without_discriminators(value: Any) -> Any:
    if isinstance(value, dict):
        # A property of that name would be a schema, which never has `propertyName`.
        return {
            key: _without_discriminators(inner)
            for key, inner in value.items()
            if not (key == "discriminator" and isinstance(inner, dict) and "propertyName" in inner)
        }
    if isinstance(value, list | tuple):
        return [_without_discriminators(inner) for inner in value]
    return value


def _channel(endpoint: Endpoint) -> dict[str, Any]:
    names = [_tag(kind) for kind in (*get_args(endpoint.client_frames), *_server_frames(endpoint))]
    return {
        "address": f"/v1/{endpoint}",
        "title": str(endpoint).capitalize(),
        "description": _DESCRIPTIONS[endpoint],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operation(endpoint: Endpoint, verb: str) -> dict[str, Any]:
    kinds = get_args(endpoint.client_frames) if verb == "receive" else _server_frames(endpoint)
    return {
        "action": verb,
        "channel": {"$ref": f"#/channels/{endpoint}"},
        "summary": f"Frames that a {endpoint} client may send."
        if verb == "receive"
        else f"Frames that a {endpoint} client receives.",
        "messages": [{"$ref": f"#/channels/{endpoint}/messages/{_tag(kind)}"} for kind in kinds],
    }


def _message(kind: type) -> dict[str, Any]:
    doc = description_of(kind)
    return {
        "name": _tag(kind),
        "title": _tag(kind).replace("_", " ").capitalize(),
        "summary": doc.partition(". ")[0].rstrip("."),
        "description": doc,
        "payload": {"$ref": _REF.format(name=_schema_name(kind))},
        "examples": [{"payload": example_of(kind)}],
    }


def _server_frames(endpoint: Endpoint) -> list[type]:
    return [kind for kind in get_args(ServerFrame) if endpoint in _RESTRICTED_TO.get(_tag(kind), _STAFF)]


def _tag(kind: type) -> str:
    tag = getattr(kind, "__struct_config__").tag  # noqa: B009  (a plain `type` does not show it)
    assert isinstance(tag, str)
    return tag


def _schema_name(kind: type) -> str:
    return kind.__name__


def _description() -> str:
    texts = field_docs(CloseCode)
    codes = "\n".join(
        f"* `{int(code)}` {code.name.lower().replace('_', ' ')}: {markdown(texts[code.name])} "
        f"{'The client may reconnect.' if may_reconnect(code) else 'The client must not reconnect automatically.'}"
        for code in CloseCode
    )
    return (
        "JSON and MessagePack carry the same frames; the subprotocol selects the encoding. A client's first frame is `hello`, "
        "within the setting `sockets.hello_timeout_s` (5 seconds by default). Every later frame has an `id`, and the reply is "
        "exactly one `ok` or `error` with that id."
        "\n\nClose codes:\n\n" + codes
    )
