"""Routers in processes of their own: one a module for tests that can share, fresh ones for tests that kill."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.router_process import RouterProcess

MakeRouter: TypeAlias = Callable[..., RouterProcess]


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """A running router that the tests of a module share."""
    process = RouterProcess(tmp_path_factory.mktemp("router"))
    process.start()
    yield process
    process.kill()


@pytest.fixture
def make_router(tmp_path: Path) -> Iterator[MakeRouter]:
    """Makes routers that are not started yet; whatever still runs at the end is killed."""
    made: list[RouterProcess] = []

    def make(**settings: Any) -> RouterProcess:
        made.append(RouterProcess(tmp_path / str(len(made)), **settings))
        return made[-1]

    yield make
    for process in made:
        process.kill()
