"""The compiled core decides exactly as the interpreted one: the same tests, and the same walks to the same digests."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
WALKS: Final = ((1, 1_500), (2, 1_500), (3, 1_500))
_HEADERS: Final = Path(sysconfig.get_paths()["include"]) / "Python.h"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("cc") is None or not _HEADERS.exists(),
        reason="the compiled core needs a C compiler and Python's headers",
    ),
]


def built(directory: Path) -> Path:
    """A directory with the package as ``make compiled`` builds it."""
    copy = directory / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "Makefile"):
        shutil.copy(REPOSITORY / name, copy)
    shutil.copytree(REPOSITORY / "src", copy / "src", ignore=shutil.ignore_patterns("*.so"))
    done = subprocess.run(
        ["make", "compiled", f"PYTHON={sys.executable}"], cwd=copy, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (wheel,) = (copy / "dist").glob("*.whl")
    target = directory / "site"
    shutil.unpack_archive(wheel, target, "zip")
    return target


def with_core_of(directory: Path, *arguments: str) -> str:
    """What a Python process prints that imports the package from there."""
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    done = subprocess.run(
        (sys.executable, *arguments),
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


# One test: the wheel takes minutes to build, and tests of one file may run in several processes.
def test_the_compiled_core_decides_as_the_interpreted_one(tmp_path: Path) -> None:
    compiled = built(tmp_path)
    names = "engine, matching, index, decide.offers, apply.contacts"
    files = with_core_of(
        compiled,
        "-c",
        "import importlib\n"
        f"for name in '{names}'.split(', '):\n"
        "    print(importlib.import_module('router.core.' + name).__file__)",
    ).split()
    assert len(files) == 5
    for file in files:
        assert file.startswith(str(compiled)) and file.endswith(".so"), file

    for seed, steps in WALKS:
        walk = ("-m", "tests.properties.workload", str(seed), str(steps))
        assert with_core_of(compiled, *walk) == with_core_of(REPOSITORY / "src", *walk)

    printed = with_core_of(
        compiled, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/core", "tests/scenarios"
    )
    assert " passed" in printed and "failed" not in printed
