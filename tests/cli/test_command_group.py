"""The command group ``router``: help, version, unknown commands."""

import pytest

from tests.support.command_line import run_command


@pytest.mark.parametrize("command", [(), ("serve",), ("policy", "check"), ("token",), ("verify",), ("simulate",)])
def test_every_command_has_a_help_text(command: tuple[str, ...]) -> None:
    result = run_command(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    assert run_command("route").exit_code == 2


def test_the_version_is_printed() -> None:
    assert run_command("--version").stdout.startswith("router, version ")
