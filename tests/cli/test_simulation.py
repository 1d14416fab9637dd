"""``router simulate`` with one policy or several, and the options of ``router loadtest``."""

import csv
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from tests.support.command_line import error_line, run_command

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "scenarios" / "what_if"
DAY, ONE, TWO = (str(SHIPPED / f"{n}.yaml") for n in ("day", "longest_idle", "spare_the_few"))
DAY_AND_BOTH = ("simulate", "--workload", DAY, "--policy", ONE, "--policy", TWO)

CONTACTS = """\
arrival,queue,handle_s,skills
2014-03-10T08:10:00,english,120,english:1
2014-03-10T08:40:00,german,60,german:1
"""
AGENTS = """\
agent_id,skills,shifts
ada,english:5;german:5,2014-03-10T08:05:00/2014-03-10T09:00:00
"""


def test_simulate_requires_either_a_log_or_a_workload(workload: str) -> None:
    assert run_command("simulate").exit_code == 2
    assert run_command("simulate", "--workload", workload, "--log", "vanad:x").exit_code == 2


def test_an_unknown_log_format_is_reported_in_one_line() -> None:
    result = run_command("simulate", "--log", "tape:x.csv")
    assert result.exit_code == 1
    assert "vanad" in error_line(result)


def test_a_missing_log_is_reported_in_one_line(tmp_path: Path) -> None:
    result = run_command("simulate", "--log", f"vanad:{tmp_path / 'none.csv'}")
    assert result.exit_code == 1
    error_line(result)


def test_the_same_workload_gives_the_same_bytes_of_json(tmp_path: Path, workload: str) -> None:
    arguments = ("simulate", "--workload", workload, "--seed", "5", "--wrap-up", "10s", "--json")
    first, second = run_command(*arguments, "-"), run_command(*arguments, "-")
    assert first.exit_code == 0, first.stderr
    assert first.stdout == second.stdout
    report = msgspec.json.decode(first.stdout)
    assert report["contacts"] == report["answered"] + report["abandoned"] > 0
    assert "seed: 5" in first.stderr
    out = tmp_path / "report.json"
    shown = run_command(*arguments, str(out))
    assert out.read_text() == first.stdout
    assert "answered" in shown.stdout


def test_the_statistics_of_a_run_are_printed_and_written(tmp_path: Path, workload: str) -> None:
    arguments = ("simulate", "--workload", workload, "--seed", "5", "--no-audit", "--json", str(tmp_path / "report.json"))
    table = tmp_path / "rows.csv"
    shown = run_command(*arguments, "--by", "queue", "--interval", "15m", "--statistics", str(table))
    assert shown.exit_code == 0, shown.stderr
    assert "longest wait s" in shown.stdout
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes())
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) > len(report["queues"]) and {int(row["to_ms"]) - int(row["from_ms"]) for row in rows} == {900_000}
    for name, total in (("answered", report["answered"]), ("abandoned", report["abandoned"])):
        assert sum(int(row[name]) for row in rows) == total
    for suffix in ("json", "ndjson"):
        target = tmp_path / f"rows.{suffix}"
        written = run_command(*arguments, "--by", "agent", "--statistics", str(target))
        assert written.exit_code == 0, written.stderr
        text = target.read_bytes()
        found = msgspec.json.decode(text) if suffix == "json" else [msgspec.json.decode(line) for line in text.splitlines()]
        assert sum(row["answered"] for row in found) == report["answered"]


def test_statistics_that_cannot_be_written_are_refused_before_the_run(workload: str) -> None:
    assert ".ndjson" in run_command("simulate", "--workload", workload, "--statistics", "rows.txt").stderr
    assert "--by" in run_command("simulate", "--workload", workload, "--interval", "15m").stderr
    assert "one policy" in run_command(*DAY_AND_BOTH, "--by", "queue").stderr


def test_the_speed_of_the_run_is_included_on_request(workload: str) -> None:
    shown = run_command("simulate", "--workload", workload, "--timing", "--no-audit", "--json", "-")
    assert msgspec.json.decode(shown.stdout)["speed"]["contacts_per_second"] > 0


def test_a_report_that_cannot_be_written_is_reported_without_traceback(workload: str, tmp_path: Path) -> None:
    result = run_command("simulate", "--workload", workload, "--json", str(tmp_path / "no" / "report.json"))
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [(), ("--publish",), ("--speed", "0")])
def test_invalid_load_test_options_are_usage_errors(workload: str, arguments: tuple[str, ...]) -> None:
    source = ("--workload", workload) if arguments else ()
    assert run_command("replay", *source, *arguments).exit_code == 2


def test_notes_are_shown_and_never_mixed_with_json(tmp_path: Path) -> None:
    policy = tmp_path / "rules.yaml"
    rule = "entry: [{name: talk, when: {channel: voice}, queue: english}]\n"
    policy.write_text(Path(ONE).read_text() + rule)
    arguments = ("simulate", "--workload", DAY, "--policy", str(policy), "--no-audit")
    shown = run_command(*arguments)
    assert "note: the entry rules are never evaluated" in shown.stdout
    result = run_command(*arguments, "--json", "-")
    (note,) = msgspec.json.decode(result.stdout)["notes"]
    assert f"note: {note}" in result.stderr
    both = run_command(*arguments, "--policy", ONE, "--json", "-")
    assert msgspec.json.decode(both.stdout)["notes"] == [f"rules: {note}"]
    assert f"note: rules: {note}" in both.stderr


def test_the_patience_of_the_served_is_an_option_for_logs(tmp_path: Path) -> None:
    contacts, agents = tmp_path / "contacts.csv", tmp_path / "agents.csv"
    contacts.write_text("arrival,queue,handle_s,patience_s,wait_s\n0,english,9,,20\n1,english,9,5,\n2,english,9,,30\n")
    agents.write_text("agent_id\nada\n")
    arguments = ("simulate", "--log", f"contacts:{contacts}", "--log", f"agents:{agents}")
    plain = run_command(*arguments, "--json", "-")
    assert "patience: recorded" in plain.stderr
    assert "2 customers who did not abandon in the log: unlimited" in plain.stderr
    estimated = run_command(*arguments, "--patience", "estimated", "--json", "-")
    assert "patience: estimated" in estimated.stderr
    assert "2 served customers: drawn from the log" in estimated.stderr
    refused = run_command("simulate", "--workload", DAY, "--patience", "estimated")
    assert refused.exit_code == 2


# --- comparison of policies -------------------------------------------------------------------------
def test_two_policies_are_compared_in_a_table_a_chart_and_json(tmp_path: Path) -> None:
    report, svg = tmp_path / "report.json", tmp_path / "day.svg"
    result = run_command(*DAY_AND_BOTH, "--json", str(report), "--chart", str(svg))
    assert result.exit_code == 0, result.stderr
    for word in ("longest_idle", "spare_the_few", "difference", "german"):
        assert word in result.stdout
    assert "policy: longest_idle, spare_the_few" in result.stderr
    assert "seed: 3" in result.stderr
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    found = msgspec.json.decode(report.read_bytes())
    assert [one["name"] for one in found["policies"]] == ["longest_idle", "spare_the_few"]


def test_json_and_chart_have_the_same_bytes_for_the_same_input(tmp_path: Path) -> None:
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    one = run_command(*DAY_AND_BOTH, "--json", "-", "--chart", str(first))
    two = run_command(*DAY_AND_BOTH, "--json", "-", "--chart", str(second))
    assert one.stdout == two.stdout
    assert msgspec.json.decode(one.stdout)["format"] == 1
    assert first.read_bytes() == second.read_bytes()


def test_one_policy_gives_the_report_of_a_single_run_command() -> None:
    result = run_command("simulate", "--workload", DAY, "--policy", ONE, "--json", "-")
    assert result.exit_code == 0
    found = msgspec.json.decode(result.stdout)
    assert found["options"]["policy"] == "longest_idle.yaml"
    assert "policies" not in found


@pytest.mark.parametrize("policies", [(), ("--policy", ONE)])
def test_a_chart_of_a_single_run_is_a_usage_error(policies: tuple[str, ...]) -> None:
    assert run_command("simulate", "--workload", DAY, *policies, "--chart", "x.svg").exit_code == 2


def test_two_policies_with_the_same_name_are_reported_in_one_line() -> None:
    result = run_command("simulate", "--workload", DAY, "--policy", ONE, "--policy", ONE)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "longest_idle" in line


def test_a_policy_that_does_not_fit_the_day_is_reported_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(Path(ONE).read_text().replace("  german:", "  french:"))
    result = run_command("simulate", "--workload", DAY, "--policy", ONE, "--policy", str(other))
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "policy other" in line
    assert "queue german" in line


def test_a_chart_that_cannot_be_written_is_reported_without_traceback(tmp_path: Path) -> None:
    result = run_command(*DAY_AND_BOTH, "--no-audit", "--chart", str(tmp_path / "no" / "day.svg"))
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert "no: No such file or directory" in result.stderr


def test_a_recorded_day_can_be_compared(tmp_path: Path) -> None:
    contacts, agents = tmp_path / "contacts.csv", tmp_path / "agents.csv"
    contacts.write_text(CONTACTS)
    agents.write_text(AGENTS)
    logs = ("--log", f"contacts:{contacts}", "--log", f"agents:{agents}")
    result = run_command("simulate", *logs, "--policy", ONE, "--policy", TWO, "--json", "-")
    assert result.exit_code == 0, result.stderr
    assert "patience: estimated" in result.stderr
    first, other = msgspec.json.decode(result.stdout)["policies"]
    assert first["stats"]["contacts"] == other["stats"]["contacts"] == 2
    assert first["profile"]["from_s"] % 1800 == 0


def test_assumptions_about_people_are_options_for_logs(tmp_path: Path, workload: str) -> None:
    (tmp_path / "day.csv").write_text(CONTACTS)
    (tmp_path / "team.csv").write_text(AGENTS)
    logs = ("--log", f"contacts:{tmp_path / 'day.csv'}", "--log", f"agents:{tmp_path / 'team.csv'}")
    people = ("--handle-times", "by-agent", "--callback-share", "0.5", "--callback-after", "10s", "--redial-share", "1")
    result = run_command("simulate", *logs, *people, "--redial-after", "2m", "--json", "-")
    assert result.exit_code == 0, result.stderr
    options = msgspec.json.decode(result.stdout)["options"]
    expected = {"handle_times": "by-agent", "callback_share": 0.5, "callback_after_s": 10, "redial_share": 1, "redial_after_s": 120}
    assert {name: options[name] for name in expected} == expected
    for option in (("--handle-times", "by-agent"), ("--callback-share", "0.1"), ("--redial-share", "0.1")):
        assert run_command("simulate", "--workload", workload, *option).exit_code == 2
    assert run_command("simulate", *logs, "--redial-share", "1.5").exit_code == 2


def test_the_story_of_the_demo_has_no_report_in_json(tmp_path: Path) -> None:
    done = run_command("demo", "--only", "story", "--json", str(tmp_path / "report.json"))
    assert done.exit_code == 2 and "--json writes the report of the day" in done.stderr
    assert not (tmp_path / "report.json").exists()
