"""Paths that cannot be used: every option and every setting refuses them at once, with one line that names the path."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click
import pytest
from click.testing import CliRunner, Result

from router.cli import cli
from router.cli.options import DirectoryPath, FilePath

PATIENCE_S: Final = 10
FILLED: Final = {"role": "admin", "subject": "x", "keep_s": "90d", "sample": "{}", "contact_id": "c"}
# What a path may be instead of a file, and the words about it.
NOT_A_FILE: Final = {
    "directory": "is a directory",
    "pipe": "is a named pipe",
    "loop": "Too many levels of symbolic links",
    "below_a_file": "Not a directory",
}
NOT_A_DIRECTORY: Final = {
    "file": "is not a directory",
    "pipe": "is not a directory",
    "loop": "Too many levels of symbolic links",
    "below_a_file": "Not a directory",
}


def commands(command: click.Command, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words."""
    yield names, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*names, name))


PLACES: Final = [
    (names, command, one) for names, command in commands(cli) for one in command.params if isinstance(one.type, click.Path)
]


@contextmanager
def patience() -> Iterator[None]:
    """Fail if the block waits, as for a pipe that has no other end."""

    def on_alarm(_: int, __: FrameType | None) -> None:
        raise AssertionError("the command waits")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(PATIENCE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Paths by their kind, in the working directory."""
    monkeypatch.chdir(tmp_path)
    found = {name: tmp_path / name for name in ("directory", "pipe", "loop", "file", "missing")}
    found["directory"].mkdir()
    os.mkfifo(found["pipe"])
    found["loop"].symlink_to(found["loop"])
    found["file"].write_text("x: [")
    return {**found, "below_a_file": found["file"] / "x"}


def run(*words: str) -> Result:
    with patience():
        return CliRunner().invoke(cli, words)


def invoked(names: tuple[str, ...], command: click.Command, place: click.Parameter, path: Path, paths: dict[str, Path]) -> Result:
    """Run a command with one path at this place, and something valid wherever it needs more."""
    words, arguments, file, directory = list(names), [], paths["file"], paths["directory"]
    for one in command.params:
        if one is not place and not one.required:
            continue
        value = (
            str(path)
            if one is place
            else FILLED.get(str(one.name), str(directory if isinstance(one.type, DirectoryPath) else file))
        )
        if isinstance(one, click.Argument):
            arguments.append(value)
        else:
            words += [one.opts[0], value]
    return run(*words, *arguments)


@pytest.mark.parametrize(("names", "command", "place"), PLACES, ids=[f"{'-'.join(names)}-{one.name}" for names, _, one in PLACES])
def test_a_path_of_another_kind_is_refused(
    paths: dict[str, Path], names: tuple[str, ...], command: click.Command, place: click.Parameter
) -> None:
    assert isinstance(place.type, FilePath | DirectoryPath), "every path has one of the two types"
    wrong = NOT_A_FILE if isinstance(place.type, FilePath) else NOT_A_DIRECTORY
    for kind, words in wrong.items():
        got = invoked(names, command, place, paths[kind], paths)
        assert got.exit_code == 2, (kind, got.output)
        assert words in got.stderr and paths[kind].name in got.stderr and "Traceback" not in got.stderr, (kind, got.stderr)


def test_an_output_file_needs_its_directory(paths: dict[str, Path]) -> None:
    found = [place for place in PLACES if isinstance(place[2].type, FilePath) and place[2].type._is_output]
    assert found
    for names, command, one in found:
        got = invoked(names, command, one, paths["missing"] / "out", paths)
        assert got.exit_code == 2 and "missing: No such file or directory" in got.stderr, got.stderr


def test_a_pipe_of_the_shell_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"channels: {voice: {}}\nqueues: {q: {}}\ndefault_queue: q\n")
    os.close(writing)
    got = run("policy", "check", f"/dev/fd/{reading}")
    os.close(reading)
    assert got.exit_code == 0, got.output


@pytest.mark.parametrize("kind", ["directory", "pipe", "loop"])
@pytest.mark.parametrize("name", ["config/policy.yaml", "config/router.yaml", "var/token.secret"])
def test_init_keeps_files_only(paths: dict[str, Path], kind: str, name: str) -> None:
    Path(name).parent.mkdir()
    paths[kind].rename(name)
    if kind == "loop":
        Path(name).unlink()
        Path(name).symlink_to(Path(name).name)
    got = run("init")
    assert got.exit_code in (1, 2) and f"kept  {name}" not in got.stdout, got.output
    assert Path(name).name in got.stderr and NOT_A_FILE[kind] in got.stderr, got.stderr


def test_init_does_not_replace_a_directory_by_the_token(paths: dict[str, Path]) -> None:
    Path("var").mkdir()
    paths["directory"].rename("var/admin.token")
    got = run("init")
    assert got.exit_code == 1 and "admin.token: is a directory, not a file; remove it" in got.stderr, got.output


@pytest.mark.parametrize("kind", ["file", "pipe", "loop", "below_a_file"])
def test_a_place_for_archives_is_examined_at_the_start(paths: dict[str, Path], kind: str) -> None:
    Path("router.yaml").write_text(f"journal: {{archive_path: {paths[kind]}, retention_days: 2}}")
    got = run("serve", "--config", "router.yaml", "--data", "var", "--port", "0", "--admin-port", "0")
    refused = paths["file"] if kind == "below_a_file" else paths[kind]
    assert got.exit_code == 2 and f"router: journal.archive_path: {refused}: is not a directory" in got.stderr, got.output


SETTINGS: Final = {
    "policy.seed_path": "policy: {{seed_path: {path}}}",
    "server.tls_certificate_path": "server: {{tls_certificate_path: {path}, tls_key_path: {path}}}",
    "auth.issuers[0].keys[0].path": "auth: {{issuers: [{{issuer: a, family: hmac, keys: [{{kid: k, path: {path}}}]}}]}}",
}


@pytest.mark.parametrize("kind", NOT_A_FILE)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_with_such_a_path_is_refused_at_the_start(paths: dict[str, Path], kind: str, name: str) -> None:
    Path("router.yaml").write_text(SETTINGS[name].format(path=paths[kind]))
    got = run("serve", "--config", "router.yaml", "--data", "var", "--port", "0", "--admin-port", "0")
    assert got.exit_code == 2 and f"router: {name}: {paths[kind]}: {NOT_A_FILE[kind]}" in got.stderr, got.output


@pytest.mark.parametrize("kind", ["directory", "pipe", "loop"])
def test_a_secret_that_is_no_file_is_refused_at_the_start(paths: dict[str, Path], kind: str) -> None:
    Path("var").mkdir()
    if kind == "loop":
        Path("var/token.secret").symlink_to("token.secret")
    else:
        paths[kind].rename("var/token.secret")
    got = run("serve", "--data", "var", "--port", "0", "--admin-port", "0")
    assert got.exit_code == 2 and f"var/token.secret: the token secret {NOT_A_FILE[kind]}" in got.stderr, got.output
