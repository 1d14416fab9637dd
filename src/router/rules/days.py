"""Days of a time zone: which one it is, and when the next begins.

The only place where a zone is asked about midnights. What it says goes into an event; nothing is worked out again in replay.
A day has 24 hours but where the clocks are set: 23 or 25 then, and less or more where a zone changes its mind. A midnight that the
clocks leap over is no midnight: the day begins where they land. A date that is left out altogether is not missed.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from router.rules.calendar import zone_of

_DAY_S = 86_400


def day_at(name: str, at_ms: int) -> tuple[str, int]:
    """The local date (ISO 8601) at a moment, and the first moment of the next one. The zone is a known one.

    Where clocks set back at midnight bring a date back, the date that has been left is not entered again: whoever waits for the
    next moment gets a later date.
    """
    zone = zone_of(name)
    assert zone is not None, "the policy's check knows the zone"
    today = _date(zone, at_ms // 1000)
    for ahead in (1, 2, 3):
        tomorrow = today + timedelta(days=ahead)
        for fold in (0, 1):
            begins_s = _begins(zone, tomorrow, fold)
            if begins_s * 1000 > at_ms:
                return today.isoformat(), begins_s * 1000
    raise AssertionError("no zone stands still for three days")


def _date(zone: ZoneInfo, at_s: int) -> date:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).date()


def _begins(zone: ZoneInfo, day: date, fold: int) -> int:
    """The second at which the date is reached; in a leap over its midnight, where the clocks land."""
    midnight = datetime.combine(day, time(fold=fold), tzinfo=zone)
    reached = int(midnight.timestamp())
    if _date(zone, reached) == day and _date(zone, reached - 1) < day:
        return reached
    before = reached - _DAY_S
    while reached - before > 1:
        middle = (before + reached) // 2
        if _date(zone, middle) < day:
            before = middle
        else:
            reached = middle
    return reached
