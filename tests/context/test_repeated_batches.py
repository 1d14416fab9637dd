"""Batches of steps that are sent again, in any order, after anything that may come in between, count once."""

import random
from collections import Counter
from pathlib import Path

import pytest

from router.context.customers import MergeRefused
from router.context.identities import Assurance, Identity, NormalIdentity, normalise
from router.context.journey import ID_WINDOW_MS, Step
from router.context.keys import MasterKeys, new_master_keys
from router.context.sqlite.journeys import JourneyTable
from router.context.sqlite.steps import SqliteSteps
from router.context.sqlite.store import SqliteContextStore

NOW = 1_800_000_000_000
DAY_MS = ID_WINDOW_MS
Sent = tuple[NormalIdentity, Step]


def identity(type: str, value: str) -> NormalIdentity:
    assurance = Assurance.VERIFIED if type == "app_user" else Assurance.ASSERTED
    return normalise(Identity(type=type, value=value, assurance=assurance), region="DE")


DEVICES = [identity("device", f"device-{number}") for number in range(2)]
USERS = [identity("app_user", f"user-{number}") for number in range(2)]


def send(store: SqliteContextStore, batch: list[Sent], at_ms: int) -> None:
    for one, step in batch:
        store.append_step("default", step, customer_id=None, identity=one, now_ms=at_ms)


def counted(directory: Path, seed: int) -> Counter[str]:
    """Return how often each step is stored, after batches, repetitions, logins, merges, folds and restarts in any order."""
    pick, master = random.Random(seed), new_master_keys()
    store = opened(directory, master)
    sent: list[list[Sent]] = []
    for number in range(25):
        at_ms = NOW + number
        kind = pick.randrange(6)
        if kind == 0 or not sent:
            # Late ones too: of minutes, and of days ago. A device that a login has taken from a person is no repetition.
            steps = [
                (pick.choice(DEVICES), Step(at_ms - pick.choice([0, 60_000, 3 * DAY_MS]), "view", id=f"{number}.{position}"))
                for position in range(4)
            ]
            sent.append(steps)
            send(store, steps, at_ms)
        elif kind == 1:
            batch = pick.choice(sent)
            send(store, pick.sample(batch, len(batch)), at_ms)
        elif kind == 2:
            device = pick.choice(DEVICES)
            user = USERS[DEVICES.index(device)]
            store.resolve("default", [user, device], at_ms=at_ms, create=True, now_ms=at_ms)
        elif kind == 3:
            ids = [
                store.resolve("default", [one], at_ms=at_ms, create=True, now_ms=at_ms).customer_id for one in pick.sample(USERS, 2)
            ]
            try:
                store.merge("default", str(ids[0]), str(ids[1]), actor="s", reason="r", now_ms=at_ms)
            except MergeRefused:
                continue
        elif kind == 4:
            store._journeys.fold_idle(before_ms=at_ms + 1, limit=100)
        else:
            store.commit()
            store.close()
            store = opened(directory, master)
    for batch in sent:
        send(store, batch, NOW + 100)
    roots = {store.resolve("default", [one], at_ms=NOW, create=False, now_ms=NOW).customer_id for one in [*USERS, *DEVICES]}
    found = Counter(str(step.id) for root in roots - {None} for step in store.steps("default", str(root), limit=200))
    store.close()
    return found


def opened(directory: Path, master: MasterKeys) -> SqliteContextStore:
    store = SqliteContextStore(directory, master, now_ms=NOW)
    store.begin()
    return store


@pytest.mark.parametrize("seed", range(20))
def test_every_step_is_stored_once(tmp_path: Path, seed: int) -> None:
    assert set(counted(tmp_path, seed).values()) == {1}


def test_the_check_finds_repeats_by_member_and_late_ones_that_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_at_ms = JourneyTable.seen_at_ms

    def by_the_window_alone(self: JourneyTable, row: int, step: Step, *, now_ms: int) -> int | None:
        return seen_at_ms(self, row, step, now_ms=now_ms) if step.at_ms > now_ms - ID_WINDOW_MS else None

    def by_member(self: SqliteSteps, table: object, root: int, step: Step, now_ms: int) -> int | None:
        return self._journeys.seen_at_ms(root, step, now_ms=now_ms)

    for owner, name, broken in ((JourneyTable, "seen_at_ms", by_the_window_alone), (SqliteSteps, "_seen_at_ms", by_member)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            results = [counted(tmp_path / f"{name}-{seed}", seed) for seed in range(10)]
        assert sum(set(found.values()) != {1} for found in results) > 2, name
