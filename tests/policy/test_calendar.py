"""Opening hours: the week, holidays, single days, and what the clocks do twice a year.

Expected moments are written as UTC by hand, or found by asking the wall clock minute by minute.
"""

from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.model.policy import CalendarPolicy, HolidaysPolicy, WeekPolicy
from router.policy.calendar import (
    Calendar,
    holiday_table,
    is_holiday,
    is_open,
    load_zone,
    local_time,
    next_change_ms,
)

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ZURICH: Final = "Europe/Zurich"


def ms(text: str) -> int:
    """A moment in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def utc(at_ms: int | None) -> str | None:
    """The same back."""
    if at_ms is None:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def a_calendar(zone: str = ZURICH, daily: tuple[str, ...] = (), **more: Any) -> Calendar:
    """``daily`` on every day, but for the days named."""
    week = dict.fromkeys(DAYS, daily) | {day: more.pop(day) for day in DAYS if day in more}
    return Calendar(CalendarPolicy(zone=zone, week=WeekPolicy(**week), **more))


def changes(calendar: Calendar, after: str, count: int) -> list[str]:
    """The next changes, each checked against ``is_open`` on both of its sides."""
    at_ms, found = ms(after), []
    for _ in range(count):
        next_ms = next_change_ms(calendar, at_ms)
        assert next_ms is not None and next_ms > at_ms
        assert is_open(calendar, next_ms - 1) == is_open(calendar, at_ms)
        assert is_open(calendar, next_ms) != is_open(calendar, at_ms)
        at_ms = next_ms
        found.append(str(utc(at_ms)))
    return found


# --- the week ---------------------------------------------------------------------------------------------------------
def test_several_spans_a_day_and_closed_days() -> None:
    office = a_calendar(mon=("09:00-12:00", "13:00-17:30"), wed=("09:00-12:00",))
    assert changes(office, "2026-01-05 00:00", 6) == [
        "2026-01-05 08:00:00",
        "2026-01-05 11:00:00",
        "2026-01-05 12:00:00",
        "2026-01-05 16:30:00",
        "2026-01-07 08:00:00",
        "2026-01-07 11:00:00",
    ]


def test_it_is_open_at_the_first_moment_of_a_span_and_closed_at_its_end() -> None:
    office = a_calendar("UTC", ("09:00-17:00",))
    first, end = ms("2026-01-05 09:00"), ms("2026-01-05 17:00")
    answers = [is_open(office, at_ms) for at_ms in (first - 1, first, end - 1, end)]
    assert answers == [False, True, True, False]


def test_a_span_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night = a_calendar("UTC", fri=("22:00-06:00",))
    assert changes(night, "2026-01-05 00:00", 2) == ["2026-01-09 22:00:00", "2026-01-10 06:00:00"]
    assert not is_open(night, ms("2026-01-09 05:00"))


def test_spans_that_meet_are_one() -> None:
    around = a_calendar("UTC", ("00:00-24:00",), sun=("00:00-08:00", "08:00-20:00"))
    assert changes(around, "2026-01-05 12:00", 2) == ["2026-01-11 20:00:00", "2026-01-12 00:00:00"]


def test_what_never_changes_says_so() -> None:
    never, always = a_calendar(), a_calendar(daily=("00:00-24:00",))
    assert not is_open(never, ms("2026-01-05 12:00"))
    assert is_open(always, ms("2026-01-05 12:00"))
    for calendar in (never, always):
        assert next_change_ms(calendar, ms("2026-01-05 12:00")) is None


def test_a_change_is_found_within_a_year_and_not_beyond() -> None:
    once = a_calendar("UTC", dates={"2027-06-01": ("10:00-11:00",)})
    assert next_change_ms(once, ms("2026-01-05 00:00")) is None
    assert utc(next_change_ms(once, ms("2026-06-05 00:00"))) == "2027-06-01 10:00:00"


# --- special days -----------------------------------------------------------------------------------------------------
def test_a_day_of_its_own_wins_over_the_holiday_and_the_holiday_over_the_week() -> None:
    office = a_calendar(
        daily=("09:00-17:00",),
        holidays=HolidaysPolicy(country="CH", subdivision="ZH"),
        holiday_hours=("10:00-12:00",),
        dates={"2026-12-25": ("14:00-15:00",), "2026-12-28": ()},
    )
    assert changes(office, "2026-12-24 23:00", 6) == [
        "2026-12-25 13:00:00",
        "2026-12-25 14:00:00",
        "2026-12-26 09:00:00",  # Saint Stephen's day, by its holiday hours.
        "2026-12-26 11:00:00",
        "2026-12-27 08:00:00",
        "2026-12-27 16:00:00",
    ]
    assert is_holiday(office, ms("2026-12-26 03:00"))
    assert not is_holiday(office, ms("2026-12-25 03:00")), "it has hours of its own"


def test_a_subdivision_has_holidays_of_its_own() -> None:
    geneva = a_calendar(holidays=HolidaysPolicy(country="CH", subdivision="GE"))
    zurich = a_calendar(holidays=HolidaysPolicy(country="CH", subdivision="ZH"))
    jeune = ms("2026-09-10 12:00")  # The Geneva fast.
    assert is_holiday(geneva, jeune) and not is_holiday(zurich, jeune)


def test_the_night_before_a_closed_day_runs_to_its_end() -> None:
    night = a_calendar("UTC", ("22:00-06:00",), dates={"2026-12-24": ()})
    assert is_open(night, ms("2026-12-24 05:00"))
    assert not is_open(night, ms("2026-12-24 23:00"))


@pytest.mark.parametrize("policy", [("XX", None), ("CH", "QQ")])
def test_holidays_of_nowhere_are_an_error(policy: tuple[str, str | None]) -> None:
    with pytest.raises(ValueError, match="no such"):
        holiday_table(HolidaysPolicy(country=policy[0], subdivision=policy[1]))


# --- the clocks (F24) -------------------------------------------------------------------------------------------------
# In Zurich 2026 the clock goes from 02:00 to 03:00 on 29 March (01:00 UTC), and from 03:00 to 02:00 on 25 October.
@pytest.mark.parametrize(
    ("span", "opens", "closes"),
    [
        ("02:30-10:00", "2026-03-29 01:00:00", "2026-03-29 08:00:00"),
        ("00:00-02:30", "2026-03-28 23:00:00", "2026-03-29 01:00:00"),
        ("01:59-03:00", "2026-03-29 00:59:00", "2026-03-29 01:00:00"),
        ("02:00-04:00", "2026-03-29 01:00:00", "2026-03-29 02:00:00"),
    ],
)
def test_a_time_that_is_skipped_is_the_moment_of_the_change(
    span: str, opens: str, closes: str
) -> None:
    gap = a_calendar(dates={"2026-03-29": (span,)})
    assert changes(gap, "2026-03-28 12:00", 2) == [opens, closes]


def test_a_span_within_the_gap_has_no_time() -> None:
    gap = a_calendar(dates={"2026-03-29": ("02:10-02:50",)})
    assert next_change_ms(gap, ms("2026-03-28 12:00")) is None


@pytest.mark.parametrize(
    ("span", "opens", "closes"),
    [
        ("02:30-10:00", "2026-10-25 00:30:00", "2026-10-25 09:00:00"),
        ("00:00-02:30", "2026-10-24 22:00:00", "2026-10-25 01:30:00"),
        ("02:15-02:45", "2026-10-25 00:15:00", "2026-10-25 01:45:00"),
        ("03:00-04:00", "2026-10-25 02:00:00", "2026-10-25 03:00:00"),
    ],
)
def test_a_time_that_comes_twice_opens_at_the_first_and_closes_at_the_second(
    span: str, opens: str, closes: str
) -> None:
    overlap = a_calendar(dates={"2026-10-25": (span,)})
    assert changes(overlap, "2026-10-24 12:00", 2) == [opens, closes]


def test_a_night_shift_lasts_longer_or_shorter_with_the_clocks() -> None:
    night = a_calendar(sat=("22:00-06:00",))
    assert changes(night, "2026-03-28 12:00", 2) == ["2026-03-28 21:00:00", "2026-03-29 04:00:00"]
    assert changes(night, "2026-10-24 12:00", 2) == ["2026-10-24 20:00:00", "2026-10-25 05:00:00"]


def test_a_day_that_a_zone_leaves_out_has_no_hours() -> None:
    # Samoa went from 29 December 2011 straight to the 31st.
    samoa = a_calendar("Pacific/Apia", ("09:00-17:00",))
    assert changes(samoa, "2011-12-29 12:00", 4) == [
        "2011-12-29 19:00:00",
        "2011-12-30 03:00:00",
        "2011-12-30 19:00:00",
        "2011-12-31 03:00:00",
    ]


# --- far away (F27) ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("after", "opens"),
    [
        ("1970-01-01 00:00", "1970-01-01 08:00:00"),
        ("2038-01-19 03:14:08", "2038-01-19 08:00:00"),
        ("2100-07-01 00:00", "2100-07-01 07:00:00"),
    ],
)
def test_hours_in_1970_2038_and_2100(after: str, opens: str) -> None:
    assert changes(a_calendar(daily=("09:00-17:00",)), after, 1) == [opens]


def test_holidays_in_1970_and_2100_are_days_like_others_or_holidays() -> None:
    office = a_calendar(daily=("09:00-17:00",), holidays=HolidaysPolicy(country="CH"))
    for year in (1970, 2038, 2100):
        assert not is_open(office, ms(f"{year}-08-01 12:00")) or year < 1994


# --- whatever the zone ------------------------------------------------------------------------------------------------
ZONES: Final = (ZURICH, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo")
times = st.integers(0, 24 * 12 - 1).map(lambda n: f"{n // 12:02}:{n % 12 * 5:02}")


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    span=st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]),
    day=st.integers(0, 366),
)
def test_away_from_the_changes_of_the_clock_it_is_what_the_wall_says(
    zone: str, span: tuple[str, str], day: int
) -> None:
    calendar = a_calendar(zone, ("-".join(span),))
    place = ZoneInfo(zone)
    start = ms("2026-01-01 00:00") + day * 86_400_000
    offsets = {
        (datetime.fromtimestamp(start / 1000, UTC) + timedelta(hours=h))
        .astimezone(place)
        .utcoffset()
        for h in range(-30, 60)
    }
    if len(offsets) > 1:
        return
    for minute in range(0, 24 * 60, 5):
        at_ms = start + minute * 60_000
        wall = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(place).strftime("%H:%M")
        begin, end = span
        expected = begin <= wall < end if begin < end else wall >= begin or wall < end
        assert is_open(calendar, at_ms) == expected, wall


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    spans=st.lists(
        st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]).map("-".join), max_size=3
    ),
    hours=st.integers(0, 366 * 24),
)
def test_between_two_changes_nothing_changes(zone: str, spans: list[str], hours: int) -> None:
    calendar = a_calendar(zone, tuple(spans))
    at_ms = ms("2026-01-01 00:00") + hours * 3_600_000
    until_ms = next_change_ms(calendar, at_ms)
    horizon_ms = at_ms + 3 * 86_400_000 if until_ms is None else until_ms
    for moment in range(at_ms, min(horizon_ms, at_ms + 3 * 86_400_000), 300_000):
        assert is_open(calendar, moment) == is_open(calendar, at_ms)
    if until_ms is not None:
        assert is_open(calendar, until_ms) != is_open(calendar, at_ms)


@pytest.mark.parametrize(
    "name",
    ["bogus", "Europe", "localtime", "posixrules", "Factory", "../etc/passwd", "Europe/Atlantis"],
)
def test_what_is_no_zone(name: str) -> None:
    assert load_zone(name) is None


def test_local_time_is_what_the_wall_says() -> None:
    wall = local_time(ZoneInfo(ZURICH), ms("2026-03-29 01:05"))
    assert (wall.date, wall.weekday, wall.hour, wall.minute) == ("2026-03-29", "sun", 3, 5)


def test_the_dearest_calendar_is_cheap_enough() -> None:
    """All of a year is looked at: nothing ever changes, and holidays hide that."""
    calendar = a_calendar(
        daily=("00:00-24:00",),
        holidays=HolidaysPolicy(country="US"),
        holiday_hours=("00:00-24:00",),
    )
    assert is_open(calendar, ms("2026-01-05 12:00"))
    began = perf_counter()
    assert next_change_ms(calendar, ms("2026-01-05 12:00")) is None
    assert perf_counter() - began < 2.0, "a year of days, not of minutes"
    for years in range(30):
        next_change_ms(calendar, ms("2026-01-05 12:00") + years * 366 * 86_400_000)
    assert len(calendar._days) <= 800 and len(calendar._years) <= 9
