"""Tickets, rates, idempotency keys, addresses: the small parts of the door, each by itself."""

from pathlib import Path

import msgspec
import pytest

from router.edge.admission import Admission, RateLimiter
from router.edge.auth import Credential, Role
from router.edge.bodies import invalid
from router.edge.idempotency import enqueue_command
from router.edge.problems import PROBLEMS, ProblemRaised, code_of, problem_bytes, refused
from router.edge.server import check_exposure
from router.edge.tickets import TicketOffice, TicketsExhausted
from router.model.errors import SettingsInvalid
from router.model.refusals import RefusalCode, Refused
from router.settings import EdgeSettings
from router.wire.frames import ContactFields


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def a_credential(subject: str = "web", role: Role = Role.GATEWAY) -> Credential:
    return Credential(
        subject=subject, role=role, workspace="default", issuer="router", expires_at_s=2**40
    )


# --- tickets ------------------------------------------------------------------------------------------


def test_a_ticket_is_good_once() -> None:
    office = TicketOffice(lifetime_s=30, tickets_max=10)
    credential = a_credential()
    ticket = office.issue(credential)
    assert office.redeem(ticket) == credential
    assert office.redeem(ticket) is None


def test_a_ticket_is_good_for_half_a_minute() -> None:
    clock = Clock()
    office = TicketOffice(lifetime_s=30, tickets_max=10, now_s=clock)
    early, late = office.issue(a_credential()), office.issue(a_credential())
    clock.now_s += 29.9
    assert office.redeem(early) is not None
    clock.now_s += 0.1
    assert office.redeem(late) is None


def test_tickets_are_bounded_and_old_ones_make_room() -> None:
    clock = Clock()
    office = TicketOffice(lifetime_s=30, tickets_max=2, now_s=clock)
    office.issue(a_credential())
    office.issue(a_credential())
    with pytest.raises(TicketsExhausted):
        office.issue(a_credential())
    clock.now_s += 30
    assert office.issue(a_credential())


@pytest.mark.parametrize("ticket", ["", "x", "é", "\ud800", "x" * 8192])
def test_an_unknown_ticket_is_nobodys(ticket: str) -> None:
    office = TicketOffice(lifetime_s=30, tickets_max=2)
    office.issue(a_credential())
    assert office.redeem(ticket) is None


# --- admission ----------------------------------------------------------------------------------------


def test_a_burst_is_let_in_and_then_the_rate_counts() -> None:
    clock = Clock()
    limiter = RateLimiter(per_s=2, burst=3, keys_max=10, now_s=clock)
    assert [limiter.take("a") for _ in range(4)] == [None, None, None, 1]
    assert limiter.take("b") is None
    clock.now_s += 0.5
    assert limiter.take("a") is None and limiter.take("a") == 1


def test_a_slow_rate_says_how_long_to_wait() -> None:
    limiter = RateLimiter(per_s=0.1, burst=1, keys_max=10, now_s=Clock())
    assert limiter.take("a") is None
    assert limiter.take("a") == 10


def test_what_is_remembered_of_credentials_is_bounded() -> None:
    clock = Clock()
    limiter = RateLimiter(per_s=1, burst=1, keys_max=2, now_s=clock)
    for key in ("a", "b", "c"):
        assert limiter.take(key) is None
    assert limiter.take("c") == 1, "the newest is remembered"
    assert limiter.take("a") is None, "the oldest is not"


def test_work_in_flight_is_bounded_and_given_back() -> None:
    admission = Admission(EdgeSettings(in_flight_max=1))
    with admission.slot(), pytest.raises(ProblemRaised, match="busy"), admission.slot():
        pass
    with admission.slot():
        assert admission.in_flight == 1
    assert admission.in_flight == 0


def test_bad_credentials_are_counted_together() -> None:
    admission = Admission(EdgeSettings(failed_logins_per_s=1), now_s=Clock())
    admission.count_failure()
    admission.count_failure()
    with pytest.raises(ProblemRaised, match="rate_limited"):
        admission.count_failure()


# --- idempotency --------------------------------------------------------------------------------------


def test_a_key_belongs_to_who_uses_it_and_a_fingerprint_to_what_is_asked() -> None:
    fields = ContactFields(channel="voice", skills={"a": 1, "b": 2})
    same = ContactFields(channel="voice", skills={"b": 2, "a": 1})
    other = ContactFields(channel="voice", priority_s=1)
    first = enqueue_command(a_credential(), fields, "key")
    again = enqueue_command(a_credential(), same, "key")
    assert first.contact_id != again.contact_id
    assert (first.dedupe_key, first.fingerprint) == (again.dedupe_key, again.fingerprint)
    assert enqueue_command(a_credential(), other, "key").fingerprint != first.fingerprint
    assert enqueue_command(a_credential(), fields, "yek").dedupe_key != first.dedupe_key
    assert enqueue_command(a_credential("sms"), fields, "key").dedupe_key != first.dedupe_key
    admin = enqueue_command(a_credential("web", Role.ADMIN), fields, "key")
    assert admin.dedupe_key != first.dedupe_key and admin.gateway_id == ""
    assert first.gateway_id == "web"


def test_without_a_key_nothing_is_remembered() -> None:
    command = enqueue_command(a_credential(), ContactFields(channel="voice"), None)
    assert command.dedupe_key is None and command.fingerprint is None


# --- problems -----------------------------------------------------------------------------------------


def test_every_refusal_has_a_status_and_a_title() -> None:
    for code in RefusalCode:
        kind = PROBLEMS[code_of(code)]
        assert 400 <= kind.status < 500 and kind.title


def test_what_may_succeed_later_says_when() -> None:
    for code, kind in PROBLEMS.items():
        raised = ProblemRaised(code)
        assert ("Retry-After" in raised.headers) is kind.temporary
        assert kind.temporary is (kind.status in {408, 429, 503})


def test_a_problem_always_says_whether_it_was_applied() -> None:
    raised = refused(Refused(code=RefusalCode.OFFER_GONE, state="expired", seq=7))
    document = msgspec.json.decode(problem_bytes(raised.document, "r1"))
    assert document == {
        "type": "urn:contact-router:problem:offer_gone",
        "title": "The offer has ended",
        "status": 409,
        "code": "offer_gone",
        "request_id": "r1",
        "state": "expired",
        "seq": 7,
        "applied": "no",
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"channel":"zz!"}', "$.channel"),
        (b'{"channel":"v","zzz - at `$.x`":1}', "$"),
        (b'{"channel":"v","skills":{"ZZ":1}}', "$.skills"),
        (b'{"channel":"v","skills":{"a":99}}', "$.skills[...]"),
        (b"{}", "$"),
    ],
)
def test_a_validation_error_names_the_place_and_no_value(body: bytes, field: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=ContactFields)
    document = invalid(caught.value).document
    assert document.field == field
    assert "zz" not in document.detail.lower()


# --- where it listens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_may_be_served_in_the_clear(host: str) -> None:
    check_exposure(EdgeSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "router.example", ""])
def test_anything_else_needs_tls_or_a_proxy(host: str) -> None:
    """S1."""
    with pytest.raises(SettingsInvalid, match="edge"):
        check_exposure(EdgeSettings(host=host))
    check_exposure(EdgeSettings(host=host, behind_proxy=True))
    check_exposure(EdgeSettings(host=host, tls_certificate_path="a", tls_key_path="b"))


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="belong together"):
        check_exposure(EdgeSettings(tls_certificate_path=str(tmp_path)))
