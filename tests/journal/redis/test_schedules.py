"""Two nodes on one real server under faults, in seeded schedules; and that the tests refuse each change that weakens the fence."""

from collections.abc import Callable
from os import environ

import pytest
from msgspec import structs

from router.journal.redis import appender, lease, log
from router.journal.redis.connection import StoreError
from router.journal.redis.layout import Meta
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.scripts import ACQUIRE, APPEND, RENEW, Script
from tests.support import redis_schedules
from tests.support.redis_schedules import Violation, run_schedules
from tests.support.redis_server import RedisServer

_SEEDS_OF_A_MUTANT = 300


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender, "_RETRY_FIRST_S", 0.0)


def test_schedules(server: RedisServer) -> None:
    run_schedules(server, "s", range(1_000, 1_000 + int(environ.get("JOURNAL_SCHEDULES", "80"))))


Mutant = Callable[[pytest.MonkeyPatch], None]


def _changed(script: Script, *changes: tuple[str, str]) -> Script:
    text = script.text
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return Script.of(text)


def _append_without(*lines: str) -> Mutant:
    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(log, "APPEND", _changed(APPEND, *((line, "") for line in lines)))

    return apply


def _no_epoch_in_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "APPEND", _changed(APPEND, ("ARGV[1] .. '-' .. ARGV[i]", "'1-' .. ARGV[i]")))


def _epoch_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = _changed(ACQUIRE, ("tonumber(ARGV[3])) + 1)", "tonumber(ARGV[3]), 1))"))
    monkeypatch.setattr(lease, "ACQUIRE", changed)
    monkeypatch.setattr(redis_schedules, "ALL", (*redis_schedules.ALL, changed))


def _no_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "APPEND", _changed(APPEND, (" or m[2] ~= ARGV[2]", "")))
    # The head that is read back is then compared without it, too.
    read_back = WorkspaceLog.read_back
    monkeypatch.setattr(WorkspaceLog, "read_back", lambda self, meta: read_back(self, _with_owner(meta, self.owner)))


def _with_owner(meta: Meta | None, owner: str) -> Meta | None:
    return None if meta is None else structs.replace(meta, owner=owner)


def _blind_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_back(self: appender.Appender, logs: list[WorkspaceLog]) -> list[WorkspaceLog]:
        return logs

    monkeypatch.setattr(appender.Appender, "_read_back", read_back)


def _renewal_without_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = _changed(
        RENEW, ("if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then", "if false then"), ("if holder == ARGV[2] then", "if holder then")
    )
    monkeypatch.setattr(redis_schedules, "RENEW", changed)
    monkeypatch.setattr(redis_schedules, "ALL", (*redis_schedules.ALL, changed))


_FENCE = "if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[1], m[2]} end\n"
_GAP = "if m[3] ~= ARGV[3] then return {'GAP', m[3]} end\n"
_DIVERGED = "if m[4] ~= ARGV[4] then return {'DIVERGED', m[3]} end\n"
_TORN = "if last ~= m[3] then return {'TORN', m[3], last} end\n"

_MUTANTS: dict[str, Mutant] = {
    "no compare-and-set": _append_without(_GAP, _DIVERGED, _TORN),
    "no epoch and owner": _append_without(_FENCE),
    "no nonce": _no_nonce,
    "no epoch in the ids": _no_epoch_in_ids,
    "the epoch stays": _epoch_stays,
    "blind retry": _blind_retry,
    "renewal without owner": _renewal_without_owner,
    "no inbound position": lambda monkeypatch: monkeypatch.setattr(
        log,
        "APPEND",
        _changed(APPEND, (", 'in', ARGV[8])", ")"), (" and m[5] == ARGV[8]", ""), ("if m[5] ~= ARGV[7] then", "if false then")),
    ),
}


@pytest.mark.parametrize("name", list(_MUTANTS))
def test_the_schedules_refuse_a_mutant(name: str, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    _MUTANTS[name](monkeypatch)
    with pytest.raises((Violation, StoreError, AssertionError)):
        run_schedules(server, f"x{list(_MUTANTS).index(name)}", range(_SEEDS_OF_A_MUTANT))
