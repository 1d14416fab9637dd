"""Write the software bill of materials of an installation, CycloneDX 1.6, from ``run.txt`` and the vendored viewer.

``python requirements/write_sbom.py`` (``make lock``). The document is a function of its inputs: no time, no random number.
"""

import json
import re
import runpy
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements" / "run.txt"
NODE_LOCK: Final = ROOT / "tests" / "node" / "package-lock.json"
SBOM: Final = ROOT / "requirements" / "sbom.cdx.json"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+?)(?: ; (.+?))? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def document() -> dict[str, Any]:
    """Return the bill of materials."""
    version = runpy.run_path(str(ROOT / "src" / "router" / "__init__.py"))["__version__"]
    main = {
        "type": "application",
        "bom-ref": "contact-router",
        "name": "contact-router",
        "version": version,
        "purl": f"pkg:pypi/contact-router@{version}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    components = [*_python_packages(), _viewer()]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main},
        "components": components,
        "dependencies": [{"ref": "contact-router", "dependsOn": [one["bom-ref"] for one in components]}],
    }


def _python_packages() -> list[dict[str, Any]]:
    """Return the packages of the lock; those for some platforms only carry their condition."""
    found = []
    for name, version, marker, hashes in _PIN.findall(LOCK.read_text()):
        purl = f"pkg:pypi/{name.lower()}@{version}"
        component: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        # A checksum is that of one of the package's files: a wheel for a platform, or the source.
        references = [{"alg": "SHA-256", "content": one} for one in re.findall(r"sha256:([0-9a-f]{64})", hashes)]
        component["externalReferences"] = [{"type": "distribution", "url": purl, "hashes": references}]
        if marker:
            component["properties"] = [{"name": "python:marker", "value": marker}]
        found.append(component)
    return found


def _viewer() -> dict[str, Any]:
    version = json.loads(NODE_LOCK.read_text())["packages"]["node_modules/swagger-ui-dist"]["version"]
    purl = f"pkg:npm/swagger-ui-dist@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": "swagger-ui-dist",
        "version": version,
        "purl": purl,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "description": "Vendored: src/router/server/http/swagger_ui",
    }


if __name__ == "__main__":
    SBOM.write_text(json.dumps(document(), indent=1) + "\n")
