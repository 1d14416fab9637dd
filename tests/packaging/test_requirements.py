"""Locked requirements, bill of materials and metadata of the package."""

import json
import re
import runpy
import subprocess
import sys
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Final

import pytest
import readme_renderer.markdown
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY: Final = Path(__file__).parents[2]
LOCKS: Final = REPOSITORY / "requirements"
PROJECT: Final[dict[str, Any]] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def pins(name: str) -> dict[str, str]:
    """Return the versions of a lock by package; every pin must have a checksum."""
    text = (LOCKS / f"{name}.txt").read_text()
    found = re.findall(r"^([\w.-]+)==(\S+?)(?: ; .+?)? \\\n +--hash=sha256:", text, re.MULTILINE)
    assert len(found) == len(re.findall(r"^\S.*==", text, re.MULTILINE))
    return {canonicalize_name(package): version for package, version in found}


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("run", PROJECT["project"]["dependencies"]),
        ("dev", [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]),
        ("build", PROJECT["build-system"]["requires"]),
    ],
)
def test_a_lock_has_every_requirement_in_a_version_that_satisfies_it(lock: str, requirements: list[str]) -> None:
    locked = pins(lock)
    for one in map(Requirement, requirements):
        assert one.specifier.contains(locked[canonicalize_name(one.name)], prereleases=True), one
    assert not re.search(r"https?://|^-", (LOCKS / f"{lock}.txt").read_text(), re.MULTILINE)


def test_development_uses_the_versions_of_an_installation() -> None:
    run, dev = pins("run"), pins("dev")
    assert {name: dev.get(name) for name in run} == run


def test_the_bill_of_materials_is_up_to_date_and_lists_every_package() -> None:
    sbom = json.loads((LOCKS / "sbom.cdx.json").read_text())
    assert sbom == runpy.run_path(str(LOCKS / "write_sbom.py"))["document"]()
    listed = {canonicalize_name(one["name"]): one["version"] for one in sbom["components"] if one["purl"].startswith("pkg:pypi/")}
    assert listed == pins("run")
    (viewer,) = [one for one in sbom["components"] if one["purl"].startswith("pkg:npm/")]
    assert viewer["name"] == "swagger-ui-dist"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_index_can_show_the_metadata_of_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(REPOSITORY)]
    subprocess.run(command, check=True, timeout=250)
    (wheel,) = tmp_path.iterdir()

    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = BytesParser().parsebytes(archive.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["License-Expression"] == "Apache-2.0"
    names = {str(line).partition(",")[0] for line in metadata.get_all("Project-URL") or ()}
    assert {"Source", "Documentation", "Changelog"} <= names
    text = metadata.get_payload()
    assert isinstance(text, str)
    page = readme_renderer.markdown.render(text)
    assert page is not None and "<h1" in page
    assert not re.findall(r'(?:href|src)="(?!https?://|#)([^"]+)"', page)


def test_the_classifiers_fit_the_versions() -> None:
    classifiers = PROJECT["project"]["classifiers"]
    versions = [one.rpartition(" ")[2] for one in classifiers if re.search(r":: 3\.\d+$", one)]
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"
    assert len(set(classifiers)) == len(classifiers)
