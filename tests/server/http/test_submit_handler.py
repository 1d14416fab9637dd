"""Submits over HTTP: what is refused before any work, what is checked, and how an answer that does not come ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from router.runtime.writer import Writer
from tests.support.in_process_api import OperatedRouter, operated_router

GATEWAY = "gateway:web"
BODY = {"channel": "voice", "queue_id": "support"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[OperatedRouter]:
    async with operated_router(tmp_path, server={"answer_timeout_s": 1, "allowed_origins": ["https://desk.example"]}) as operated:
        yield operated


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://desk.example"}, {"X-Request-ID": "0123456789abcdef"}])
async def test_an_overloaded_router_refuses_a_submit_before_any_work(
    api: OperatedRouter, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(Writer, "is_submit_refused", lambda *_: True)
    first, second = [await api.call("POST", "/v1/contacts", BODY, as_=GATEWAY, headers=headers) for _ in range(2)]
    for got in (first, second):
        assert (got.status, got.code, got.json["applied"]) == (503, "busy", "no")
        assert got.headers.get("Access-Control-Allow-Origin") == headers.get("Origin")
    assert (first.headers["X-Request-ID"] == second.headers["X-Request-ID"]) == ("X-Request-ID" in headers)
    assert (await api.call("GET", "/v1/contacts", as_=GATEWAY)).status == 200
    monkeypatch.undo()
    assert await api.told() == []
    assert (await api.call("POST", "/v1/contacts", BODY, as_=GATEWAY)).status == 201


@pytest.mark.parametrize(
    ("body", "headers", "code", "field"),
    [
        (BODY, {"If-Match": '"1"'}, "precondition_failed", "If-Match"),
        (BODY, {"Idempotency-Key": ""}, "invalid_value", "Idempotency-Key"),
        (BODY | {"colour": "red"}, {}, "invalid_value", "colour"),
        (BODY | {"priority_s": "high"}, {}, "invalid_value", "priority_s"),
        (None, {}, "unsupported_media_type", None),
    ],
)
async def test_a_submit_that_cannot_be_meant_is_refused(
    api: OperatedRouter, body: Any, headers: dict[str, str], code: str, field: str | None
) -> None:
    got = await api.call("POST", "/v1/contacts", body, as_=GATEWAY, headers=headers)
    assert (got.code, got.json.get("field")) == (code, field), got
    assert await api.told() == []


async def test_a_repeated_submit_gets_the_first_answer(api: OperatedRouter) -> None:
    headers = {"Idempotency-Key": "call-17"}
    first, second = [await api.call("POST", "/v1/contacts", BODY, as_=GATEWAY, headers=headers) for _ in range(2)]
    assert (first.status, second.status) == (201, 201)
    assert first.json == second.json
    assert ["Idempotency-Replayed" in got.headers for got in (first, second)] == [False, True]
    other = await api.call("POST", "/v1/contacts", BODY | {"queue_id": "sales"}, as_=GATEWAY, headers=headers)
    assert (other.status, other.code) == (422, "idempotency_key_reused")


async def test_a_submit_without_an_answer_in_time_may_have_taken_effect(
    api: OperatedRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writer, "submit", lambda *_, **__: None)
    both = await asyncio.gather(*(api.call("POST", "/v1/contacts", BODY, as_=GATEWAY) for _ in range(2)))
    assert [(got.code, got.json["applied"]) for got in both] == [("answer_timeout", "unknown")] * 2
    monkeypatch.undo()
    assert (await api.call("POST", "/v1/contacts", BODY, as_=GATEWAY)).status == 201
