"""Page of the WebSocket API: every frame with its example and fields, every reference resolved."""

import html
import json
import re

from router.protocol.asyncapi import asyncapi_document
from router.server.http.sockets_page import sockets_page

DOCUMENT = asyncapi_document()
PAGE = sockets_page(DOCUMENT)


def test_every_frame_is_shown_with_an_example_in_each_channel_that_has_it() -> None:
    for name, channel in DOCUMENT["channels"].items():
        for message in channel["messages"]:
            found = re.search(rf"id='{name}-(?:receive|send)-{message}'.*?<pre>(.*?)</pre>", PAGE, re.DOTALL)
            assert found, f"{name} {message}"
            assert json.loads(html.unescape(found.group(1)))["type"] == message


def test_every_link_within_the_page_has_a_target() -> None:
    targets = set(re.findall(r" id='([^']+)'", PAGE))
    links = set(re.findall(r"href='#([^']+)'", PAGE))
    assert len(links) > 20
    assert links <= targets


def test_no_reference_is_left_for_the_reader_to_resolve() -> None:
    assert "$ref" not in PAGE
    assert "#/components" not in PAGE


def test_every_field_of_a_frame_is_in_its_table() -> None:
    _, _, entry = PAGE.partition("id='gateway-receive-submit'")
    table = entry[: entry.index("</details>")]
    for field in ("id", "contact", "idempotency_key"):
        assert f"<code>{field}</code>" in table
    assert "href='#schema-ContactFields'" in table


def test_ids_are_unique() -> None:
    ids = re.findall(r" id='([^']+)'", PAGE)
    assert len(ids) == len(set(ids))
