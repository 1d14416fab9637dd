"""The report: every figure with its target, the failed scripts, and well-formed charts."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from benchmarks import chart, machine, report
from benchmarks.figures import Figure, Result, save

FAST = Figure(
    id="fast_us", title="A | B", value=20, unit="µs", better="lower", target=25, baseline=2, spread=(20, 22)
)  # fmt: skip
SLOW = Figure(id="rate", title="Rate", value=10, unit="/s", better="higher", target=5_000)


def test_the_report_shows_each_figure_with_target_baseline_and_spread(tmp_path: Path) -> None:
    result = Result(
        name="bench_x", what="What it is.", figures=[FAST, SLOW], pictures=["x.svg"], header=machine.header("short"), seconds=3
    )
    save(tmp_path / "bench_x.json", result)
    page = report.write(tmp_path, {"bench_y": "exit code 1"}).read_text()
    assert "| A \\| B | 20 µs | ≤ 25 met | 2 | 10.00 | 20–22 |  |" in page
    assert "| Rate | 10 /s | ≥ 5,000 **missed** |  |  |  |  |" in page
    assert "1 of 2 figures with a target meet it." in page
    assert "* missed: bench_x: Rate" in page
    assert "**bench_y failed:** exit code 1" in page
    assert "![x](x.svg)" in page
    assert result.header is not None and result.header.cpu in page
    assert ElementTree.parse(tmp_path / report.TARGETS).getroot().tag.endswith("svg")


def test_a_report_without_results_lists_the_failures(tmp_path: Path) -> None:
    (tmp_path / report.TARGETS).write_text("of an earlier run")
    page = report.write(tmp_path, {"bench_y": "exit code 1"}).read_text()
    assert "bench_y failed" in page
    assert not (tmp_path / report.TARGETS).exists()


def test_the_command_rewrites_a_report_or_reports_an_error(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, report.__file__, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    save(tmp_path / "bench_x.json", Result(name="bench_x", what="", figures=[SLOW]))
    assert run(str(tmp_path)).returncode == 0
    assert (tmp_path / report.REPORT).exists()
    missing = run(str(tmp_path / "missing"))
    assert missing.returncode == 2 and "is not a folder" in missing.stderr
    assert run("--help").returncode == 0


def test_figures_better_than_their_target_are_drawn_to_the_right() -> None:
    svg = ElementTree.fromstring(chart.chart_of_targets("T", [("bench_x", FAST), ("bench_x", SLOW)]))
    good, bad = svg.findall(".//{*}g/{*}rect")
    middle = float(good.attrib["x"])
    assert float(bad.attrib["x"]) < middle
    assert float(bad.attrib["x"]) + float(bad.attrib["width"]) == middle
    assert good.attrib["fill"] != bad.attrib["fill"]


def test_bar_lengths_follow_the_values_and_labels_are_escaped() -> None:
    panel = chart.Panel(
        title="<Rate>",
        bars=(
            chart.Bar(label="one & only", value=50, unit="/s"),
            chart.Bar(label="two", value=100, unit="/s"),
            chart.Bar(label="none", value=0, unit="/s"),
        ),
    )
    svg_bytes = chart.bars("T", [panel])
    svg = ElementTree.fromstring(svg_bytes)
    one, two, none = (float(bar.attrib["width"]) for bar in svg.findall(".//{*}g/{*}rect"))
    assert two == 2 * one > 0
    assert none < 1
    assert "<Rate>" in [text.text for text in svg.iter() if text.text]
    assert svg_bytes == chart.bars("T", [panel])


def test_the_header_describes_the_machine() -> None:
    head = machine.header("full")
    assert head.form == "full"
    assert head.cores >= 1 and head.memory_gib > 0 and head.cpu
    assert 0 < head.fsync_p50_ms <= head.fsync_p99_ms
    assert head.cpu_baseline_ms > 0
    assert head.versions["msgspec"] != "not installed"
