"""Report of the alerts that a policy would have raised on a day."""

from collections.abc import Mapping

from msgspec import Struct, field
from rich.table import Table

from router.simulator.formats.recorded_rows import iso_time


class RaisedAlert(Struct, kw_only=True):
    """An alert that was raised."""

    subject: str
    """Queue, channel, team or agent; empty: the workspace."""
    raised_at_ms: int
    """Virtual time, epoch milliseconds."""
    value: float
    cleared_at_ms: int | None = None
    """None: it was raised until the end."""


class AlertReport(Struct, kw_only=True):
    """How often an alert of the policy was raised. With several replications, sums over all of them."""

    measure: str
    raised: int = 0
    raised_s: float = 0.0
    """Time for which it was raised, over all subjects."""
    subjects: dict[str, int] = field(default_factory=dict)
    """How often by queue, channel, team or agent."""
    listed: list[RaisedAlert] = field(default_factory=list)
    """The first ones of the first replication."""

    def add(self, other: "AlertReport") -> None:
        """Add the counts of another replication."""
        self.raised += other.raised
        self.raised_s += other.raised_s
        for subject, count in other.subjects.items():
            self.subjects[subject] = self.subjects.get(subject, 0) + count


def alerts_table(alerts: Mapping[str, AlertReport]) -> Table:
    """Return the alerts as a table for a terminal."""
    table = Table()
    for column in ("alert", "raised", "for s", "most often", "first", "at", "value"):
        table.add_column(column, justify="right" if column in ("raised", "for s", "value") else "left")
    for name, one in alerts.items():
        most = max(one.subjects, key=lambda subject: (one.subjects[subject], subject), default=None)
        first = one.listed[0] if one.listed else None
        table.add_row(
            name,
            f"{one.raised:,}",
            f"{one.raised_s:,.0f}",
            "–" if most is None else f"{most or 'workspace'} ({one.subjects[most]:,})",
            "–" if first is None else first.subject or "workspace",
            "–" if first is None else iso_time(first.raised_at_ms),
            "–" if first is None else f"{first.value:,.4g}",
        )
    return table
