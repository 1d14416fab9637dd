"""``router policy check`` and ``router policy try``."""

from pathlib import Path

import msgspec
from click.testing import CliRunner, Result

from router.cli import cli

EXAMPLE = Path(__file__).parents[2] / "config" / "policy.yaml"
WRONG = """\
channels:
  voice: {}
queues:
  support:
    overflow_to: sales
    wait_max: 60
"""


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["policy", "check", *arguments], input=text)


def test_the_example_policy_is_valid() -> None:
    result = run(str(EXAMPLE))
    assert result.exit_code == 0
    assert "7 queues" in result.stdout


def test_all_problems_are_listed_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(WRONG)
    result = run(str(file))
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{file}:5:18: queues.support.overflow_to: ")
    assert lines[1].startswith(f"{file}:6:5: queues.support.wait_max: ")
    assert len(lines) == 2


def test_with_json_standard_output_is_json_and_nothing_else() -> None:
    result = run("-", "--json", text=WRONG)
    assert result.exit_code == 1
    found = msgspec.json.decode(result.stdout)
    assert found["valid"] is False
    assert [problem["line"] for problem in found["problems"]] == [5, 6]
    good = msgspec.json.decode(run(str(EXAMPLE), "--json").stdout)
    assert (good["valid"], good["problems"]) == (True, [])


def test_a_comparison_lists_the_changes(tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(EXAMPLE.read_text().replace("length_max: 200", "length_max: 300"))
    result = run(str(changed), "--compare-with", str(EXAMPLE), "--json")
    assert msgspec.json.decode(result.stdout)["changes"] == [
        {"kind": "changed", "path": "queues.cards.length_max", "before": "200", "after": "300"}
    ]
    assert "queues.cards.length_max" in run(str(changed), "--compare-with", str(EXAMPLE)).stdout
    assert "No changes." in run(str(EXAMPLE), "--compare-with", str(EXAMPLE)).stdout


def test_advice_is_not_a_failure() -> None:
    result = run("-", text="channels: {voice: {}}\nqueues: {support: {}}\n")
    assert result.exit_code == 0
    assert "advice" in result.stdout


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    result = run(str(tmp_path / "nothing.yaml"))
    assert result.exit_code == 2
    assert result.stdout == ""


def test_an_invalid_policy_to_compare_with_is_reported_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("nonsense")
    result = run(str(EXAMPLE), "--compare-with", str(other))
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1


RULES = """\
channels: {voice: {}}
queues: {support: {}, busy: {}}
facts: {age: {type: int}}
entry:
  - {name: old, when: contact.age > 60, queue: support}
  - {name: crowded, when: queues.support.waiting > 3, queue: busy}
"""


def try_contact(contact: str, *more: str) -> Result:
    arguments = ["policy", "try", "-", "--contact", contact, *more]
    return CliRunner().invoke(cli, arguments, input=RULES)


def test_a_trial_names_the_deciding_rule_and_the_failed_rules() -> None:
    result = try_contact('{"channel": "voice", "queues": {"support": {"waiting": 5}}}')
    assert result.exit_code == 0
    assert "Queue busy, by the rule crowded." in result.stdout
    assert "failed" in result.stdout and "contact.age" in result.stdout
    found = msgspec.json.decode(try_contact('{"channel": "voice"}', "--json").stdout)
    assert (found["queue_id"], found["rule"], found["failed"]) == (None, None, ["old", "crowded"])


def test_an_invalid_sample_contact_is_a_usage_error_that_names_the_field() -> None:
    for contact, words in (
        ("{", "not well-formed JSON"),
        ('{"channel": "smoke"}', "channel: not one of the policy's channels: voice"),
        ('{"channel": "voice", "attributes": {"vpi": 1}}', "attributes.vpi: no such fact is declared; declared for contacts are:"),
        ('{"chanel": "voice"}', "chanel: unknown field `chanel`; known are: channel, attributes, "),
    ):
        result = try_contact(contact)
        assert result.exit_code == 2
        assert "--contact" in result.stderr and words in result.stderr
    assert "jane" not in try_contact('{"channel": "voice", "attributes": {"jane@example.org": 1}}').stderr
    assert CliRunner().invoke(cli, ["policy", "try", "-"], input=RULES).exit_code == 2
