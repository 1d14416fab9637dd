"""What only the packages of other projects can say: is the AsyncAPI document one, and are the viewer's files the published ones?"""

import gzip
import json
import re

import msgspec
import pytest

from router.protocol.asyncapi import asyncapi_document, with_server
from router.server.http.docs_pages import SWAGGER_UI_PATH
from tests.support.node import REPOSITORY, installed_modules, run_script

ERROR, WARNING = 0, 1


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_asyncapi_projects_parser_has_no_objection() -> None:
    document = with_server(asyncapi_document(), "desk.example:8443", is_secure=True)
    found = json.loads(run_script("parse_asyncapi.cjs", msgspec.json.encode(document)))
    assert found["parsed"]
    assert [one for one in found["diagnostics"] if one["severity"] in (ERROR, WARNING)] == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_parser_objects_to_a_broken_document() -> None:
    document = asyncapi_document()
    document["components"]["schemas"]["OkFrame"]["discriminator"] = {"propertyName": "type"}
    found = json.loads(run_script("parse_asyncapi.cjs", msgspec.json.encode(document)))
    assert any(one["severity"] == ERROR for one in found["diagnostics"])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_viewers_files_are_those_of_the_locked_package() -> None:
    published = installed_modules() / "swagger-ui-dist"
    names = {path.name for path in SWAGGER_UI_PATH.iterdir()}
    assert names == {"swagger-ui.css.gz", "swagger-ui-bundle.js.gz", "favicon-32x32.png", "LICENSE", "NOTICE"}
    for name in names:
        found = (SWAGGER_UI_PATH / name).read_bytes()
        if name.endswith(".gz"):
            found = gzip.decompress(found)
        assert found == (published / name.removesuffix(".gz")).read_bytes(), name


def test_the_lock_names_checksums_and_no_host() -> None:
    lock = json.loads((REPOSITORY / "tests" / "node" / "package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert all(re.match(r"sha512-", one["integrity"]) and "resolved" not in one for one in packages.values())
    assert packages["node_modules/swagger-ui-dist"]["version"].split(".")[0] == "5"
