"""Merging and undoing leaves every customer as they were, after any history."""

import random
from itertools import combinations
from pathlib import Path

import msgspec
import pytest

from router.context.customers import CustomerView, Merged, MergeRefused, Profile, ProfileChange, Unmerged
from router.context.identities import Assurance, Identity, normalise
from router.context.journey import Step
from router.context.keys import new_master_keys
from router.context.sqlite.customers import CustomerTable
from router.context.sqlite.store import SqliteContextStore

NOW = 1_800_000_000_000
TYPES = ("app_user", "phone", "email", "device", "cookie", "external:crm")


def value_of(pick: random.Random, type: str) -> str:
    number = pick.randrange(4)
    return {"phone": f"+4915112345{number:03d}", "email": f"a{number}@example.org"}.get(type, f"{type[:3]}-{number}")


def live(store: SqliteContextStore, pick: random.Random, ids: list[str], at_ms: int) -> None:
    """Let one random thing happen."""
    if not ids or pick.random() < 0.5:
        sent = [
            normalise(
                Identity(type=type, value=value_of(pick, type), assurance=pick.choice([Assurance.VERIFIED, Assurance.ASSERTED])),
                region="DE",
            )
            for type in pick.sample(TYPES, pick.randint(1, 3))
        ]
        found = store.resolve("default", sent, at_ms=at_ms, create=True, now_ms=at_ms)
        assert found.customer_id is not None
        if found.customer_id not in ids:
            ids.append(found.customer_id)
    elif pick.random() < 0.5:
        change = ProfileChange(name=pick.choice(["Ann", "Bo", None]), tier=pick.choice(["gold", None]))
        store.change_profile("default", pick.choice(ids), change, versions=None, actor="s", now_ms=at_ms)
    else:
        store.append_step("default", Step(at_ms, "view"), customer_id=pick.choice(ids), identity=None, now_ms=at_ms)


def shown(store: SqliteContextStore, ids: list[str]) -> dict[str, tuple[CustomerView, list[Step]]]:
    """Return what is shown of each customer; the version grows with every change and is left out."""
    return {
        one: (
            msgspec.structs.replace(store.customer("default", one, unmasked=True), version=0),
            store.steps("default", one, limit=200),
        )
        for one in ids
    }


def before_and_after(tmp_path: Path, seed: int) -> tuple[object, object]:
    """Return what is shown of all customers before merges, and after they were undone in any order."""
    pick = random.Random(seed)
    store = SqliteContextStore(tmp_path, new_master_keys(), now_ms=NOW)
    store.begin()
    ids: list[str] = []
    for number in range(25):
        live(store, pick, ids, NOW + number)
    before = shown(store, ids)
    merges = []
    for one, other in pick.sample(list(combinations(ids, 2)), min(4, len(ids) * (len(ids) - 1) // 2)):
        try:
            merges.append(store.merge("default", one, other, actor="s", reason="r", now_ms=NOW + 100).merge_id)
        except MergeRefused:
            continue
    if merges:
        assert shown(store, ids) != before
    pick.shuffle(merges)
    for merge_id in merges:
        store.undo_merge("default", merge_id, actor="s", now_ms=NOW + 200)
    after = shown(store, ids)
    store.close()
    return before, after


@pytest.mark.parametrize("seed", range(20))
def test_merges_undone_in_any_order_leave_every_customer_as_they_were(tmp_path: Path, seed: int) -> None:
    before, after = before_and_after(tmp_path, seed)
    assert after == before


def test_the_check_finds_a_merge_that_moves_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link, undo = CustomerTable._link, CustomerTable.undo

    def moves_the_profile(self: CustomerTable, loser: int, winner: int, *, actor: str, reason: str, at_ms: int) -> Merged:
        self.save_profile(winner, self.profile(loser))
        return link(self, loser, winner, actor=actor, reason=reason, at_ms=at_ms)

    def forgets_one(self: CustomerTable, merge_id: str, *, actor: str, now_ms: int) -> Unmerged:
        done = undo(self, merge_id, actor=actor, now_ms=now_ms)
        root = self.root_of(self.row_of(done.customer_ids[1]))
        self.save_profile(root, Profile(name="of the other"))
        return done

    for name, broken in (("_link", moves_the_profile), ("undo", forgets_one)):
        with monkeypatch.context() as patch:
            patch.setattr(CustomerTable, name, broken)
            results = [before_and_after(tmp_path / f"{name}-{seed}", seed) for seed in range(5)]
        assert sum(before != after for before, after in results) > 2, name
