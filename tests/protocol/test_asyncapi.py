"""AsyncAPI document: structure required by AsyncAPI 3.0, and schemas that frames satisfy."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from router.model.states import AgentState
from router.protocol import frames as f
from router.protocol.asyncapi import asyncapi_document
from router.protocol.close_codes import CloseCode
from router.protocol.session import Endpoint

DOCUMENT = asyncapi_document()


def every_ref(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from every_ref(value)
    elif isinstance(node, list):
        for value in node:
            yield from every_ref(value)


def at(pointer: str) -> Any:
    node: Any = DOCUMENT
    for part in pointer.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_the_document_has_the_required_structure() -> None:
    assert re.fullmatch(r"3\.0\.\d+", DOCUMENT["asyncapi"])
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys()
        assert "/" not in server["host"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = at(operation["channel"]["$ref"])
        for message in operation["messages"]:
            # An operation's messages must be messages of its own channel.
            prefix = operation["channel"]["$ref"] + "/messages/"
            assert message["$ref"].startswith(prefix)
            assert message["$ref"].removeprefix(prefix) in channel["messages"]
    for name in (*DOCUMENT["components"]["messages"], *DOCUMENT["components"]["schemas"]):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)


def test_every_reference_resolves() -> None:
    references = list(every_ref(DOCUMENT))
    assert len(references) > 100
    for reference in references:
        assert at(reference) is not None


def test_every_endpoint_and_frame_is_documented() -> None:
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == {
        *("/v1/desktop", "/v1/gateway", "/v1/supervisor", "/v1/customer")
    }
    for endpoint in Endpoint:
        received = {ref.rpartition("/")[2] for ref in every_ref(DOCUMENT["operations"][f"receive_{endpoint}"])}
        tags = {kind.__struct_config__.tag for kind in get_args(endpoint.client_frames)}
        assert received - {str(endpoint)} == tags - {str(endpoint)}


def schema_of(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": {"schemas": DOCUMENT["components"]["schemas"]}}


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_is_valid_json_schema(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(schema_of(name))


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["messages"]))
def test_the_example_of_every_message_satisfies_its_schema(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    (example,) = message["examples"]
    jsonschema.Draft7Validator(schema_of(message["payload"]["$ref"].rpartition("/")[2])).validate(example["payload"])


@pytest.mark.parametrize("endpoint", Endpoint)
def test_the_router_decodes_the_example_of_every_frame_that_a_client_sends(endpoint: Endpoint) -> None:
    for kind in get_args(endpoint.client_frames):
        (example,) = DOCUMENT["components"]["messages"][kind.__struct_config__.tag]["examples"]
        frame = msgspec.convert(example["payload"], kind)
        assert frame.has_one_target()


def test_no_object_is_a_discriminator() -> None:
    """AsyncAPI's discriminator is a string, the name of a property."""
    assert '"discriminator": {' not in json.dumps(DOCUMENT)


@pytest.mark.parametrize(
    "frame",
    [
        f.HelloFrame(token="t", resume="g:1"),
        f.SetStateFrame(id="1", state=AgentState.READY),
        f.SubmitFrame(id="1", contact=f.ContactFields(channel="voice"), idempotency_key="k"),
        f.OkFrame(id="1", seq=4, subject="c1", state="queued"),
        f.ErrorFrame(code="offer_not_pending", title="The offer has ended", id="1"),
        f.ReconnectFrame(after_ms=5),
    ],
)
def test_real_frames_satisfy_their_schema(frame: Any) -> None:
    payload = DOCUMENT["components"]["messages"][frame.__struct_config__.tag]["payload"]["$ref"]
    validator = jsonschema.Draft7Validator(schema_of(payload.rpartition("/")[2]))
    validator.validate(msgspec.json.decode(msgspec.json.encode(frame)))


def test_the_schema_refuses_what_the_decoder_refuses() -> None:
    validator = jsonschema.Draft7Validator(schema_of("AcceptFrame"))
    assert not validator.is_valid({"type": "accept", "id": "1", "offer_id": "not an id"})
    assert not validator.is_valid({"type": "accept", "id": "1", "offer_id": "o", "more": 1})


def test_every_property_of_every_frame_has_a_description() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["description"], name
        for field, value in schema.get("properties", {}).items():
            assert value["description"], f"{name}.{field}"


def test_patterns_compile_in_other_languages() -> None:
    assert "(?!" not in json.dumps(DOCUMENT)


def test_every_close_code_has_a_text() -> None:
    for code in CloseCode:
        name = code.name.lower().replace("_", " ")
        assert re.search(rf"\* `{int(code)}` {name}: .+\.", DOCUMENT["info"]["description"])
