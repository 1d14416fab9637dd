"""Checks of calendars: time zone, holidays, dates and time spans."""

from collections.abc import Iterator
from datetime import date

from router.model.errors import Problem
from router.model.policy import CalendarPolicy, Policy
from router.rules.calendar import holiday_table, minutes, zone_of


def calendar_problems(policy: Policy) -> Iterator[Problem]:
    """Yield the problems of all calendars, in the document's order."""
    for name, calendar in policy.calendars.items():
        yield from _calendar(f"calendars.{name}", calendar)


def _calendar(path: str, calendar: CalendarPolicy) -> Iterator[Problem]:
    if zone_of(calendar.zone) is None:
        yield Problem(path=f"{path}.zone", message="no such IANA time zone")
    for day in calendar.week.__struct_fields__:
        yield from _spans(f"{path}.week.{day}", getattr(calendar.week, day))
    if calendar.holidays is not None:
        try:
            holiday_table(calendar.holidays)
        except ValueError:
            yield Problem(
                path=f"{path}.holidays",
                message="no public holidays are known for this country and subdivision",
            )
    elif calendar.holiday_hours:
        yield Problem(path=f"{path}.holiday_hours", message="requires holidays")
    yield from _spans(f"{path}.holiday_hours", calendar.holiday_hours)
    for day, spans in calendar.dates.items():
        try:
            date.fromisoformat(day)
        except ValueError:
            yield Problem(path=f"{path}.dates.{day}", message="no such date")
        yield from _spans(f"{path}.dates.{day}", spans)


def _spans(path: str, spans: tuple[str, ...]) -> Iterator[Problem]:
    last = -1
    for index, span in enumerate(spans):
        start, end = minutes(span)
        here = f"{path}[{index}]"
        if span[:5] == span[6:]:
            yield Problem(path=here, message="an empty span; the whole day is 00:00-24:00")
        elif start < last:
            yield Problem(path=here, message="begins before the end of the span before it")
        last = max(last, end)
