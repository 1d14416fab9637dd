"""Exceptions in logs: types and places, never a value that a message holds."""

import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import structlog

from router.model.errors import RouterError
from router.telemetry.exceptions import exception_text, log_loop_error, report_uncaught_exceptions
from router.telemetry.logs import configure_logs

VALUE = "canary-value"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logs(stream=stream)
    yield stream
    configure_logs()


EMPTY: dict[str, int] = {}


def look_up(_arguments: str = "") -> None:
    EMPTY[VALUE]


def convert() -> None:
    int(VALUE)


def decode() -> None:
    VALUE.encode().decode("utf-16-be").encode("ascii")


def chained() -> None:
    try:
        look_up()
    except KeyError as error:
        raise RouterError("the fact cannot be read") from error


def grouped() -> None:
    raise ExceptionGroup(VALUE, [ValueError(VALUE), KeyError(VALUE)])


def in_a_context() -> None:
    try:
        convert()
    finally:
        look_up()


@pytest.mark.parametrize("fail", [look_up, convert, decode, chained, grouped, in_a_context])
def test_a_logged_exception_names_type_and_place_and_no_value(out: io.StringIO, fail: Callable[[], None]) -> None:
    try:
        fail()
    except Exception as error:
        structlog.get_logger("a").exception("text", action="x")
        structlog.get_logger("a").error("text", action="y", exc_info=error)
        logging.getLogger("some.library").exception("failed")
        name = type(error).__name__
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(lines) == 3 and VALUE not in out.getvalue()
    for line in lines:
        assert name in line["exception"] and f"in {fail.__name__}" in line["exception"]


def test_the_messages_of_the_router_and_of_the_program_stay() -> None:
    for error in (RouterError("at most 8 members"), TypeError("unsupported operand"), FileNotFoundError(2, "No such file")):
        assert str(error) in exception_text(error)
    try:
        chained()
    except RouterError as error:
        text = exception_text(error)
    assert text.index("KeyError") < text.index("followed by") < text.index("the fact cannot be read")


def test_a_chain_without_end_is_cut() -> None:
    one, other = ValueError(VALUE), KeyError(VALUE)
    one.__cause__, other.__cause__ = other, one
    assert VALUE not in exception_text(one)


async def test_a_task_that_nothing_waits_for_is_reported_without_its_value(out: io.StringIO) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)

    async def fail() -> None:
        raise KeyError(VALUE)

    task = loop.create_task(fail(), name="the-task")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    loop.call_soon(look_up, VALUE)
    await asyncio.sleep(0.01)
    assert "the-task" in out.getvalue() and out.getvalue().count("KeyError: (message") == 2 and VALUE not in out.getvalue()


def test_what_ends_a_thread_or_the_process_is_reported_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    stream = io.StringIO()
    report_uncaught_exceptions(stream)
    thread = threading.Thread(target=look_up)
    thread.start()
    thread.join()
    try:
        convert()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert "KeyError" in stream.getvalue() and "ValueError" in stream.getvalue() and VALUE not in stream.getvalue()
