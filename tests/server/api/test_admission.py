"""Admission control: what one credential, one client address and all together may use."""

import pytest

from router.model.commands import AcceptOffer, SetAgentChannels, SetAgentState, UpdateContact
from router.model.errors import SettingsInvalid
from router.model.states import AgentState
from router.server.api.admission import AdmissionControl, ClientAddresses, RateLimiter, client_group
from router.server.api.problems import ProblemError
from router.server.auth.credentials import Credential, Role
from router.settings import ProxyHeader, settings_from


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_is_admitted_and_then_the_rate_applies() -> None:
    clock = Clock()
    limiter = RateLimiter(per_s=2, burst=3, keys_max=10, now_s=clock)
    assert [limiter.take("a") for _ in range(4)] == [None, None, None, 0.5]
    assert limiter.take("b") is None
    clock.now_s += 0.5
    assert limiter.take("a") is None and limiter.take("a") == 0.5


def test_a_slow_rate_returns_the_waiting_time() -> None:
    limiter = RateLimiter(per_s=0.1, burst=1, keys_max=10, now_s=Clock())
    assert limiter.take("a") is None
    assert limiter.take("a") == pytest.approx(10)


def test_the_number_of_buckets_is_limited() -> None:
    clock = Clock()
    limiter = RateLimiter(per_s=1, burst=1, keys_max=2, now_s=clock)
    for key in ("a", "b", "c"):
        assert limiter.take(key) is None
    assert limiter.take("c") == 1, "the newest bucket is kept"
    assert limiter.take("a") is None, "the oldest bucket was evicted"


def an_admission(clock: Clock | None = None, **sections: dict[str, object]) -> AdmissionControl:
    return AdmissionControl(settings_from(sections), now_s=clock or Clock())


def a_credential(subject: str = "web", role: Role = Role.GATEWAY, issuer: str = "router") -> Credential:
    return Credential(subject=subject, role=role, workspace="default", issuer=issuer, expires_at_s=2**40)


def test_requests_in_execution_are_limited_in_total_and_by_credential() -> None:
    admission = an_admission(server={"in_flight_max": 3, "credential_in_flight_max": 2})
    loud, quiet = admission.usage(a_credential("loud")), admission.usage(a_credential("quiet"))
    admission.begin(loud)
    admission.begin(loud)
    with pytest.raises(ProblemError, match="rate_limited"):
        admission.begin(loud)
    admission.begin(quiet)
    with pytest.raises(ProblemError, match="busy"):
        admission.begin(admission.usage(a_credential("third")))
    admission.end(loud)
    assert (admission.in_flight, loud.in_flight) == (2, 1)
    admission.begin(loud)


def test_incomplete_bodies_are_limited_in_total_and_by_credential() -> None:
    admission = an_admission(server={"bodies_max": 3, "credential_bodies_max": 2})
    loud, quiet = admission.usage(a_credential("loud")), admission.usage(a_credential("quiet"))
    loud.begin_body()
    loud.begin_body()
    with pytest.raises(ProblemError, match="rate_limited"):
        loud.begin_body()
    quiet.begin_body()
    with pytest.raises(ProblemError, match="busy"):
        quiet.begin_body()
    loud.end_body()
    assert (admission.bodies, loud.bodies) == (2, 1)


def test_an_agent_has_one_rate_for_requests_and_frames_and_a_gateway_has_two_equal_ones() -> None:
    admission = an_admission()
    agent = admission.usage(a_credential("ada", Role.AGENT))
    assert agent.bucket is agent.frames
    gateway = admission.usage(a_credential("web", Role.GATEWAY))
    assert gateway.bucket is not gateway.frames
    assert gateway.bucket.burst == gateway.frames.burst == 4_000
    assert admission.usage(a_credential("ada", Role.AGENT, issuer="other")) is agent, "a second issuer is no second rate"


def test_waiting_as_long_as_retry_after_says_is_enough() -> None:
    """0.7 a second: the next token comes after 1.43 s, which must not be rounded down."""
    clock = Clock()
    admission = an_admission(clock, sockets={"frames_per_s": 1, "frames_burst": 1}, server={"failed_logins_per_s": 1})
    usage = admission.usage(a_credential("ada", Role.AGENT))
    admission.check_rate(usage)
    for _ in range(20):
        clock.now_s += 0.4
        with pytest.raises(ProblemError) as refused:
            admission.check_rate(usage)
        clock.now_s += int(refused.value.headers["Retry-After"])
        admission.check_rate(usage)


def test_failed_logins_are_limited_by_address() -> None:
    admission = an_admission(server={"failed_logins_per_s": 1})
    for _ in range(2):
        admission.count_failed_login("192.0.2.1")
    with pytest.raises(ProblemError, match="rate_limited"):
        admission.count_failed_login("192.0.2.1")
    admission.count_failed_login("192.0.2.2")
    with pytest.raises(ProblemError, match="rate_limited"):
        admission.check_unauthenticated_upgrade("192.0.2.1")
    admission.check_unauthenticated_upgrade("192.0.2.2")


def test_new_sockets_are_slowed_and_then_refused() -> None:
    clock = Clock()
    admission = an_admission(clock, sockets={"connects_per_minute": 6, "connects_burst": 8})
    usage = admission.usage(a_credential("ada", Role.AGENT))
    delays = []
    while (wait_s := admission.connect_wait_s(usage)) is None:
        delays.append(admission.count_connect(usage))
    assert len(delays) == 8
    assert delays[:4] == [0.0] * 4
    assert delays[4:] == sorted(delays[4:]) and delays[4] > 0 and delays[-1] == 2.0
    assert wait_s == pytest.approx(10.0)
    clock.now_s += wait_s
    assert admission.connect_wait_s(usage) is None


def a_change(agent_id: str = "ada") -> SetAgentState:
    return SetAgentState(agent_id=agent_id, state=AgentState.READY)


def test_an_agent_who_changes_all_the_time_does_not_delay_a_supervisor() -> None:
    clock = Clock()
    admission = an_admission(clock, server={"state_changes_per_s": 1, "state_changes_burst": 2})
    # The person is an agent and a supervisor: two credentials with one subject.
    ada, eve, her = a_credential("ada", Role.AGENT), a_credential("eve", Role.SUPERVISOR), a_credential("ada", Role.ADMIN)
    refusal = admission.state_change_refusal
    assert refusal(ada, a_change()) is None
    assert refusal(ada, SetAgentChannels(agent_id="ada", paused=("chat",))) is None
    exceeded = refusal(ada, a_change())
    assert (
        exceeded is not None
        and "server.state_changes_per_s" in exceeded.detail
        and "1 changes of one agent by you" in exceeded.detail
    )
    assert refusal(eve, a_change()) is None and refusal(her, a_change()) is None
    assert refusal(ada, AcceptOffer(offer_id="c.1", agent_id="ada")) is None
    clock.now_s += exceeded.wait_s
    assert refusal(ada, a_change()) is None


def test_all_supervisors_together_may_change_one_object_four_times_as_often() -> None:
    clock = Clock()
    admission = an_admission(clock, server={"state_changes_per_s": 1, "state_changes_burst": 2})
    foreign = Credential(subject="s0", role=Role.SUPERVISOR, workspace="other", issuer="router", expires_at_s=2**40)
    many = [a_credential(f"s{place}", Role.SUPERVISOR) for place in range(20)]
    answers = [admission.state_change_refusal(one, a_change()) for one in many]
    assert [answer is None for answer in answers] == [True] * 8 + [False] * 12
    last = answers[-1]
    assert last is not None and "all supervisors together" in last.detail and "4 changes" in last.detail
    assert admission.state_change_refusal(many[-1], a_change("ben")) is None
    assert admission.state_change_refusal(foreign, a_change()) is None
    assert admission.state_change_refusal(a_credential("ada", Role.AGENT), a_change()) is None
    clock.now_s += last.wait_s
    # A refusal has taken nothing from the rate of the credential itself.
    assert admission.state_change_refusal(many[-1], a_change()) is None


def test_the_time_to_wait_is_enough_for_both_rates() -> None:
    clock = Clock()
    admission = an_admission(clock, server={"state_changes_per_s": 1, "state_changes_burst": 1})
    eve, others = a_credential("eve", Role.SUPERVISOR), [a_credential(f"s{place}", Role.SUPERVISOR) for place in range(3)]
    for one in (eve, *others):
        assert admission.state_change_refusal(one, a_change()) is None
    exceeded = admission.state_change_refusal(eve, a_change())
    assert exceeded is not None
    clock.now_s += exceeded.wait_s
    assert admission.state_change_refusal(eve, a_change()) is None


def test_changes_of_a_contact_count_by_credential() -> None:
    """Otherwise a gateway could use up the rate of a contact of another one, or learn from it that the contact exists."""
    admission = an_admission(server={"state_changes_per_s": 1, "state_changes_burst": 1})
    change = UpdateContact(contact_id="c1", priority_s=1)
    web, phone = a_credential("web"), a_credential("phone")
    assert admission.state_change_refusal(web, change) is None
    assert admission.state_change_refusal(web, change) is not None
    assert admission.state_change_refusal(phone, change) is None


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.7", {}, "192.0.2.7"),
        ("192.0.2.7", {"x-forwarded-for": "198.51.100.1"}, "192.0.2.7"),  # Not a trusted proxy.
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "198.51.100.1"}, "198.51.100.1"),
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.9, 198.51.100.1"}, "198.51.100.1"),  # What the client has sent.
        ("10.0.0.1", {"x-forwarded-for": "198.51.100.1, 10.0.0.2"}, "198.51.100.1"),  # Two proxies.
        ("10.0.0.1", {"x-forwarded-for": "198.51.100.1:4711"}, "198.51.100.1"),
        ("10.0.0.1", {"x-forwarded-for": "[2001:db8::1]:4711"}, "2001:db8::/64"),
        ("10.0.0.1", {"x-forwarded-for": "evil, 10.0.0.2"}, "10.0.0.2"),
        ("10.0.0.1", {"x-forwarded-for": "198.51.100.1, , "}, "10.0.0.1"),
        ("10.0.0.1", {"forwarded": "for=198.51.100.1"}, "10.0.0.1"),  # Not the header that the proxy sets.
        ("::ffff:10.0.0.1", {"x-forwarded-for": "198.51.100.1"}, "198.51.100.1"),
        ("2001:db8:0:1:2:3:4:5", {}, "2001:db8:0:1::/64"),
        ("2001:db8:0:1::9", {}, "2001:db8:0:1::/64"),
        ("", {}, ""),
    ],
)
def test_the_address_of_a_client(peer: str, headers: dict[str, str], client: str) -> None:
    addresses = ClientAddresses(["10.0.0.0/8"])
    assert addresses.of(peer, headers) == client


def test_the_forwarded_header_of_rfc_7239() -> None:
    addresses = ClientAddresses(["10.0.0.0/8", "2001:db8:9::/48"], ProxyHeader.FORWARDED)
    header = 'for=203.0.113.9, For="[2001:db8::17]:4711";proto=https, for=10.0.0.3'
    assert addresses.of("2001:db8:9::1", {"forwarded": header, "x-forwarded-for": "198.51.100.1"}) == "2001:db8::/64"
    assert addresses.of("10.0.0.1", {"forwarded": "for=unknown"}) == "10.0.0.1"


def test_a_trusted_proxy_must_be_an_address_or_a_network() -> None:
    with pytest.raises(SettingsInvalid, match=r"trusted_proxies\[1\]"):
        ClientAddresses(["10.0.0.1", "proxy.example"])


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_addresses_of_one_client_share_a_bound(address: str, group: str) -> None:
    assert client_group(address) == group
