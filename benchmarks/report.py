"""Write the report of a folder of results: every figure with its target and baseline, as Markdown with pictures.

python benchmarks/report.py [DIR]        writes DIR/report.md and DIR/targets.svg; DIR: benchmarks/results
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.chart import chart_of_targets
from benchmarks.figures import Figure, FiguresInvalid, Header, Result, format_number, load

HERE: Final = Path(__file__).parent
REPORT: Final = "report.md"
TARGETS: Final = "targets.svg"


def header_rows(header: Header) -> list[tuple[str, str]]:
    """Return the header as rows of a label and a text."""
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
        ("fixed Python loop", f"{header.cpu_baseline_ms} ms"),
        ("load average before", str(header.load_before)),
    ]


def read(folder: Path) -> list[Result]:
    """Return all results in a folder. Raises FiguresInvalid if one is invalid or there are none."""
    if not folder.is_dir():
        raise FiguresInvalid(f"{folder} is not a folder")
    found = [load(path) for path in sorted(folder.glob("bench_*.json"))]
    if not found:
        raise FiguresInvalid(f"{folder} contains no results (bench_*.json)")
    return found


def write(folder: Path, failed: Mapping[str, str]) -> Path:
    """Write the report of a folder and return its path; ``failed`` maps scripts without a result to the reason."""
    found = [load(path) for path in sorted(folder.glob("bench_*.json"))]
    with_target = [(result.name, figure) for result in found for figure in result.figures if figure.met is not None]
    (folder / TARGETS).unlink(missing_ok=True)
    if with_target:
        (folder / TARGETS).write_bytes(chart_of_targets("Figures compared with their targets", with_target))
    page = folder / REPORT
    page.write_text(markdown(found, failed), encoding="utf-8")
    return page


def markdown(found: Sequence[Result], failed: Mapping[str, str]) -> str:
    """Return the report as Markdown."""
    lines = ["# Benchmark report", ""]
    headers = [result.header for result in found if result.header is not None]
    runs = {header.date for header in headers}
    if headers:
        lines += ["| | |", "|---|---|"]
        lines += [f"| {name} | {_cell(value)} |" for name, value in header_rows(headers[-1])]
        lines.append("")
    if len(runs) > 1:
        lines += [f"The results are from {len(runs)} runs; the table describes the last one in the list.", ""]
    for name, reason in failed.items():
        lines += [f"**{name} failed:** {_cell(reason)}", ""]
    with_target = [(result, figure) for result in found for figure in result.figures if figure.met is not None]
    if with_target:
        missed = [(result, figure) for result, figure in with_target if not figure.met]
        lines += [
            "## Comparison with the targets",
            "",
            f"{len(with_target) - len(missed)} of {len(with_target)} figures with a target meet it.",
            "",
            f"![Figures compared with their targets]({TARGETS})",
            "",
        ]
        lines += [
            f"* missed: {result.name}: {_cell(figure.title)}: {_with_unit(figure)}, target {_target(figure)}"
            for result, figure in missed
        ]
        lines += [""] if missed else []
    for result in found:
        lines += _section(result)
    return "\n".join(lines)


def _section(result: Result) -> list[str]:
    duration = "" if result.seconds is None else f" ({result.seconds:.0f} s)"
    lines = [f"## {result.name}{duration}", "", result.what, ""]
    lines += [
        "| figure | value | target | baseline | value / baseline | spread of repeats | limit |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for figure in result.figures:
        ratio = figure.baseline_ratio
        spread = "–".join(map(format_number, figure.spread)) if figure.spread else ""
        cells = (
            _cell(figure.title),
            _with_unit(figure),
            _target(figure),
            "" if figure.baseline is None else format_number(figure.baseline),
            "" if ratio is None else f"{ratio:.2f}",
            spread,
            _cell(figure.limit or ""),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for name in result.pictures:
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
    """Write the report of the folder given on the command line."""
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
