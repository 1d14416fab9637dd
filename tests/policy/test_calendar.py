"""Opening hours by week, holidays and dates, clock changes, and days of a time zone.

Expected times are written in UTC by hand, or computed from the local time of every fifth minute.
"""

from datetime import UTC, datetime, timedelta
from time import thread_time
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.model.policy import CalendarPolicy, HolidaysPolicy, WeekPolicy
from router.policy.calendar import Calendar, holiday_table, is_holiday, is_open, load_zone, local_day, local_time, next_change_ms

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ZURICH: Final = "Europe/Zurich"
HOUR_MS: Final = 3_600_000


def ms(text: str) -> int:
    """Return the epoch milliseconds of a time in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def utc(at_ms: int | None) -> str | None:
    """Return the time in UTC of epoch milliseconds."""
    if at_ms is None:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def a_calendar(zone: str = ZURICH, daily: tuple[str, ...] = (), **more: Any) -> Calendar:
    """Return a calendar with ``daily`` spans on every weekday that is not given."""
    week = dict.fromkeys(DAYS, daily) | {day: more.pop(day) for day in DAYS if day in more}
    return Calendar(CalendarPolicy(zone=zone, week=WeekPolicy(**week), **more))


def changes(calendar: Calendar, after: str, count: int) -> list[str]:
    """Return the next changes; check ``is_open`` before and after each."""
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


def test_a_span_includes_its_start_and_excludes_its_end() -> None:
    office = a_calendar("UTC", ("09:00-17:00",))
    first, end = ms("2026-01-05 09:00"), ms("2026-01-05 17:00")
    answers = [is_open(office, at_ms) for at_ms in (first - 1, first, end - 1, end)]
    assert answers == [False, True, True, False]


def test_a_span_across_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night = a_calendar("UTC", fri=("22:00-06:00",))
    assert changes(night, "2026-01-05 00:00", 2) == ["2026-01-09 22:00:00", "2026-01-10 06:00:00"]
    assert not is_open(night, ms("2026-01-09 05:00"))


def test_adjacent_spans_are_merged() -> None:
    around = a_calendar("UTC", ("00:00-24:00",), sun=("00:00-08:00", "08:00-20:00"))
    assert changes(around, "2026-01-05 12:00", 2) == ["2026-01-11 20:00:00", "2026-01-12 00:00:00"]


def test_a_permanently_open_or_closed_calendar_has_no_next_change() -> None:
    never, always = a_calendar(), a_calendar(daily=("00:00-24:00",))
    assert not is_open(never, ms("2026-01-05 12:00"))
    assert is_open(always, ms("2026-01-05 12:00"))
    for calendar in (never, always):
        assert next_change_ms(calendar, ms("2026-01-05 12:00")) is None


def test_the_next_change_is_found_within_a_year_only() -> None:
    once = a_calendar("UTC", dates={"2027-06-01": ("10:00-11:00",)})
    assert next_change_ms(once, ms("2026-01-05 00:00")) is None
    assert utc(next_change_ms(once, ms("2026-06-05 00:00"))) == "2027-06-01 10:00:00"


# --- holidays and dates -----------------------------------------------------------------------------------------------------
def test_dates_override_holidays_and_holidays_override_the_week() -> None:
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
    assert not is_holiday(office, ms("2026-12-25 03:00")), "a date with its own hours"


def test_holidays_differ_by_subdivision() -> None:
    geneva = a_calendar(holidays=HolidaysPolicy(country="CH", subdivision="GE"))
    zurich = a_calendar(holidays=HolidaysPolicy(country="CH", subdivision="ZH"))
    jeune = ms("2026-09-10 12:00")  # The Geneva fast.
    assert is_holiday(geneva, jeune) and not is_holiday(zurich, jeune)


def test_a_span_that_began_before_a_closed_day_is_completed() -> None:
    night = a_calendar("UTC", ("22:00-06:00",), dates={"2026-12-24": ()})
    assert is_open(night, ms("2026-12-24 05:00"))
    assert not is_open(night, ms("2026-12-24 23:00"))


@pytest.mark.parametrize("policy", [("XX", None), ("CH", "QQ")])
def test_an_unknown_country_or_subdivision_is_an_error(policy: tuple[str, str | None]) -> None:
    with pytest.raises(ValueError, match="no such"):
        holiday_table(HolidaysPolicy(country=policy[0], subdivision=policy[1]))


# --- clock changes (F24) -------------------------------------------------------------------------------------------------
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
def test_a_skipped_local_time_is_the_time_of_the_clock_change(span: str, opens: str, closes: str) -> None:
    gap = a_calendar(dates={"2026-03-29": (span,)})
    assert changes(gap, "2026-03-28 12:00", 2) == [opens, closes]


def test_a_span_within_the_skipped_hour_is_empty() -> None:
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
def test_of_a_repeated_local_time_the_first_opens_and_the_second_closes(span: str, opens: str, closes: str) -> None:
    overlap = a_calendar(dates={"2026-10-25": (span,)})
    assert changes(overlap, "2026-10-24 12:00", 2) == [opens, closes]


def test_a_night_shift_is_longer_or_shorter_at_a_clock_change() -> None:
    night = a_calendar(sat=("22:00-06:00",))
    assert changes(night, "2026-03-28 12:00", 2) == ["2026-03-28 21:00:00", "2026-03-29 04:00:00"]
    assert changes(night, "2026-10-24 12:00", 2) == ["2026-10-24 20:00:00", "2026-10-25 05:00:00"]


def test_a_date_that_a_zone_skips_has_no_hours() -> None:
    # Samoa went from 29 December 2011 straight to the 31st.
    samoa = a_calendar("Pacific/Apia", ("09:00-17:00",))
    assert changes(samoa, "2011-12-29 12:00", 4) == [
        "2011-12-29 19:00:00",
        "2011-12-30 03:00:00",
        "2011-12-30 19:00:00",
        "2011-12-31 03:00:00",
    ]


# --- distant years (F27) ---------------------------------------------------------------------------------------------------
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


def test_holidays_of_distant_years_do_not_fail() -> None:
    office = a_calendar(daily=("09:00-17:00",), holidays=HolidaysPolicy(country="CH"))
    for year in (1970, 2038, 2100):
        assert not is_open(office, ms(f"{year}-08-01 12:00")) or year < 1994


# --- properties ------------------------------------------------------------------------------------------------
ZONES: Final = (ZURICH, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo")
times = st.integers(0, 24 * 12 - 1).map(lambda n: f"{n // 12:02}:{n % 12 * 5:02}")


@settings(max_examples=60, deadline=None)
@given(zone=st.sampled_from(ZONES), span=st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]), day=st.integers(0, 366))
def test_without_a_clock_change_it_is_open_by_the_local_time(zone: str, span: tuple[str, str], day: int) -> None:
    calendar = a_calendar(zone, ("-".join(span),))
    place = ZoneInfo(zone)
    start = ms("2026-01-01 00:00") + day * 86_400_000
    offsets = {
        (datetime.fromtimestamp(start / 1000, UTC) + timedelta(hours=h)).astimezone(place).utcoffset() for h in range(-30, 60)
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
    spans=st.lists(st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]).map("-".join), max_size=3),
    hours=st.integers(0, 366 * 24),
)
def test_is_open_is_constant_until_the_next_change(zone: str, spans: list[str], hours: int) -> None:
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
    ["bogus", "Europe", "localtime", "posixrules", "Factory", "../etc/passwd", "/UTC", "", "\0", "ü"],
)  # fmt: skip
def test_an_unknown_zone_is_none(name: str) -> None:
    assert load_zone(name) is None


def test_local_time_at_a_clock_change() -> None:
    wall = local_time(ZoneInfo(ZURICH), ms("2026-03-29 01:05"))
    assert (wall.date, wall.weekday, wall.hour, wall.minute) == ("2026-03-29", "sun", 3, 5)


def test_the_most_expensive_calendar_is_fast_and_its_caches_are_bounded() -> None:
    """Search a whole year: nothing ever changes, and the holidays prevent the shortcut for that."""
    calendar = a_calendar(daily=("00:00-24:00",), holidays=HolidaysPolicy(country="US"), holiday_hours=("00:00-24:00",))
    assert is_open(calendar, ms("2026-01-05 12:00"))
    began = thread_time()
    assert next_change_ms(calendar, ms("2026-01-05 12:00")) is None
    assert thread_time() - began < 2.0, "searches days, not minutes"
    for years in range(30):
        next_change_ms(calendar, ms("2026-01-05 12:00") + years * 366 * 86_400_000)
    assert len(calendar._days) <= 800 and len(calendar._years) <= 9


# --- days ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("zone", "now", "day", "until"),
    [
        ("UTC", "2026-01-05T09:00:00", "2026-01-05", "2026-01-06T00:00:00"),
        ("UTC", "2026-01-05T23:59:59.999", "2026-01-05", "2026-01-06T00:00:00"),
        ("UTC", "2026-01-06T00:00:00", "2026-01-06", "2026-01-07T00:00:00"),
        ("Asia/Kolkata", "2026-01-05T18:29:59", "2026-01-05", "2026-01-05T18:30:00"),
        ("Europe/Berlin", "2026-01-05T09:00:00", "2026-01-05", "2026-01-05T23:00:00"),
        # Clocks go forward on 29 March: that day has 23 hours; on 25 October back: 25 hours.
        ("Europe/Berlin", "2026-03-28T23:00:00", "2026-03-29", "2026-03-29T22:00:00"),
        ("Europe/Berlin", "2026-10-24T22:00:00", "2026-10-25", "2026-10-25T23:00:00"),
        # Midnight of 4 November 2018 was skipped: the day began at one o'clock.
        ("America/Sao_Paulo", "2018-11-03T12:00:00", "2018-11-03", "2018-11-04T03:00:00"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00", "2018-11-04", "2018-11-05T02:00:00"),
        # And at the midnight that ended 17 February 2018 clocks went back: the hour before it occurred twice.
        ("America/Sao_Paulo", "2018-02-17T12:00:00", "2018-02-17", "2018-02-18T03:00:00"),
        ("America/Sao_Paulo", "2018-02-18T02:30:00", "2018-02-17", "2018-02-18T03:00:00"),
        # Samoa had no 30 December 2011.
        ("Pacific/Apia", "2011-12-29T20:00:00", "2011-12-29", "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2011-12-30T10:00:00", "2011-12-31", "2011-12-31T10:00:00"),
        # In Newfoundland clocks went back one minute after midnight: the date began, ended and began again.
        ("America/St_Johns", "2010-11-06T20:00:00", "2010-11-06", "2010-11-07T02:30:00"),
        ("America/St_Johns", "2010-11-07T02:30:30", "2010-11-07", "2010-11-08T03:30:00"),
        ("America/St_Johns", "2010-11-07T02:45:00", "2010-11-06", "2010-11-07T03:30:00"),
        # Toronto skipped from 23:30 to 00:30 in 1919: the day begins at the clock change.
        ("America/Toronto", "1919-03-31T00:00:00", "1919-03-30", "1919-03-31T04:30:00"),
    ],
)
def test_the_date_and_the_start_of_the_next_one(zone: str, now: str, day: str, until: str) -> None:
    assert local_day(zone, ms(now)) == (day, ms(until))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "UTC"])
def test_days_of_twenty_years_follow_each_other_without_a_gap(zone: str) -> None:
    now = ms("2005-01-01T12:00:00")
    lengths: set[int] = set()
    before, until_ms = local_day(zone, now)
    while until_ms < ms("2025-01-01T00:00:00"):
        day, later_ms = local_day(zone, until_ms)
        assert day > before
        assert local_day(zone, until_ms - 1)[0] == before
        assert local_day(zone, later_ms - 1) == (day, later_ms)
        skipped = datetime.fromisoformat(day) - datetime.fromisoformat(before)
        assert skipped == timedelta(days=2 if (zone, day) == ("Pacific/Apia", "2011-12-31") else 1)
        lengths.add(later_ms - until_ms)
        before, until_ms = day, later_ms
    assert min(lengths) >= 23 * HOUR_MS and max(lengths) <= 25 * HOUR_MS
    assert 24 * HOUR_MS in lengths
