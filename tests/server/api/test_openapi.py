"""The OpenAPI document: valid, complete and consistent with the routes."""

import json
import re

from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from router.server.api.openapi import as_openapi_3_0, openapi_document
from router.server.api.problems import PROBLEMS
from router.server.api.routes import ROUTES
from router.server.auth.permissions import PERMISSIONS, PUBLIC_OPERATIONS


def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(openapi_document()).validate()


def test_every_route_occurs_once_with_summary_and_roles() -> None:
    operations = {
        operation["operationId"]: operation
        for methods in openapi_document()["paths"].values()
        for operation in methods.values()
    }
    assert set(operations) == {route.name for route in ROUTES}
    assert len(operations) == len(ROUTES)
    for name, operation in operations.items():
        assert operation["summary"]
        assert operation["x-roles"] == sorted(PERMISSIONS.get(name, ()))
        assert (operation.get("security") == []) is (name in PUBLIC_OPERATIONS)


def test_every_problem_of_a_route_is_listed_under_its_status() -> None:
    document = openapi_document()
    for route in ROUTES:
        responses = document["paths"][route.path][route.method.lower()]["responses"]
        for code in route.problem_codes:
            assert f"`{code}`" in responses[str(PROBLEMS[code].status)]["description"]


def test_every_reference_resolves_and_every_schema_is_used() -> None:
    document = openapi_document()
    text = json.dumps(document)
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert referred == set(document["components"]["schemas"])


def test_patterns_are_portable() -> None:
    assert "(?!" not in json.dumps(openapi_document())


def test_the_converted_document_is_valid_openapi_3_0_and_complete() -> None:
    """The bundled Swagger UI does not read 3.1."""
    document = openapi_document()
    converted = as_openapi_3_0(document)
    OpenAPIV30SpecValidator(converted).validate()
    assert converted["openapi"] == "3.0.3" and document["openapi"] == "3.1.0"
    assert {path: set(methods) for path, methods in converted["paths"].items()} == {
        path: set(methods) for path, methods in document["paths"].items()
    }
    assert set(converted["components"]["schemas"]) == set(document["components"]["schemas"])
    assert '"null"' not in json.dumps(converted["components"]["schemas"])


def test_generation_is_deterministic() -> None:
    assert json.dumps(openapi_document()) == json.dumps(openapi_document())
