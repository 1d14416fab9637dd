"""Resolution of identities: the result depends on what happened and when, not on the order in which it is reported."""

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from router.context import resolution
from router.context.customers import STRONG_AND_ADDRESS_MAX, ConflictKind, MergeRefused, Resolved, TooManyIdentities
from router.context.identities import Assurance, Identity, normalise
from router.context.keys import new_master_keys
from router.context.resolution import Found, Plan
from router.context.sqlite import customers
from router.context.sqlite.customers import CustomerTable
from router.context.sqlite.data_keys import KeyStore
from router.context.sqlite.database import ContextFiles

V, A, C = Assurance.VERIFIED, Assurance.ASSERTED, Assurance.CLAIMED
Report = tuple[int, tuple[tuple[str, str, Assurance], ...]]


class Centre:
    """The customers of one workspace, with the identities that were reported."""

    def __init__(self, files: ContextFiles, number: int) -> None:
        self.files = files
        self.table = CustomerTable(
            files.data,
            KeyStore(files.keys, new_master_keys()),
            number=number,
            name=f"w{number}",
            next_change=itertools.count(1).__next__,
        )

    def report(self, report: Report, *, create: bool = True) -> Resolved:
        at_ms, sent = report
        identities = [normalise(Identity(type=t, value=v, assurance=a), region="DE") for t, v, a in sent]
        return self.table.resolve(identities, at_ms=at_ms, create=create, now_ms=at_ms)

    def groups(self) -> set[frozenset[str]]:
        """Return the identities that belong to the same customer."""
        found: dict[int, set[str]] = {}
        stored = self.files.data.execute("SELECT row, type, value FROM identity WHERE workspace = ?", (self.table.number,))
        for row, type, value in stored.fetchall():
            key = self.table.key_of(row)
            assert key is not None
            plain = key.open("identity.value", value).decode()
            found.setdefault(self.table.root_of(row), set()).add(f"{type} {plain}")
        return {frozenset(group) for group in found.values()}


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ContextFiles]:
    opened = ContextFiles(tmp_path / "context")
    opened.begin()
    yield opened
    opened.rollback()
    opened.close()


@pytest.fixture
def centre(files: ContextFiles) -> Centre:
    return Centre(files, 1)


def history(seed: int, *, shared_devices: bool) -> list[Report]:
    """Return logins, visits and calls of three people with devices of their own, and perhaps a tablet that they share."""
    draw = random.Random(seed)
    people = [(f"user-{n}", f"+4915112345{n}0", [f"phone-{n}", f"laptop-{n}"]) for n in range(1, 4)]
    reports: list[Report] = []
    for at_ms in range(1_000, 1_000 + draw.randint(3, 9)):
        user, number, devices = draw.choice(people)
        device = draw.choice([*devices, "tablet"] if shared_devices else devices)
        weak: tuple[tuple[str, str, Assurance], ...] = (("device", device, A),)
        if device != "tablet" and draw.random() < 0.3:
            weak = (*weak, ("cookie", f"of-{device}", A))
        kind = draw.randrange(4)
        if kind == 0:
            reports.append((at_ms, weak))
        elif kind == 1:
            reports.append((at_ms, (("app_user", user, V), *weak)))
        elif kind == 2:
            reports.append((at_ms, (("app_user", user, V), ("external:crm", f"crm-{user}", V))))
        else:
            reports.append((at_ms, (("app_user", user, V), ("phone", number, V), *weak)))
    return reports


def arrival_orders(reports: list[Report], seed: int) -> list[list[Report]]:
    return [reports, reports[::-1], random.Random(seed).sample(reports, len(reports))]


def results(files: ContextFiles, number: int, orders: list[list[Report]]) -> list[set[frozenset[str]]]:
    found = []
    for position, order in enumerate(orders):
        centre = Centre(files, number * 10 + position)
        for report in order:
            centre.report(report)
        found.append(centre.groups())
    return found


@pytest.mark.parametrize("shared_devices", [False, True])
def test_the_order_of_arrival_does_not_matter(files: ContextFiles, shared_devices: bool) -> None:
    for seed in range(300):
        reports = history(seed, shared_devices=shared_devices)
        found = results(files, seed, arrival_orders(reports, seed))
        assert found[0] == found[1] == found[2], (seed, reports)


def test_the_check_finds_a_device_that_goes_by_order_of_arrival(files: ContextFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = resolution.decide

    def by_arrival(found: Sequence[Found], *, at_ms: int) -> Plan:
        return decide(found, at_ms=2**50)

    monkeypatch.setattr(customers, "decide", by_arrival)
    differing = 0
    for seed in range(100):
        found = results(files, seed, arrival_orders(history(seed, shared_devices=True), seed))
        differing += not found[0] == found[1] == found[2]
    assert differing > 10


def test_a_new_customer_gets_all_identities(centre: Centre) -> None:
    first = centre.report((1, (("app_user", "u-1", V), ("phone", "0151 1234567", A), ("device", "d-1", A))))
    assert first.created and first.assurance is V
    for identity in [("app_user", "u-1", V), ("phone", "+491511234567", A), ("device", "d-1", A)]:
        again = centre.report((2, (identity,)))
        assert again.customer_id == first.customer_id and not again.created


def test_a_login_brings_what_was_done_anonymously(centre: Centre) -> None:
    visitor = centre.report((1, (("device", "d-1", A),)))
    login = centre.report((2, (("app_user", "u-1", V), ("device", "d-1", A))))
    assert login.created and login.merged == (visitor.customer_id,)
    assert centre.report((3, (("device", "d-1", A),))).customer_id == login.customer_id


def test_a_shared_device_passes_to_the_later_login_and_merges_no_people(centre: Centre) -> None:
    first = centre.report((1, (("app_user", "u-1", V), ("device", "tablet", A))))
    second = centre.report((2, (("app_user", "u-2", V), ("device", "tablet", A))))
    assert second.customer_id != first.customer_id and not second.merged
    assert centre.report((3, (("device", "tablet", A),))).customer_id == second.customer_id
    assert centre.report((4, (("app_user", "u-1", V),))).customer_id == first.customer_id


def test_a_number_of_two_people_stays_with_the_first_and_is_a_candidate_of_both(centre: Centre) -> None:
    first = centre.report((1, (("app_user", "u-1", V), ("phone", "+491511234567", A))))
    second = centre.report((2, (("app_user", "u-2", V), ("phone", "+491511234567", A))))
    assert second.customer_id != first.customer_id
    assert [one.kind for one in second.conflicts] == [ConflictKind.SHARED_ADDRESS]
    assert centre.report((3, (("phone", "+491511234567", A),))).customer_id == first.customer_id
    for one, other in [(first, second), (second, first)]:
        assert one.customer_id is not None
        view = centre.table.view(centre.table.row_of(one.customer_id))
        assert [each.customer_id for each in view.candidates] == [other.customer_id]


def test_different_strong_identities_of_one_type_are_reported_and_never_merged(centre: Centre) -> None:
    first = centre.report((1, (("app_user", "u-1", V),)))
    second = centre.report((2, (("app_user", "u-2", V), ("external:crm", "7", V))))
    both = centre.report((3, (("app_user", "u-1", V), ("external:crm", "7", V))))
    assert both.customer_id in (first.customer_id, second.customer_id) and not both.merged
    assert [one.kind for one in both.conflicts] == [ConflictKind.STRONG]


def test_an_asserted_number_merges_nothing(centre: Centre) -> None:
    caller = centre.report((1, (("phone", "+491511234567", A),)))
    user = centre.report((2, (("app_user", "u-1", V),)))
    both = centre.report((3, (("app_user", "u-1", V), ("phone", "+491511234567", A))))
    assert both.customer_id == user.customer_id != caller.customer_id and not both.merged
    assert [one.kind for one in both.conflicts] == [ConflictKind.NOT_VERIFIED]
    verified = centre.report((4, (("app_user", "u-1", V), ("phone", "+491511234567", V))))
    assert verified.customer_id == user.customer_id and verified.merged == (caller.customer_id,)


def test_a_claim_selects_and_attaches_nothing(centre: Centre) -> None:
    user = centre.report((1, (("email", "anna@example.org", V),)))
    visitor = centre.report((2, (("device", "d-1", A), ("email", "anna@example.org", C))))
    assert visitor.customer_id != user.customer_id and not visitor.merged and not visitor.conflicts


def test_another_form_of_a_number_finds_the_customer_but_is_asserted_at_most(centre: Centre) -> None:
    stored = centre.report((1, (("phone", "+525512345678", V),)))
    found = centre.report((2, (("phone", "+5215512345678", V),)))
    assert found.customer_id == stored.customer_id and found.assurance is A


def test_a_merge_that_was_undone_is_never_made_automatically_again(centre: Centre) -> None:
    centre.report((1, (("phone", "+491511234567", A),)))
    centre.report((2, (("app_user", "u-1", V),)))
    both = (("app_user", "u-1", V), ("phone", "+491511234567", V))
    assert centre.report((3, both)).merged
    [(merge_id,)] = centre.files.data.execute("SELECT merge_id FROM merge").fetchall()
    before = centre.groups()
    undone = centre.table.undo("m_" + merge_id.hex(), actor="supervisor:s", now_ms=4)
    assert len(set(undone.customer_ids)) == 2 and centre.groups() != before
    again = centre.report((5, both))
    assert not again.merged and [one.kind for one in again.conflicts] == [ConflictKind.UNDONE]


def test_the_chain_of_merges_follows_when_the_middle_is_undone(centre: Centre) -> None:
    rows = []
    for number in range(3):
        customer_id = centre.report((number, (("app_user", f"u-{number}", V),))).customer_id
        assert customer_id is not None
        rows.append(centre.table.row_of(customer_id))
    first = centre.table.merge(rows[2], rows[1], actor="supervisor:s", reason="same person", at_ms=10)
    second = centre.table.merge(rows[1], rows[0], actor="supervisor:s", reason="same person", at_ms=11)
    assert centre.table.members_of(rows[0]) == [rows[0], rows[1], rows[2]]
    centre.table.undo(second.merge_id, actor="supervisor:s", now_ms=12)
    assert centre.table.members_of(rows[0]) == [rows[0]] and centre.table.members_of(rows[1]) == [rows[1], rows[2]]
    centre.table.undo(first.merge_id, actor="supervisor:s", now_ms=13)
    assert [centre.table.members_of(row) for row in rows] == [[row] for row in rows]
    with pytest.raises(MergeRefused):
        centre.table.undo(first.merge_id, actor="supervisor:s", now_ms=14)


def test_without_creation_nothing_changes(centre: Centre) -> None:
    assert centre.report((1, (("app_user", "u-1", V),)), create=False).customer_id is None
    assert centre.groups() == set()


def test_the_number_of_addresses_is_limited(centre: Centre) -> None:
    for number in range(STRONG_AND_ADDRESS_MAX - 1):
        centre.report((number, (("app_user", "u-1", V), ("email", f"a{number}@example.org", A))))
    with pytest.raises(TooManyIdentities):
        centre.report((99, (("app_user", "u-1", V), ("email", "more@example.org", A))))
