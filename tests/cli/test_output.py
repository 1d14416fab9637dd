"""Output of commands: exit codes of errors, files and standard streams."""

from pathlib import Path

import pytest

from router.cli.output import (
    EXIT_FAILED,
    EXIT_JOURNAL,
    EXIT_USAGE,
    CommandFailure,
    read_file,
    to_command_failure,
    write_file,
    write_json,
)
from router.model.errors import JournalTooNew, RouterError, SettingsInvalid


@pytest.mark.parametrize(
    ("error", "exit_code", "message"),
    [
        (SettingsInvalid("server.port: not a port"), EXIT_USAGE, "server.port: not a port"),
        (JournalTooNew("format 9"), EXIT_JOURNAL, "journal too new: format 9"),
        (RouterError("no router answers"), EXIT_FAILED, "no router answers"),
        (RouterError(), EXIT_FAILED, "router error"),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_a_message(error: RouterError, exit_code: int, message: str) -> None:
    failure = to_command_failure(error)
    assert (failure.exit_code, failure.format_message()) == (exit_code, message)


def test_a_file_is_read_up_to_one_byte_beyond_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"0123456789")
    assert read_file(path, size_max=20) == b"0123456789"
    assert read_file(path, size_max=4) == b"01234"


def test_a_file_that_cannot_be_read_is_a_failure_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CommandFailure, match=r"missing\.yaml"):
        read_file(tmp_path / "missing.yaml", size_max=10)


def test_a_file_that_cannot_be_written_is_a_failure_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CommandFailure, match=r"report\.json"):
        write_file(b"{}", tmp_path / "no" / "report.json")


def test_json_goes_to_a_file_or_to_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    target = tmp_path / "report.json"
    write_json(b"{}", target)
    assert target.read_bytes() == b"{}"
    assert capfdbinary.readouterr().out == b""
    write_json(b"[]", Path("-"))
    assert capfdbinary.readouterr().out == b"[]"
