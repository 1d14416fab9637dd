"""Days of a time zone: the local date at a time, and the start of the next one.

The result is stored in an event and replay uses that. A day usually has 24 hours, 23 or 25 when the clocks change, and other
lengths when a zone changes its offset. If midnight is skipped, the day begins at the clock change. A date that a zone skips
altogether does not begin at all.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from router.rules.calendar import zone_of

_DAY_S = 86_400


def day_at(name: str, at_ms: int) -> tuple[str, int]:
    """Return the local date (ISO 8601) at a time and the start of the next date. The zone must exist.

    If the clocks are set back over midnight and a date returns, it is not entered again: the next start is that of a later
    date.
    """
    zone = zone_of(name)
    assert zone is not None, "the policy was checked"
    today = _date(zone, at_ms // 1000)
    for ahead in (1, 2, 3):
        tomorrow = today + timedelta(days=ahead)
        for fold in (0, 1):
            begins_s = _begins(zone, tomorrow, fold)
            if begins_s * 1000 > at_ms:
                return today.isoformat(), begins_s * 1000
    raise AssertionError("no date begins within three days")


def _date(zone: ZoneInfo, at_s: int) -> date:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).date()


def _begins(zone: ZoneInfo, day: date, fold: int) -> int:
    """Return the epoch second at which a date begins: midnight, or the clock change that skips it."""
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
