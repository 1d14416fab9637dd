"""The report of a folder of results: every figure against its target and its yardstick, as Markdown with pictures.

python benchmarks/report.py [DIR]        writes DIR/report.md and DIR/targets.svg; DIR: benchmarks/results
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.chart import against_targets
from benchmarks.figures import Figure, FiguresInvalid, Header, Result, format_number, load

HERE: Final = Path(__file__).parent
REPORT: Final = "report.md"
TARGETS: Final = "targets.svg"


def header_rows(header: Header) -> list[tuple[str, str]]:
    """What the figures belong to, for people."""
    return [
        ("commit", header.commit),
        ("measured", header.date.replace("T", " ").replace("Z", " UTC")),
        ("form", {"short": "short (--quick)", "full": "full"}[header.form]),
        ("machine", f"{header.cpu}, {header.cores} cores, {header.memory_gib:g} GiB"),
        ("kernel", header.kernel),
        ("Python", header.python),
        ("libraries", ", ".join(f"{name} {value}" for name, value in header.versions.items())),
        ("disk", header.disk),
        ("4 KiB + fdatasync", f"p50 {header.fsync_p50_ms} ms, p99 {header.fsync_p99_ms} ms"),
        ("fixed piece of Python", f"{header.cpu_yardstick_ms} ms"),
        ("load average before", str(header.load_before)),
    ]


def read(folder: Path) -> list[Result]:
    """All results of a folder. Raises FiguresInvalid where one is broken or there are none."""
    if not folder.is_dir():
        raise FiguresInvalid(f"{folder} is no folder")
    found = [load(path) for path in sorted(folder.glob("bench_*.json"))]
    if not found:
        raise FiguresInvalid(f"{folder} holds no results (bench_*.json)")
    return found


def write(folder: Path, failed: Mapping[str, str]) -> Path:
    """Write the report of what is there; ``failed`` says of scripts why they gave none. The page's path."""
    found = [load(path) for path in sorted(folder.glob("bench_*.json"))]
    with_target = [
        (one.name, figure) for one in found for figure in one.figures if figure.met is not None
    ]
    (folder / TARGETS).unlink(missing_ok=True)
    if with_target:
        (folder / TARGETS).write_bytes(
            against_targets("Figures against their targets", with_target)
        )
    page = folder / REPORT
    page.write_text(markdown(found, failed), encoding="utf-8")
    return page


def markdown(found: Sequence[Result], failed: Mapping[str, str]) -> str:
    """The page."""
    lines = ["# Benchmark report", ""]
    headers = [one.header for one in found if one.header is not None]
    runs = {header.date for header in headers}
    if headers:
        lines += ["| | |", "|---|---|"]
        lines += [f"| {name} | {_cell(value)} |" for name, value in header_rows(headers[-1])]
        lines.append("")
    if len(runs) > 1:
        lines += [f"The results are of {len(runs)} runs; the table is of the last in the list.", ""]
    for name, what in failed.items():
        lines += [f"**{name} failed:** {_cell(what)}", ""]
    with_target = [
        (one, figure) for one in found for figure in one.figures if figure.met is not None
    ]
    if with_target:
        missed = [(one, figure) for one, figure in with_target if not figure.met]
        lines += [
            "## Against the targets",
            "",
            f"{len(with_target) - len(missed)} of {len(with_target)} figures with a target meet it.",
            "",
            f"![Figures against their targets]({TARGETS})",
            "",
        ]
        lines += [
            f"* missed: {one.name}: {_cell(figure.title)}: {_with_unit(figure)}, target {_target(figure)}"
            for one, figure in missed
        ]
        lines += [""] if missed else []
    for one in found:
        lines += _section(one)
    return "\n".join(lines)


def _section(one: Result) -> list[str]:
    took = "" if one.seconds is None else f" ({one.seconds:.0f} s)"
    lines = [f"## {one.name}{took}", "", one.what, ""]
    lines += [
        "| figure | value | target | yardstick | value / yardstick | spread of repeats | limit |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for figure in one.figures:
        ratio = figure.to_floor
        spread = "–".join(map(format_number, figure.spread)) if figure.spread else ""
        cells = (
            _cell(figure.title),
            _with_unit(figure),
            _target(figure),
            "" if figure.floor is None else format_number(figure.floor),
            "" if ratio is None else f"{ratio:.2f}",
            spread,
            _cell(figure.limit or ""),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for name in one.pictures:
        lines += [f"![{name.removesuffix('.svg')}]({name})", ""]
    return lines


def _with_unit(figure: Figure) -> str:
    return f"{format_number(figure.value)} {figure.unit}".strip()


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    sign = "≤" if figure.better == "lower" else "≥"
    return f"{sign} {format_number(figure.target)} {'met' if figure.met else '**missed**'}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    """Write the report anew."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results"
    if len(sys.argv) > 2 or folder.name.startswith("-"):
        print((__doc__ or "").strip())
        return 0 if folder.name in ("-h", "--help") else 2
    try:
        read(folder)
        print(write(folder, {}))
    except FiguresInvalid as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
