"""Checks of calendars and plans in a policy document."""

import pytest

from router.model.errors import PolicyInvalid
from router.policy.document.parsing import parse_policy, parse_policy_with_advice

HEAD = """
channels: {voice: {}}
queues: {support: {hours: office}}
default_queue: support
calendars:
  office:
"""


def problems(body: str, head: str = HEAD) -> list[tuple[str, str]]:
    """Return path and message of every problem."""
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(head + body)
    return [(problem.path, problem.message) for problem in caught.value.problems]


def test_a_calendar_is_parsed() -> None:
    text = """
    zone: Europe/Zurich
    week:
      mon: ["09:00-12:00", "13:00-17:30"]
      sat: [22:00-06:00]
    holidays: {country: CH, subdivision: ZH}
    holiday_hours: ["10:00-12:00"]
    dates:
      2026-12-24: ["09:00-12:00"]
      "2026-12-31": []
"""
    calendar = parse_policy(HEAD + text).calendars["office"]
    assert calendar.week.mon == ("09:00-12:00", "13:00-17:30")
    assert calendar.week.sat == ("22:00-06:00",)
    assert calendar.dates == {"2026-12-24": ("09:00-12:00",), "2026-12-31": ()}


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ("    zone: Europe/Atlantis", "zone", "no such IANA time zone"),
        ("    zone: Europe", "zone", "no such IANA time zone"),
        ("    zone: ../passwd", "zone", "must be an IANA time zone"),
        ("    {zone: UTC, week: {mon: ['9-17']}}", "week.mon[0]", "must be a time span"),
        ("    {zone: UTC, week: {mon: ['09:00-24:01']}}", "week.mon[0]", "must be a time span"),
        ("    {zone: UTC, week: {mon: ['09:00-09:00']}}", "week.mon[0]", "an empty span"),
        (
            "    {zone: UTC, week: {mon: ['09:00-12:00', '11:00-13:00']}}",
            "week.mon[1]",
            "begins before the end of the span before it",
        ),
        ("    {zone: UTC, week: {monday: []}}", "week.monday", "unknown key"),
        ("    {zone: UTC, holidays: {country: XX}}", "holidays", "no public holidays are known"),
        ("    {zone: UTC, holidays: {country: CH, subdivision: QQ}}", "holidays", "no public holidays are known"),
        ("    {zone: UTC, holiday_hours: ['09:00-10:00']}", "holiday_hours", "requires holidays"),
        ("    {zone: UTC, dates: {2026-02-30: []}}", "dates.2026-02-30", "no such date"),
        ("    {zone: UTC, dates: {tomorrow: []}}", "dates.tomorrow", "must be a date such as"),
    ],
)
def test_an_error_in_a_calendar_is_reported_at_its_path(body: str, path: str, words: str) -> None:
    found = problems(body)
    assert [one[0] for one in found] == [f"calendars.office.{path}"]
    assert words in found[0][1]


def test_a_span_may_begin_where_the_one_before_it_ends() -> None:
    text = "    {zone: UTC, week: {mon: ['00:00-09:00', '09:00-12:00', '12:00-24:00']}}"
    assert len(parse_policy(HEAD + text).calendars["office"].week.mon) == 3


def test_every_span_that_begins_before_the_latest_end_is_reported() -> None:
    found = problems("    {zone: UTC, week: {mon: ['09:00-12:00', '10:00-11:00', '11:30-13:00', '12:30-14:00']}}")
    assert [path for path, _ in found] == [f"calendars.office.week.mon[{index}]" for index in (1, 2, 3)]


def test_an_undeclared_calendar_is_reported() -> None:
    found = problems("    zone: UTC", HEAD.replace("hours: office", "hours: offices"))
    assert found == [("queues.support.hours", "no such calendar is declared; there is office")]


@pytest.mark.parametrize("key", ["when_closed", "at_closing", "when_no_agents_ready"])
def test_an_overflow_requires_overflow_to(key: str) -> None:
    head = HEAD.replace("hours: office", f"hours: office, {key}: overflow")
    found = problems("    zone: UTC", head)
    assert found == [("queues.support.overflow_to", f"required by {key}: overflow")]


def test_an_unused_calendar_is_advice() -> None:
    _, advice = parse_policy_with_advice(HEAD.replace("hours: office", "wait_max_s: 60") + "    zone: UTC")
    assert [(one.path, one.message) for one in advice] == [("calendars.office", "unused: no queue names it in hours")]


def test_overflow_to_is_used_by_any_kind_of_overflow() -> None:
    head = HEAD.replace(
        "{support: {hours: office}}", "{support: {hours: office, at_closing: overflow, overflow_to: night}, night: {}}"
    )
    _, advice = parse_policy_with_advice(head + "    zone: UTC")
    assert advice == []


PLAN_HEAD = """
channels: {voice: {}}
skills: [german]
queues: {support: {plan: slow}, other: {}}
default_queue: support
plans:
"""


@pytest.mark.parametrize(
    ("plan", "path", "message"),
    [
        ("[{duration_s: 5}, {duration_s: 5}]", "slow[1].duration_s", "not allowed in the last step"),
        ("[{}, {}]", "slow[0].duration_s", "required"),
        ("[{duration_s: 5}, {prefer: [last]}]", "slow[1].prefer", "not allowed in the last step"),
        ("[{queue: other}]", "slow[0].queue", "not allowed in the first step"),
        ("[{duration_s: 5}, {queue: x}]", "slow[1].queue", "no such queue is declared"),
        ("[{skills: {x: 1}}]", "slow[0].skills.x", "no such skill is declared"),
        ("[{lower_levels: {x: 1}}]", "slow[0].lower_levels.x", "no such skill is declared"),
        ("[{remove_skills: [x]}]", "slow[0].remove_skills[0]", "no such skill is declared"),
    ],
)
def test_an_error_in_a_plan_is_reported_at_its_path(plan: str, path: str, message: str) -> None:
    (found,) = problems(f"{PLAN_HEAD}  slow: {plan}\n", head="")
    assert found[0] == f"plans.{path}"
    assert found[1].startswith(message)


def test_a_plan_that_leads_back_to_its_queue_is_reported() -> None:
    text = PLAN_HEAD.replace("other: {}", "other: {overflow_to: support}")
    found = problems(f"{text}  slow: [{{duration_s: 5}}, {{queue: other}}]\n", head="")
    assert found == [("queues.support.plan", "its steps and overflows lead back to this queue")]


GOALS_HEAD = """
channels: {voice: {}}
queues: {support: {dispositions: [sold]}}
dispositions: [paid, sorry]
default_queue: support
goals:
"""


def test_goals_refer_to_what_is_declared_and_last_no_longer_than_they_are_kept() -> None:
    text = """
  known:
    refund: {dispositions: {payed: done, sold: done}, done_within_s: 700000, repeat_within_s: 700000}
  default: rebate
  dispositions: {lost: not_done}
  kept_s: 604800
entry: [{name: r, queue: support, goal: refnd}]
"""
    found = dict(problems(text, GOALS_HEAD))
    assert found == {
        "goals.known.refund.dispositions.payed": "no such disposition is declared; there is paid",
        "goals.known.refund.done_within_s": "must be at most goals.kept_s, which is 604800: goals are kept no longer",
        "goals.known.refund.repeat_within_s": "must be at most goals.kept_s, which is 604800: goals are kept no longer",
        "goals.dispositions.lost": "no such disposition is declared",
        "goals.default": "no such goal is declared",
        "entry[0].goal": "no such goal is declared; there is refund",
    }


def test_goals_are_parsed() -> None:
    text = """
  known: {refund: {done_by: [{type: order, name: refunded}], dispositions: {paid: done, sold: partly}}, other: {}}
  default: other
  repeat_of: customer
"""
    goals = parse_policy(GOALS_HEAD + text).goals
    assert list(goals.known) == ["refund", "other"] and goals.known["refund"].done_by[0].name == "refunded"
    assert (goals.default, str(goals.repeat_of), goals.repeat_within_s) == ("other", "customer", 604_800)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("  known: {refund: {dispositions: {paid: maybe}}}", "goals.known.refund.dispositions.paid"),
        ("  known: {Refund: {}}", "goals.known.Refund"),
        ("  kept_s: 60", "goals.kept_s"),
        ("  known: {refund: {done_by: [{name: x}]}}", "goals.known.refund.done_by[0].type"),
    ],
)
def test_a_wrong_value_of_goals_is_found(text: str, path: str) -> None:
    assert path in [place for place, _ in problems(text, GOALS_HEAD)]
