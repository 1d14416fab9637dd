"""The examples of docs/how-to/javascript.md: one is run against a router, and all have right types."""

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from router.client.http_query import exchange
from tests.support.node import NODE, REPOSITORY, TYPE_CHECKS, PackagesUnavailable, type_errors
from tests.support.router_process import RouterProcess

PAGE: Final = REPOSITORY / "docs" / "how-to" / "javascript.md"
SDK: Final = REPOSITORY / "src" / "router" / "web" / "sdk"


def examples() -> dict[str, str]:
    """Return the examples of the page by the names that it gives them."""
    return dict(re.findall(r"<!-- example: (\S+) -->\n```js\n(.*?)```", PAGE.read_text(), re.DOTALL))


def installed(directory: Path) -> Path:
    """Install the client as npm does with a local folder, and write the examples beside it."""
    modules = directory / "node_modules"
    modules.mkdir()
    (modules / "contact-router").symlink_to(SDK)
    (directory / "package.json").write_text('{"type": "module"}')
    for name, text in examples().items():
        (directory / name).write_text(text)
    return directory


@pytest.mark.slow  # A router and a program in Node.
def test_the_desktop_of_the_page_serves_a_contact(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path / "router").start()
    try:
        ada = {"token": router.token("admin"), "method": "PUT", "headers": {"Content-Type": "application/json"}}
        asyncio.run(exchange(router.url, "/v1/agents/ada", document=b'{"skills": {}}', **ada))  # type: ignore[arg-type]
        (tmp_path / "desk").mkdir()
        directory = installed(tmp_path / "desk")
        environment = {"ROUTER_URL": router.url, "TOKEN": router.token("agent", "ada")}
        desk = subprocess.Popen([str(NODE), "desk.mjs"], cwd=directory, env=environment, stdout=subprocess.PIPE, text=True)
        assert desk.stdout is not None
        assert desk.stdout.readline() == "connection: live\n"
        contact = json.dumps({"channel": "voice", "queue_id": "support", "reference": "call-17"}).encode()
        gateway = {"token": router.token("gateway"), "method": "POST", "headers": {"Content-Type": "application/json"}}
        asyncio.run(exchange(router.url, "/v1/contacts", document=contact, **gateway))  # type: ignore[arg-type]
        with desk.stdout:
            printed = desk.stdout.read().splitlines()
        assert desk.wait(60) == 0
        assert re.fullmatch(r"offer on voice, \d+ s left", printed[0])
        assert printed[1:] == ["talking on voice, reference call-17", "done", "connection: closed"]
    finally:
        router.kill()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_examples_have_right_types(tmp_path: Path) -> None:
    directory = installed(tmp_path)
    assert examples().keys() == {"desk.mjs", "page.js"}
    project = directory / "tsconfig.json"
    types = {"types": ["node"], "typeRoots": [str(REPOSITORY / ".node" / "node_modules" / "@types")]}
    project.write_text(
        json.dumps(
            {"extends": str(TYPE_CHECKS[0]), "compilerOptions": types, "include": [f"{directory}/*.mjs", f"{directory}/*.js"]}
        )
    )
    try:
        assert type_errors(project) == ""
    except PackagesUnavailable as unavailable:
        pytest.skip(str(unavailable))
