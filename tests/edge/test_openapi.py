"""The OpenAPI document: valid, complete, and the same as what is served."""

import json
import re

from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from router.edge.openapi import openapi_document
from router.edge.permissions import PERMISSIONS, PUBLIC
from router.edge.problems import PROBLEMS
from router.edge.routes import ROUTES
from router.edge.viewer import as_openapi_3_0


def test_it_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(openapi_document()).validate()


def test_it_has_every_route_once_with_a_summary_and_its_roles() -> None:
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
        assert (operation.get("security") == []) is (name in PUBLIC)


def test_every_problem_of_a_route_stands_under_its_status() -> None:
    document = openapi_document()
    for route in ROUTES:
        responses = document["paths"][route.path][route.method.lower()]["responses"]
        for code in route.codes:
            assert f"`{code}`" in responses[str(PROBLEMS[code].status)]["description"]


def test_every_reference_leads_somewhere_and_no_schema_is_left_over() -> None:
    document = openapi_document()
    text = json.dumps(document)
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert referred == set(document["components"]["schemas"])


def test_patterns_are_what_other_languages_understand() -> None:
    assert "(?!" not in json.dumps(openapi_document())


def test_the_viewers_document_is_valid_openapi_3_0_and_as_complete() -> None:
    """The bundled viewer refuses 3.1 and shows nothing."""
    whole = openapi_document()
    older = as_openapi_3_0(whole)
    OpenAPIV30SpecValidator(older).validate()
    assert older["openapi"] == "3.0.3" and whole["openapi"] == "3.1.0"
    assert {path: set(methods) for path, methods in older["paths"].items()} == {
        path: set(methods) for path, methods in whole["paths"].items()
    }
    assert set(older["components"]["schemas"]) == set(whole["components"]["schemas"])
    assert '"null"' not in json.dumps(older["components"]["schemas"])


def test_it_is_the_same_every_time() -> None:
    assert json.dumps(openapi_document()) == json.dumps(openapi_document())
