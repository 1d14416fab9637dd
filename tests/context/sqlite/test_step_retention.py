"""Steps of a type with a time of its own: deleted when it is over, from the file too; those of other types stay."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import structlog

from router.context.journey import Step
from router.context.keys import SealBroken, new_master_keys
from router.context.port import CustomerChangeKind
from router.context.sqlite.journeys import JOURNEY_COLUMN, TAIL_COLUMN
from router.context.sqlite.step_retention import ROUND_MS
from router.context.sqlite.store import IDLE_FOLD_MS, SqliteContextStore
from tests.context.sqlite.test_store import create, identity

NOW = 1_800_000_000_000
DAY_MS = 86_400_000
KEPT = {"login": DAY_MS, "payment": 400 * DAY_MS}
MASTER = new_master_keys()


def opened(directory: Path, kept_ms: Mapping[str, int] = KEPT) -> SqliteContextStore:
    store = SqliteContextStore(directory, MASTER, now_ms=NOW, steps_kept_ms=kept_ms)
    store.begin()
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteContextStore]:
    found = opened(tmp_path)
    yield found
    found.close()


def some_steps(store: SqliteContextStore, customer_id: str, *types: str) -> None:
    for number, name in enumerate(types):
        step = Step(NOW + number, name, id=f"{customer_id}-{number}")
        store.append_step("default", step, customer_id=customer_id, identity=None, now_ms=NOW)


def maintain(store: SqliteContextStore, at_ms: int) -> None:
    store.commit()
    store.maintain(now_ms=at_ms)
    store.begin()


def types(store: SqliteContextStore, customer_id: str) -> list[str]:
    return sorted(step.type for step in store.steps("default", customer_id, limit=200))


def test_a_step_is_deleted_when_the_time_of_its_type_is_over_and_not_before(store: SqliteContextStore) -> None:
    ann = create(store, identity("app_user", "ann"))
    some_steps(store, ann, "login", "payment", "search")
    maintain(store, NOW + DAY_MS - 1)
    assert types(store, ann) == ["login", "payment", "search"]
    store.take_changes()
    maintain(store, NOW + ROUND_MS + DAY_MS)
    assert types(store, ann) == ["payment", "search"]
    assert [(one.customer_id, one.kind) for one in store.take_changes()] == [(ann, CustomerChangeKind.PROFILE)]
    maintain(store, NOW + 399 * DAY_MS)
    assert "payment" in types(store, ann)


def test_a_round_goes_over_all_customers_in_slices(store: SqliteContextStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.context.sqlite.store.STEP_SLICE", 2)
    names = [create(store, identity("app_user", f"user-{number}")) for number in range(5)]
    for name in names:
        some_steps(store, name, "login")
    late_ms = NOW + 2 * DAY_MS
    left = []
    for _ in range(4):
        maintain(store, late_ms)
        left.append(sum(len(types(store, name)) for name in names))
    assert left == [3, 1, 0, 0]
    # A new round begins a day later, also for those that were visited.
    some_steps(store, names[0], "login")
    maintain(store, late_ms + ROUND_MS - 1)
    assert types(store, names[0]) == ["login"]
    maintain(store, late_ms + ROUND_MS)
    assert types(store, names[0]) == []


def test_what_is_deleted_stays_deleted_after_a_start(store: SqliteContextStore, tmp_path: Path) -> None:
    ann = create(store, identity("app_user", "ann"))
    some_steps(store, ann, "login", "search")
    maintain(store, NOW + IDLE_FOLD_MS + 2 * DAY_MS)
    store.commit()
    store.close()
    again = opened(tmp_path, {})
    assert types(again, ann) == ["search"]
    again.close()


def test_without_types_nothing_is_visited(tmp_path: Path) -> None:
    store = opened(tmp_path, {})
    ann = create(store, identity("app_user", "ann"))
    some_steps(store, ann, "login")
    maintain(store, NOW + 300 * DAY_MS)
    assert types(store, ann) == ["login"]
    store.close()


def damage(store: SqliteContextStore, customer_id: str, table: str, *, opens: bool) -> int:
    """Damage what is stored about the steps of a customer: the seal, or what is sealed where ``opens``; return the row."""
    customers = store._table("default")
    row = customers.row_of(customer_id)
    key = customers.key_of(row)
    assert key is not None
    column, name = (TAIL_COLUMN, "step") if table == "tail" else (JOURNEY_COLUMN, "steps")
    content = key.seal(column, b"\xc1damaged") if opens else b"damaged"
    assert store._data.execute(f"UPDATE {table} SET {name} = ? WHERE row = ?", (content, row)).rowcount
    if table == "tail":
        # As after a restart: the steps are not in memory.
        store._journeys._forget_plain(row, store._journeys._tails[row])
    return row


@pytest.mark.parametrize("opens", [False, True])
def test_steps_that_cannot_be_read_are_left_and_do_not_keep_those_of_others(store: SqliteContextStore, opens: bool) -> None:
    ann, bob, cy = (create(store, identity("app_user", name)) for name in ("ann", "bob", "cy"))
    for name in (ann, cy):
        some_steps(store, name, "login", "search")
    maintain(store, NOW + IDLE_FOLD_MS + 1)  # They are folded.
    some_steps(store, bob, "login", "search")
    rows = [damage(store, ann, "journey", opens=opens), damage(store, bob, "tail", opens=opens)]
    with structlog.testing.capture_logs() as logs:
        maintain(store, NOW + 2 * DAY_MS)
        maintain(store, NOW + 2 * DAY_MS + 1)
    assert types(store, cy) == ["search"]
    assert [(one["action"], one["row"]) for one in logs] == [("journey_unreadable", row) for row in reversed(rows)]
    for name in (ann, bob):  # Nothing is deleted: after a repair of the file they are there again.
        with pytest.raises((SealBroken, ValueError)):
            types(store, name)
    assert store._journeys.tail_length == 2
