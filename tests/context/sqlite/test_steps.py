"""Steps of a batch: stored together, with the results that they would have one after the other, or not at all."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.context.customers import ErasedCustomer, UnknownCustomer
from router.context.identities import Assurance, Identity, NormalIdentity, normalise
from router.context.journey import LOGOUT, Step
from router.context.keys import SealBroken, new_master_keys
from router.context.port import NewStep, StepResult
from router.context.sqlite.data_keys import KeyStore
from router.context.sqlite.store import SqliteContextStore

NOW = 1_800_000_000_000
MASTER = new_master_keys()


def identity(type: str, value: str) -> NormalIdentity:
    return normalise(Identity(type=type, value=value, assurance=Assurance.VERIFIED), region="DE")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteContextStore]:
    opened = SqliteContextStore(tmp_path / "context", MASTER, now_ms=NOW, steps_per_minute=1_000)
    opened.begin()
    yield opened
    opened.close()


def create(store: SqliteContextStore, value: str) -> str:
    found = store.resolve("default", [identity("app_user", value)], at_ms=NOW, create=True, now_ms=NOW)
    assert found.customer_id is not None
    return found.customer_id


def test_a_batch_has_the_results_of_single_steps(tmp_path: Path) -> None:
    """Members, repeats, devices, late steps and folds at random: stores that get the same steps in other batches agree."""
    pick, stores = random.Random(5), []
    for name in ("single", "batches"):
        store = SqliteContextStore(tmp_path / name, MASTER, now_ms=NOW)
        store.begin()
        ids = [create(store, f"u-{number}") for number in range(5)]
        store.merge("default", ids[0], ids[1], actor="a", reason="r", now_ms=NOW)
        stores.append((store, ids))
    steps = []
    for number in range(400):
        step = Step(
            NOW + pick.randrange(1_000), pick.choice(["page", "view", LOGOUT]), id=pick.choice([None, f"s-{pick.randrange(300)}"])
        )
        by_device = pick.random() < 0.2
        steps.append((step, None if by_device else pick.randrange(5), identity("device", f"d-{number % 7}") if by_device else None))
    results: list[list[StepResult]] = []
    for (store, ids), size in zip(stores, (1, 53), strict=True):
        new = [NewStep(step, None if customer is None else ids[customer], device) for step, customer, device in steps]
        found = [one for at in range(0, len(new), size) for one in store.append_steps("default", new[at : at + size], now_ms=NOW)]
        assert all(isinstance(one, StepResult) for one in found)
        results.append([one for one in found if isinstance(one, StepResult)])
    assert [one.stored for one in results[0]] == [one.stored for one in results[1]]
    journeys = [[store.steps("default", one, limit=200) for one in ids] for store, ids in stores]
    assert journeys[0] == journeys[1] and len(journeys[0][2]) > 32
    for store, _ in stores:
        store.close()


def test_a_faulty_customer_costs_the_other_steps_of_a_batch_nothing(store: SqliteContextStore) -> None:
    here, gone = create(store, "u-1"), create(store, "u-2")
    store.commit()
    assert store.erase("default", gone, now_ms=NOW)
    store.begin()
    new = [NewStep(Step(NOW, "page"), one, None) for one in (here, gone, "c_" + "0" * 32, here)]
    results = store.append_steps("default", new, now_ms=NOW)
    assert [type(one) for one in results] == [StepResult, ErasedCustomer, UnknownCustomer, StepResult]
    assert len(store.steps("default", here, limit=9)) == 2


def test_of_a_batch_that_fails_nothing_is_stored_or_remembered(store: SqliteContextStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batch is no repeat when it is sent again."""
    good, broken = create(store, "u-1"), create(store, "u-2")
    store.commit()
    store.take_changes()
    store.begin()
    batch = [NewStep(Step(NOW, "page", id="s-1"), good, None), NewStep(Step(NOW, "page", id="s-2"), broken, None)]
    broken_row = 2
    with monkeypatch.context() as patched:
        get = KeyStore.get
        patched.setattr(KeyStore, "get", lambda keys, name, row: None if row == broken_row else get(keys, name, row))
        store.attempt_began()
        with pytest.raises(SealBroken):
            store.append_steps("default", batch, now_ms=NOW)
        store.attempt_failed()
    assert store.steps("default", good, limit=9) == [] == store.take_changes()
    results = store.append_steps("default", batch, now_ms=NOW)
    assert [isinstance(one, StepResult) and one.stored for one in results] == [True, True]


def test_the_customers_of_a_batch_are_found_by_their_ids(store: SqliteContextStore) -> None:
    """A plan that reads all customers of the workspace would take longer for each customer there is."""
    ids = [create(store, f"u-{number}") for number in range(20)]
    statements: list[str] = []
    store._data.set_trace_callback(statements.append)
    store.append_steps("default", [NewStep(Step(NOW, "page"), one, None) for one in ids], now_ms=NOW)
    store._data.set_trace_callback(None)
    [found] = [one for one in statements if one.startswith("SELECT") and " FROM customer WHERE" in one]
    plan = [detail for *_, detail in store._data.execute(f"EXPLAIN QUERY PLAN {found}").fetchall()]
    assert plan == ["SEARCH customer USING INDEX sqlite_autoindex_customer_1 (customer_id=?)"]
    assert len(statements) <= 3


def test_a_step_is_read_before_it_is_written(store: SqliteContextStore) -> None:
    create(store, "u-1")
    journeys, step = store._journeys, Step(NOW, "page", id="s-1")
    journeys.append(1, step, store._key_of(1), now_ms=NOW)
    assert journeys.has_pending
    assert journeys.steps(1) == [step]
    journeys.append(1, Step(NOW, "view"), store._key_of(1), now_ms=NOW)
    journeys.replace(1, [step])
    assert journeys.steps(1) == [step]
