"""The OpenAPI document: valid, complete and consistent with the routes."""

import json
import re

import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator

from router.model.policy import Policy
from router.policy.checks.consistency import policy_problems
from router.protocol.problem_types import PROBLEMS
from router.server.api.openapi import BODY_EXAMPLES, openapi_document
from router.server.api.routes import ROUTES
from router.server.auth.credentials import PERMISSIONS, PUBLIC_OPERATIONS


def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(openapi_document()).validate()


def test_every_route_occurs_once_with_summary_and_roles() -> None:
    operations = {
        operation["operationId"]: operation for methods in openapi_document()["paths"].values() for operation in methods.values()
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


def test_every_property_value_and_parameter_has_a_description() -> None:
    document = openapi_document()
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        for field, value in schema.get("properties", {}).items():
            assert value["description"], f"{name}.{field}"
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                assert parameter["description"], f"{operation['operationId']} {parameter['name']}"


def test_every_value_of_an_enum_has_a_text() -> None:
    for name, schema in openapi_document()["components"]["schemas"].items():
        for value in schema.get("enum", ()):
            assert f"* `{value}`: " in schema["description"], f"{name} {value}"


def test_every_request_body_has_a_valid_example() -> None:
    for route in ROUTES:
        if route.body_type is not None:
            msgspec.convert(BODY_EXAMPLES[route.body_type], route.body_type)
    assert set(BODY_EXAMPLES) == {route.body_type for route in ROUTES if route.body_type}
    assert not policy_problems(msgspec.convert(BODY_EXAMPLES[Policy], Policy))


def test_fields_that_clients_never_get_are_not_in_the_document() -> None:
    properties = openapi_document()["components"]["schemas"]["ContactQueued"]["properties"]
    assert "contact_id" in properties
    assert not {"dedupe_key", "fingerprint"} & set(properties)


def test_generation_is_deterministic() -> None:
    assert json.dumps(openapi_document()) == json.dumps(openapi_document())
