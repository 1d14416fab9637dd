"""Logs: one JSON object per line, whatever the fields contain (S44)."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from router.telemetry.logs import configure_logs


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logs("info", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_has_text_action_and_fields(out: io.StringIO) -> None:
    structlog.get_logger("a").info("a text", action="an_action", count=3)
    [line] = lines(out)
    assert (line["event"], line["action"], line["count"]) == ("a text", "an_action", 3)
    assert line["level"] == "info" and line["timestamp"]


def test_lines_below_the_level_are_not_written(out: io.StringIO) -> None:
    structlog.get_logger("a").debug("quiet", action="x")
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    "evil", ["a\nb", "a\r\nb", "\x1b[2J", "\x7f", "\x85", "\x9b31m", "\u2028", "\u202e", "\ud800", "\x00"], ids=ascii
)
def test_logged_data_cannot_forge_lines_or_terminal_codes(out: io.StringIO, evil: str) -> None:
    structlog.get_logger("a").info("text", action="x", value=evil)
    text = out.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    assert all(ord(char) >= 32 and not 127 <= ord(char) < 160 for char in text[:-1])
    assert evil not in text
    json.loads(text)


def test_a_value_that_is_not_json_is_replaced_by_its_type(out: io.StringIO) -> None:
    structlog.get_logger("a").info("text", action="x", value=object())
    assert lines(out)[0]["value"] == "<object>"


def test_library_records_have_the_same_format(out: io.StringIO) -> None:
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("some.library").exception("it\nfailed")
    logging.getLogger("some.library").info("chatter")
    [line] = lines(out)
    assert line["event"] == "it\nfailed" and line["logger"] == "some.library"
    assert "ValueError" in str(line["exception"])


def test_configuring_twice_writes_each_line_once(out: io.StringIO) -> None:
    configure_logs("info", stream=out)
    logging.getLogger("some.library").warning("once")
    assert len(lines(out)) == 1
