"""Imports follow the layers, without cycles, and pure packages import no I/O; the contracts are in ``pyproject.toml``."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_imports_keep_every_contract() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_package_is_in_a_layer() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [one for one in contracts if one["type"] == "layers"]
    listed = {name.strip() for layer in layers["layers"] for name in layer.split("|")}
    package = ROOT / "src" / "router"
    found = {one.stem for one in package.glob("*.py") if one.stem != "__init__"}
    found |= {one.parent.name for one in package.glob("*/__init__.py")}
    assert found == listed
    assert layers["exhaustive"] is True
