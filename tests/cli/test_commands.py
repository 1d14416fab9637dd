"""Commands run inside this process: options, settings, tokens, verify, simulate, loadtest."""

import asyncio
import sqlite3
from pathlib import Path

import jwt
import msgspec
import pytest
from click.testing import CliRunner, Result

from router.cli import cli
from router.cli.options import DurationType, load_command_settings
from router.journal.port import Record
from router.journal.sqlite.journal import SqliteJournal
from router.model.events import PolicyPublished
from router.server.auth.keys import create_secret
from tests.support.builders import START_MS, a_policy

TINY = """\
name: tiny
duration_s: 3600
streams:
  calls:
    arrivals: {per_hour: 60}
    handle: {dist: exponential, mean_s: 120}
    patience: {dist: exponential, mean_s: 60}
agent_groups:
  team: {count: 2}
"""


@pytest.fixture
def workload(tmp_path: Path) -> str:
    """Write a workload of one hour of calls for two agents."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def the_error(result: Result) -> str:
    """Return the only line that a failing command has written to standard error."""
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert "Traceback" not in line
    return line


# --- command group --- -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "command", [(), ("serve",), ("policy", "check"), ("token",), ("verify",), ("simulate",)]
)
def test_every_command_has_a_help_text(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    assert run("route").exit_code == 2


def test_the_version_is_printed() -> None:
    assert run("--version").stdout.startswith("router, version ")


# --- settings ---------------------------------------------------------------------------------------------------------
def test_a_misspelt_setting_is_a_usage_error_that_names_its_path(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text("server: {prot: 80}")
    result = run("token", "--role", "admin", "--subject", "eve", "--config", str(config))
    assert result.exit_code == 2
    assert "$.server.prot" in the_error(result)


def test_listening_on_all_addresses_requires_tls_or_a_proxy(tmp_path: Path) -> None:
    result = run("serve", "--host", "0.0.0.0", "--data", str(tmp_path))
    assert result.exit_code == 2


def test_options_override_the_file(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text("server: {port: 1234}\njournal: {path: elsewhere/j.db}")
    settings = load_command_settings(config, tmp_path, server__port=4321, server__host=None)
    assert settings.server.port == 4321
    assert settings.server.host == "127.0.0.1"
    assert settings.journal.path == str(tmp_path / "journal.db")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("2d", 172_800)]
)
def test_durations_are_parsed_with_their_unit(text: str, seconds: int) -> None:
    assert DurationType().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "h", "-5", "1.5h", "5w", "٣", "1e3", "9999999999"])
def test_an_invalid_duration_is_a_usage_error(workload: str, text: str) -> None:
    assert run("simulate", "--workload", workload, "--wrap-up", text).exit_code == 2


# --- token ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Create a data directory with a secret, as after a first start."""
    assert create_secret(load_command_settings(None, tmp_path))
    return tmp_path


def test_a_token_carries_role_subject_workspace_and_lifetime(data: Path) -> None:
    result = run(
        "token", "--role", "agent", "--subject", "ada", "--ttl", "30m", "--data", str(data)
    )
    assert result.exit_code == 0
    claims = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
    assert (claims["role"], claims["sub"], claims["workspace"]) == ("agent", "ada", "default")
    assert claims["exp"] - claims["iat"] == 1800


def test_a_token_is_printed_as_json(data: Path) -> None:
    result = run("token", "--role", "gateway", "--subject", "web", "--data", str(data), "--json")
    found = msgspec.json.decode(result.stdout)
    assert found["token"].count(".") == 2
    assert found["role"] == "gateway"


def test_without_a_secret_no_token_is_signed(tmp_path: Path) -> None:
    result = run("token", "--role", "admin", "--subject", "eve", "--data", str(tmp_path))
    assert result.exit_code == 1
    assert "first start" in the_error(result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--role", "king", "--subject", "eve"),
        ("--role", "admin", "--subject", "Eve Smith"),
        ("--role", "admin", "--subject", "eve", "--ttl", "30d"),
        ("--role", "admin", "--subject", "eve", "--workspace", "nowhere"),
        ("--role", "admin"),
    ],
)
def test_invalid_token_options_are_usage_errors(data: Path, arguments: tuple[str, ...]) -> None:
    result = run("token", *arguments, "--data", str(data))
    assert result.exit_code == 2
    assert result.stdout == ""


# --- verify -----------------------------------------------------------------------------------------------------------
async def write_journal(path: Path) -> None:
    journal = SqliteJournal(path, reserved_bytes=0)
    await journal.open()
    await journal.create_workspace("default")
    event = PolicyPublished(version=1, policy=a_policy())
    record = Record(
        epoch=1,
        first_seq=1,
        at_ms=START_MS,
        actor="admin:eve",
        cause="policy.publish",
        events=(event,),
    )
    await journal.append([("default", record)])
    await journal.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Write a journal with one record."""
    path = tmp_path / "journal.db"
    asyncio.run(write_journal(path))
    return path


def test_an_intact_journal_is_reported_as_sound(journal: Path) -> None:
    result = run("verify", str(journal))
    assert result.exit_code == 0
    assert "sound" in result.stdout
    found = msgspec.json.decode(run("verify", str(journal), "--json").stdout)
    assert found["ok"] is True
    assert found["workspaces"][0]["events"] == 1


def test_a_damaged_journal_is_reported_as_not_sound(journal: Path) -> None:
    with sqlite3.connect(journal) as connection:
        (name,) = connection.execute(
            "select name from sqlite_master where type = 'table' and name like 'record%'"
        ).fetchone()
        connection.execute(f"delete from {name}")
    connection.close()
    result = run("verify", str(journal), "--json")
    assert result.exit_code == 1
    assert msgspec.json.decode(result.stdout)["ok"] is False
    assert "NOT SOUND" in run("verify", str(journal)).stdout


def test_verifying_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    assert run("verify", str(tmp_path / "none.db")).exit_code == 2


# --- simulate ---------------------------------------------------------------------------------------------------------
def test_simulate_requires_either_a_log_or_a_workload(workload: str) -> None:
    assert run("simulate").exit_code == 2
    assert run("simulate", "--workload", workload, "--log", "vanad:x").exit_code == 2


def test_an_unknown_log_format_is_reported_in_one_line() -> None:
    result = run("simulate", "--log", "tape:x.csv")
    assert result.exit_code == 1
    assert "vanad" in the_error(result)


def test_a_missing_log_is_reported_in_one_line(tmp_path: Path) -> None:
    result = run("simulate", "--log", f"vanad:{tmp_path / 'none.csv'}")
    assert result.exit_code == 1
    the_error(result)


def test_the_same_workload_gives_the_same_bytes_of_json(tmp_path: Path, workload: str) -> None:
    arguments = ("simulate", "--workload", workload, "--seed", "5", "--wrap-up", "10s", "--json")
    first, second = run(*arguments, "-"), run(*arguments, "-")
    assert first.exit_code == 0, first.stderr
    assert first.stdout == second.stdout
    report = msgspec.json.decode(first.stdout)
    assert report["contacts"] == report["answered"] + report["abandoned"] > 0
    assert "seed: 5" in first.stderr
    out = tmp_path / "report.json"
    shown = run(*arguments, str(out))
    assert out.read_text() == first.stdout
    assert "answered" in shown.stdout


def test_the_speed_of_the_run_is_included_on_request(workload: str) -> None:
    shown = run("simulate", "--workload", workload, "--timing", "--no-audit", "--json", "-")
    assert msgspec.json.decode(shown.stdout)["speed"]["contacts_per_second"] > 0


def test_a_report_that_cannot_be_written_is_reported_without_traceback(
    workload: str, tmp_path: Path
) -> None:
    result = run("simulate", "--workload", workload, "--json", str(tmp_path / "no" / "report.json"))
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr


# --- loadtest ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("arguments", [(), ("--publish",), ("--speed", "0")])
def test_invalid_load_test_options_are_usage_errors(
    workload: str, arguments: tuple[str, ...]
) -> None:
    source = ("--workload", workload) if arguments else ()
    assert run("replay", *source, *arguments).exit_code == 2
