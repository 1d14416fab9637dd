"""Days of a zone: which date it is and when the next begins, also where clocks leap over midnight."""

from datetime import UTC, datetime, timedelta

import pytest

from router.policy.calendar import load_zone, local_day

HOUR_MS = 3_600_000


def at(text: str) -> int:
    """A moment in UTC, in epoch milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


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
        # Midnight of 4 November 2018 was leapt over: the day began at one o'clock.
        ("America/Sao_Paulo", "2018-11-03T12:00:00", "2018-11-03", "2018-11-04T03:00:00"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00", "2018-11-04", "2018-11-05T02:00:00"),
        # And at the midnight that ended 17 February 2018 clocks went back: the hour before it came twice.
        ("America/Sao_Paulo", "2018-02-17T12:00:00", "2018-02-17", "2018-02-18T03:00:00"),
        ("America/Sao_Paulo", "2018-02-18T02:30:00", "2018-02-17", "2018-02-18T03:00:00"),
        # Samoa had no 30 December 2011.
        ("Pacific/Apia", "2011-12-29T20:00:00", "2011-12-29", "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2011-12-30T10:00:00", "2011-12-31", "2011-12-31T10:00:00"),
        # In Newfoundland clocks went back one minute after midnight: the date came, went and came again.
        ("America/St_Johns", "2010-11-06T20:00:00", "2010-11-06", "2010-11-07T02:30:00"),
        ("America/St_Johns", "2010-11-07T02:30:30", "2010-11-07", "2010-11-08T03:30:00"),
        ("America/St_Johns", "2010-11-07T02:45:00", "2010-11-06", "2010-11-07T03:30:00"),
        # Toronto leapt from 23:30 to 00:30 in 1919: the day begins where the clocks land.
        ("America/Toronto", "1919-03-31T00:00:00", "1919-03-30", "1919-03-31T04:30:00"),
    ],
)
def test_a_day_and_the_moment_in_which_the_next_begins(
    zone: str, now: str, day: str, until: str
) -> None:
    assert local_day(zone, at(now)) == (day, at(until))


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
)
def test_days_follow_each_other_for_twenty_years_without_a_gap(zone: str) -> None:
    now = at("2005-01-01T12:00:00")
    lengths: set[int] = set()
    before, until_ms = local_day(zone, now)
    while until_ms < at("2025-01-01T00:00:00"):
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


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../etc/passwd", "/UTC", "", "\0", "ü"])
def test_what_is_no_zone_is_none(name: str) -> None:
    assert load_zone(name) is None
