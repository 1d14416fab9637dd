"""Fixtures of the command line tests."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cli.options import load_command_settings
from router.server.auth.keys import create_secret
from tests.support.canned_http import CannedHandler, canned_server
from tests.support.command_line import HOUR_OF_CALLS, write_journal


@pytest.fixture
def workload(tmp_path: Path) -> str:
    """Write a workload of one hour of calls for two agents."""
    path = tmp_path / "tiny.yaml"
    path.write_text(HOUR_OF_CALLS)
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Create a data directory with a secret, as after a first start."""
    assert create_secret(load_command_settings(None, tmp_path))
    return tmp_path


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Write a journal with one record."""
    path = tmp_path / "journal.db"
    asyncio.run(write_journal(path))
    return path


@pytest.fixture
def canned() -> Iterator[tuple[type[CannedHandler], str]]:
    """Run a server that answers every request with the response that the test sets."""
    with canned_server() as server:
        yield server
