"""Report of a recorded day as one HTML file, with pictures and tables and without anything that is loaded from elsewhere.

The page has no script, and its security policy forbids everything but its own style. It follows the light or dark scheme of the
reader, can be used by keyboard, and every picture has its figures in a table.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from router.simulator.recorded_stats import RecordedDay
from router.simulator.results.day_pictures import Picture, Series, text, to_svg
from router.statistics.history_queries import Dimension
from router.statistics.rows import StatisticsRow

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5a6474; --line: #d5dae2; --paper: #fff; --card: #f5f7fa;
  --s0: #0063a5; --s1: #b34700; --s2: #00704f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf0; --soft: #a6b0c0; --line: #3a4352; --paper: #14181f; --card: #1e242e;
  --s0: #63b3f0; --s1: #ff9d57; --s2: #4fd1a5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 68rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin: 1.2rem 0; }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0 1.6rem; } figcaption { font-weight: 600; } figcaption span { font-weight: 400; color: var(--soft); }
svg { width: 100%; height: auto; display: block; margin-top: .4rem; } svg text { font-size: 12px; fill: var(--soft); }
.axis { stroke: var(--soft); } .grid { stroke: var(--line); } .line { fill: none; stroke-width: 2; }
.line.s0 { stroke: var(--s0); } .line.s1 { stroke: var(--s1); stroke-dasharray: 7 4; } .line.s2 { stroke: var(--s2); }
.bar.s0, .dot.s0 { fill: var(--s0); } .dot.s1 { fill: var(--s1); } .dot.s2 { fill: var(--s2); }
.key { display: inline-block; width: 1.6rem; border-top: 3px solid var(--s0); vertical-align: middle; margin: 0 .3rem 0 .9rem; }
.key.s1 { border-top: 3px dashed var(--s1); } .key.s2 { border-color: var(--s2); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; color: var(--soft); padding: .3rem 0; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--soft); font-weight: 600;
  white-space: normal; vertical-align: bottom; }
tbody th { font-weight: 500; } summary { cursor: pointer; color: var(--soft); }
@media print { body { max-width: none; } details { display: none; } .scroll { overflow: visible; } table { font-size: .7rem; }
  th, td { padding: .2rem .3rem; } }
"""

_Cell = tuple[str, Callable[[StatisticsRow], str]]
"""Head of a column, and its value in a row."""


def _count(value: int) -> str:
    return f"{value:,}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _time(value_ms: int | None) -> str:
    """Return a duration as ``12 s`` below a minute, else as ``3:05`` or ``1:02:03``."""
    if value_ms is None:
        return "–"
    total_s = round(value_ms / 1000)
    if total_s < 60:
        return f"{value_ms / 1000:.0f} s"
    minutes, rest_s = divmod(total_s, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest_s:02d}" if hours else f"{minutes}:{rest_s:02d}"


_CONTACTS: Final[tuple[_Cell, ...]] = (
    ("contacts", lambda row: _count(row.submitted)),
    ("answered", lambda row: _count(row.answered)),
    ("abandoned", lambda row: _count(row.abandoned)),
    ("abandoned, share", lambda row: _share(row.abandonment_rate)),
    ("service level", lambda row: _share(row.service_level)),
    ("mean wait", lambda row: _time(row.asa_ms)),
    ("p90 wait", lambda row: _time(row.wait_p90_ms)),
    ("longest wait", lambda row: _time(row.longest_wait_ms)),
    ("mean handle time", lambda row: _time(row.aht_ms)),
    ("expired", lambda row: _count(row.expired)),
    ("transferred", lambda row: _count(row.transferred_out)),
)
_WORK: Final[tuple[_Cell, ...]] = (
    ("answered", lambda row: _count(row.answered)),
    ("handled", lambda row: _count(row.handled)),
    ("mean handle time", lambda row: _time(row.aht_ms)),
    ("mean wrap-up", lambda row: _time(row.mean_wrap_up_ms)),
    ("occupancy", lambda row: _share(row.occupancy)),
    ("busy", lambda row: _time(row.busy_ms)),
    ("idle", lambda row: _time(row.idle_ms)),
    ("not ready", lambda row: _time(row.not_ready_ms)),
    ("missed offers", lambda row: _count(row.offers_expired)),
    ("declined offers", lambda row: _count(row.offers_declined)),
)
_CODES: Final[tuple[_Cell, ...]] = (
    ("handled", lambda row: _count(row.handled)),
    ("mean handle time", lambda row: _time(row.aht_ms)),
    ("mean wrap-up", lambda row: _time(row.mean_wrap_up_ms)),
)
_TABLES: Final[tuple[tuple[Dimension, str, Callable[[StatisticsRow], str], tuple[_Cell, ...]], ...]] = (
    (Dimension.QUEUE, "Queues", lambda row: row.queue_id or "", _CONTACTS),
    (Dimension.CHANNEL, "Channels", lambda row: row.channel or "", _CONTACTS),
    (Dimension.TEAM, "Teams", lambda row: row.team or "", _WORK),
    (Dimension.AGENT, "Agents", lambda row: row.agent_id or "", _WORK),
    (Dimension.DISPOSITION, "Dispositions", lambda row: row.disposition or "none given", _CODES),
)


def to_html(day: RecordedDay) -> bytes:
    """Return the page; the same day gives the same bytes."""
    clock = _Clock(day.zone)
    total = day.rows[Dimension.WORKSPACE][0] if day.rows[Dimension.WORKSPACE] else None
    title = f"{day.name}: {clock.span(day.from_ms, day.to_ms)}"
    body = [f"<h1>{text(title)}</h1>", f'<p class="soft">{text(_origin(day))}</p>']
    body += [f'<p class="soft">{text(note)}</p>' for note in day.notes]
    if total is not None:
        body.append(_tiles(total))
    body.append("<h2>By time</h2>")
    body += [_figure(picture) for picture in _pictures(day, clock)]
    for by, heading, name_of, columns in _TABLES:
        rows = [row for row in day.rows[by] if by is not Dimension.AGENT or row.handled or row.signed_in_ms or row.offers_made]
        is_empty = by is Dimension.DISPOSITION and all(not row.disposition for row in rows)
        if rows and not is_empty:
            body.append(f"<h2>{heading}</h2>")
            body.append(
                _table(f"{heading} in the whole time", heading[:-1].lower(), [(name_of(row), row) for row in rows], columns)
            )
    return _page(title, body)


class _Clock:
    """Times as the readers of the report have them on their clocks."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)

    def at(self, at_ms: int, form: str) -> str:
        """Return a point in time."""
        return datetime.fromtimestamp(at_ms / 1000, self._zone).strftime(form)

    def span(self, from_ms: int, to_ms: int) -> str:
        """Return the time of the report."""
        first, last = self.at(from_ms, "%Y-%m-%d"), self.at(to_ms - 1, "%Y-%m-%d")
        start, end = self.at(from_ms, "%H:%M"), self.at(to_ms, "%H:%M")
        return f"{first}, {start} to {end}" if first == last else f"{first} {start} to {self.at(to_ms, '%Y-%m-%d')} {end}"


def _origin(day: RecordedDay) -> str:
    made = "computed from the waits and handle times of the log" if day.is_derived else "counted from the events of the journal"
    return f"Times in {day.zone}, totals in whole quarters of an hour, {made}."


def _tiles(row: StatisticsRow) -> str:
    values = (
        ("contacts", _count(row.submitted)),
        ("answered", _count(row.answered)),
        ("abandoned", f"{_count(row.abandoned)} ({_share(row.abandonment_rate)})"),
        ("service level", _share(row.service_level)),
        ("mean wait", _time(row.asa_ms)),
        ("p90 wait", _time(row.wait_p90_ms)),
        ("mean handle time", _time(row.aht_ms)),
        ("occupancy", _share(row.occupancy)),
    )
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{text(value)}</dd></div>" for name, value in values) + "</dl>"


def _pictures(day: RecordedDay, clock: _Clock) -> list[Picture]:
    rows = day.intervals
    form = "%H:%M" if day.to_ms - day.from_ms <= 26 * 3_600_000 else "%d %b %H:%M"
    labels = [clock.at(row.from_ms, form) for row in rows]

    def seconds_of(values: Sequence[int | None]) -> list[float | None]:
        return [None if value is None else value / 1000 for value in values]

    chosen: list[tuple[str, str, list[Series], Callable[[float], str], float | None]] = [
        ("load", "Contacts", [
            Series(name="submitted", values=[float(row.submitted) for row in rows], is_bars=True),
            Series(name="abandoned", values=[float(row.abandoned) for row in rows]),
        ], lambda value: f"{value:g}", None),
        ("waits", "Waits of answered contacts", [
            Series(name="mean", values=seconds_of([row.asa_ms for row in rows])),
            Series(name="p90", values=seconds_of([row.wait_p90_ms for row in rows])),
        ], lambda value: f"{value:g} s", None),
        ("level", "Service level", [Series(name="service level", values=[row.service_level for row in rows])],
         lambda value: f"{value:.0%}", 1.0),
        ("occupancy", "Occupancy of the agents", [Series(name="occupancy", values=[row.occupancy for row in rows])],
         lambda value: f"{value:.0%}", 1.0),
    ]  # fmt: skip
    return [
        Picture(
            key=key, title=title, summary=_summary(title, labels, series, shown), labels=labels, series=series, shown=shown, top=top
        )
        for key, title, series, shown, top in chosen
    ]


def _summary(title: str, labels: Sequence[str], series: Sequence[Series], shown: Callable[[float], str]) -> str:
    """Return where the first series has its lowest and highest value."""
    known = [(value, label) for value, label in zip(series[0].values, labels, strict=True) if value is not None]
    if not known:
        return f"{title}: no values"
    (low, low_at), (high, high_at) = min(known), max(known, key=lambda pair: pair[0])
    name = series[0].name
    return f"{title} by interval: {name} between {shown(round(low, 3))} at {low_at} and {shown(round(high, 3))} at {high_at}"


def _figure(picture: Picture) -> str:
    keys = "".join(f'<span class="key s{n}"></span>{text(series.name)}' for n, series in enumerate(picture.series))
    heads = "".join(f'<th scope="col">{text(series.name)}</th>' for series in picture.series)
    lines = []
    for index, label in enumerate(picture.labels):
        values = (series.values[index] for series in picture.series)
        cells = "".join(f"<td>{'–' if value is None else text(picture.shown(round(value, 3)))}</td>" for value in values)
        lines.append(f'<tr><th scope="row">{text(label)}</th>{cells}</tr>')
    table = (
        f'<div class="scroll"><table><caption>{text(picture.title)} by interval</caption>'
        f'<thead><tr><th scope="col">from</th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )
    return (
        f"<figure><figcaption>{text(picture.title)}<span>{keys}</span></figcaption>{to_svg(picture)}"
        f"<details><summary>{text(picture.title)} as a table</summary>{table}</details></figure>"
    )


def _table(caption: str, first: str, rows: Sequence[tuple[str, StatisticsRow]], columns: Sequence[_Cell]) -> str:
    heads = "".join(f'<th scope="col">{head}</th>' for head, _ in columns)
    lines = [
        f'<tr><th scope="row">{text(name)}</th>{"".join(f"<td>{text(value_of(row))}</td>" for _, value_of in columns)}</tr>'
        for name, row in rows
    ]
    return (
        f'<div class="scroll"><table><caption>{text(caption)}</caption><thead><tr><th scope="col">{first}</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _page(title: str, body: Sequence[str]) -> bytes:
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
    return (head + "\n".join(body) + "\n</main>\n</body>\n</html>\n").encode()
