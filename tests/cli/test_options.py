"""Shared options: settings from several sources, durations, the URL of the router."""

from pathlib import Path

import pytest

from router.cli.options import DurationType, configured_url, load_command_settings
from tests.support.command_line import error_line, run_command


def test_a_misspelt_setting_is_a_usage_error_that_names_its_path(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text("server: {prot: 80}")
    result = run_command("token", "--role", "admin", "--subject", "eve", "--config", str(config))
    assert result.exit_code == 2
    assert "server.prot" in error_line(result)


def test_options_override_the_file(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text("server: {port: 1234}\njournal: {path: elsewhere/j.db}")
    settings = load_command_settings(config, tmp_path, server__port=4321, server__host=None)
    assert settings.server.port == 4321
    assert settings.server.host == "127.0.0.1"
    assert settings.journal.path == str(tmp_path / "journal.db")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("2d", 172_800)])
def test_durations_are_parsed_with_their_unit(text: str, seconds: int) -> None:
    assert DurationType().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "h", "-5", "1.5h", "5w", "٣", "1e3", "9999999999"])
def test_an_invalid_duration_is_a_usage_error(workload: str, text: str) -> None:
    assert run_command("simulate", "--workload", workload, "--wrap-up", text).exit_code == 2


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:4321"),
        ("0.0.0.0", "http://127.0.0.1:4321"),
        ("::", "http://[::1]:4321"),
        ("router.example", "http://router.example:4321"),
    ],
)
def test_the_url_of_the_router_follows_from_its_settings(tmp_path: Path, host: str, url: str) -> None:
    settings = load_command_settings(None, tmp_path, server__host=host, server__port=4321, server__behind_proxy=True)
    assert configured_url(settings) == url
