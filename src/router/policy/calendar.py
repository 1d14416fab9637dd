"""Calendars: whether one is open at a time, when that changes, and the days of a time zone.

Only command handlers compute opening hours and days. The results are stored in events and replay uses those, so that a later
version of the time zone data does not change past decisions. The module reads the tables of the zone and holiday libraries; it
reads no clock.

Clock changes: a local time that is skipped is taken as the time of the change. A local time that occurs twice is taken at its
first occurrence as the start of a span and at its second as the end, so a span is never shorter than its local times say.
Because a span may cross midnight, a time belongs to the spans of the day before, the same day or the day after.

Days: a day usually has 24 hours, 23 or 25 when the clocks change, and other lengths when a zone changes its offset. If midnight
is skipped, the day begins at the clock change. A date that a zone skips altogether does not begin at all.

Cost: the intervals of a day are computed once and cached, at most ``_DAYS_KEPT_MAX`` days for each calendar.
"""

from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from router.model.policy import CalendarPolicy, HolidaysPolicy

HORIZON_DAYS: Final = 366
DAY_MS: Final = 86_400_000
_DAY_S = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_MINUTES: Final = 1_440
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Names in zone databases that are no place, or that depend on this machine.
_EXCLUDED_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})
# Enough for a search of a whole year from two dates.
_DAYS_KEPT_MAX: Final = 800
MinuteSpan = tuple[int, int]
Interval = tuple[int, int]


class LocalTime(Struct, frozen=True, kw_only=True):
    """Local date and time of day."""

    date: str
    weekday: str
    """Weekday, ``mon`` to ``sun``."""
    hour: int
    minute: int


# Bounded, because clients that may check policies can send any number of names.
@lru_cache(maxsize=256)
def load_zone(name: str) -> ZoneInfo | None:
    """Return the IANA time zone of a name; none if it does not exist or its data is missing."""
    if name in _EXCLUDED_ZONES:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # KeyError: not found; OSError: a directory of zones.
        return None


def local_time(zone: tzinfo, at_ms: int) -> LocalTime:
    """Return the local date and time of day at a time."""
    local = _local_datetime(zone, at_ms)
    return LocalTime(date=local.date().isoformat(), weekday=_WEEKDAYS[local.weekday()], hour=local.hour, minute=local.minute)


def span_minutes(span: str) -> MinuteSpan:
    """Convert ``09:00-17:30`` to minutes of the day; the end exceeds 1,440 if the span crosses midnight."""
    start, end = ((int(part[:2]) * 60 + int(part[3:])) for part in span.split("-"))
    return start, end if end > start else end + _DAY_MINUTES


class Calendar:
    """Calendar of a policy, prepared for queries, with a bounded cache of days.

    Raises:
        ValueError: The time zone or the holidays do not exist. Checked policies have neither.
    """

    def __init__(self, policy: CalendarPolicy) -> None:
        zone = load_zone(policy.zone)
        if zone is None:
            raise ValueError("no such zone")
        self.zone = zone
        self._week = tuple(_spans(getattr(policy.week, name)) for name in _WEEKDAYS)
        self._dates = {date.fromisoformat(day): _spans(s) for day, s in policy.dates.items()}
        self._holiday_spans = _spans(policy.holiday_hours)
        self._holidays = None if policy.holidays is None else holiday_table(policy.holidays)
        self._years: dict[int, Collection[date]] = {}
        self._days: dict[int, tuple[Interval, ...]] = {}
        self._last_date = max(self._dates, default=date.min)

    def is_holiday(self, day: date) -> bool:
        """Return whether a date is a public holiday without an entry in ``dates``."""
        if self._holidays is None or day in self._dates:
            return False
        if day.year not in self._years:
            if len(self._years) > 8:
                self._years.clear()
            self._years[day.year] = self._holidays(day.year)
        return day in self._years[day.year]

    def spans_on(self, day: date) -> tuple[MinuteSpan, ...]:
        """Return the spans that begin on a date: its own, else the holiday's, else the weekday's."""
        own = self._dates.get(day)
        if own is not None:
            return own
        return self._holiday_spans if self.is_holiday(day) else self._week[day.weekday()]

    def intervals_on(self, ordinal: int) -> tuple[Interval, ...]:
        """Return the intervals ``[start, end)`` in epoch milliseconds that begin on a date, given as its ordinal."""
        intervals = self._days.get(ordinal)
        if intervals is None:
            if len(self._days) >= _DAYS_KEPT_MAX:
                self._days.clear()
            day = date.fromordinal(ordinal)
            moments = (
                (_to_epoch_ms(self.zone, day, start, first=True), _to_epoch_ms(self.zone, day, end))
                for start, end in self.spans_on(day)
            )
            # A span inside a skipped hour is empty.
            intervals = self._days[ordinal] = tuple(interval for interval in moments if interval[0] < interval[1])
        return intervals

    def never_changes_after(self, day: date) -> bool:
        """Return whether the calendar is permanently open or permanently closed from a date on."""
        return (
            self._holidays is None
            and day > self._last_date + timedelta(days=1)
            and len(set(self._week)) == 1
            and self._week[0] in ((), ((0, _DAY_MINUTES),))
        )


def is_open(calendar: Calendar, at_ms: int) -> bool:
    """Return whether the calendar is open at a time."""
    return _open_until(calendar, at_ms) is not None


def is_holiday(calendar: Calendar, at_ms: int) -> bool:
    """Return whether it is a public holiday at a time and the date has no entry in ``dates``."""
    return calendar.is_holiday(_local_datetime(calendar.zone, at_ms).date())


def next_change_ms(calendar: Calendar, at_ms: int) -> int | None:
    """Return the next time at which the calendar opens or closes; none: not within 366 days."""
    last_ms = at_ms + HORIZON_DAYS * DAY_MS
    until_ms = _open_until(calendar, at_ms)
    if until_ms is None:
        return _next_opening(calendar, at_ms, last_ms)
    while until_ms <= last_ms:
        if calendar.never_changes_after(_local_datetime(calendar.zone, until_ms).date()):
            # Permanently open: at midnight the span of one day ends and that of the next begins.
            return until_ms if _open_until(calendar, until_ms) is None else None
        further_ms = _open_until(calendar, until_ms)
        if further_ms is None:
            return until_ms
        until_ms = further_ms
    return None


def _open_until(calendar: Calendar, at_ms: int) -> int | None:
    """Return the latest end of the spans that contain a time; none: closed."""
    today = _local_datetime(calendar.zone, at_ms).date().toordinal()
    ends = [
        end_ms
        for ordinal in (today - 1, today, today + 1)
        for start_ms, end_ms in calendar.intervals_on(ordinal)
        if start_ms <= at_ms < end_ms
    ]
    return max(ends, default=None)


def _next_opening(calendar: Calendar, at_ms: int, last_ms: int) -> int | None:
    today = _local_datetime(calendar.zone, at_ms).date().toordinal()
    for ordinal in range(today - 1, today + HORIZON_DAYS + 2):
        starts = [start for start, _ in calendar.intervals_on(ordinal) if start > at_ms]
        if starts:
            # If a zone skips a whole day, spans of two days may begin together, so the next day is included.
            starts += [s for s, _ in calendar.intervals_on(ordinal + 1) if s > at_ms]
            first_ms = min(starts)
            return first_ms if first_ms <= last_ms else None
        if calendar.never_changes_after(date.fromordinal(ordinal)):
            return None
    return None


def _spans(texts: tuple[str, ...]) -> tuple[MinuteSpan, ...]:
    return tuple(sorted(span_minutes(text) for text in texts))


def _local_datetime(zone: tzinfo, at_ms: int) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(zone)


def _to_epoch_ms(zone: tzinfo, day: date, minute: int, *, first: bool = False) -> int:
    """Return the epoch milliseconds of a local time: of two occurrences the first or last; if skipped, the clock change."""
    wall = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minute)
    early, late = _utc_ms(wall, zone, fold=0), _utc_ms(wall, zone, fold=1)
    if late < early:
        # Skipped: with the offset before the change it lies after the change, with the offset after, before it.
        return _clock_change_between(zone, late, early)
    return early if first else late


def _utc_ms(wall: datetime, zone: tzinfo, *, fold: int) -> int:
    offset = wall.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None
    days = wall.toordinal() - _EPOCH_DAY
    seconds = days * 86_400 + wall.hour * 3_600 + wall.minute * 60
    return seconds * 1_000 - round(offset.total_seconds() * 1_000)


def _clock_change_between(zone: tzinfo, before_ms: int, after_ms: int) -> int:
    """Return the time, to the second, of the clock change between two times."""
    before, after = before_ms // 1_000, after_ms // 1_000
    old = _local_datetime(zone, before * 1_000).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if _local_datetime(zone, middle * 1_000).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after * 1_000


def holiday_table(policy: HolidaysPolicy) -> Callable[[int], Collection[date]]:
    """Return a function from a year to its public holidays.

    Raises:
        ValueError: The library does not support the country or subdivision.
    """
    # Imported here because loading takes 0.1 s and few policies use holidays.
    import holidays

    def of_year(year: int) -> Collection[date]:
        table = holidays.country_holidays(policy.country, subdiv=policy.subdivision, years=year, expand=False)
        return frozenset(table.keys())

    try:
        holidays.country_holidays(policy.country, subdiv=policy.subdivision, expand=False)
    except RuntimeError:  # A subclass of it: the country or subdivision is not supported.
        raise ValueError("no such country or subdivision") from None
    return of_year


def local_day(zone_name: str, at_ms: int) -> tuple[str, int]:
    """Return the local date (ISO 8601) at a time and the start of the next date. The zone must exist.

    If the clocks are set back over midnight and a date returns, it is not entered again: the next start is that of a later
    date.
    """
    zone = load_zone(zone_name)
    assert zone is not None, "the policy was checked"
    today = _local_date(zone, at_ms // 1000)
    for ahead in (1, 2, 3):
        tomorrow = today + timedelta(days=ahead)
        for fold in (0, 1):
            begins_s = _day_start_s(zone, tomorrow, fold)
            if begins_s * 1000 > at_ms:
                return today.isoformat(), begins_s * 1000
    raise AssertionError("no date begins within three days")


def local_day_bounds(zone_name: str, at_ms: int) -> tuple[int, int]:
    """Return start and end of the local day that contains a time, in epoch milliseconds. The zone must exist.

    If the clocks are set back over midnight and a date returns, it is one day, which ends when the next date begins for good.
    """
    zone = load_zone(zone_name)
    assert zone is not None, "the policy was checked"
    today, end_ms = _local_date(zone, at_ms // 1000), local_day(zone_name, at_ms)[1]
    start_ms = max(
        (start for fold in (0, 1) if (start := _day_start_s(zone, today, fold) * 1000) <= at_ms), default=at_ms - at_ms % 1000
    )
    return start_ms, end_ms


def _local_date(zone: ZoneInfo, at_s: int) -> date:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).date()


def _day_start_s(zone: ZoneInfo, day: date, fold: int) -> int:
    """Return the epoch second at which a date begins: midnight, or the clock change that skips it."""
    midnight = datetime.combine(day, time(fold=fold), tzinfo=zone)
    reached = int(midnight.timestamp())
    if _local_date(zone, reached) == day and _local_date(zone, reached - 1) < day:
        return reached
    before = reached - _DAY_S
    while reached - before > 1:
        middle = (before + reached) // 2
        if _local_date(zone, middle) < day:
            before = middle
        else:
            reached = middle
    return reached
