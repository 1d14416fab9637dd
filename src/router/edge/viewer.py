"""Conversion of the OpenAPI 3.1 document to 3.0 for the bundled Swagger UI, which does not read 3.1.

The differences that occur in the document are rewritten: ``null`` as a type, ``propertyNames``, ``const`` and two fields
of ``info``. A test checks the result with a validator for 3.0.
"""

from typing import Any, Final

_KEYWORDS_OF_3_1: Final = frozenset({"propertyNames", "contentEncoding"})
_NULL: Final = {"type": "null"}


def as_openapi_3_0(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document converted to OpenAPI 3.0.3; the argument is not changed."""
    older: dict[str, Any] = _rewritten(document)
    older["openapi"] = "3.0.3"
    older["info"].pop("summary", None)
    older["info"].get("license", {}).pop("identifier", None)
    return older


def _rewritten(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_rewritten(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _rewritten(inner) for key, inner in value.items() if key not in _KEYWORDS_OF_3_1}
    options = plain.get("anyOf")
    if isinstance(options, list) and _NULL in options:
        plain = _nullable(plain, [option for option in options if option != _NULL])
    if plain.get("required") == []:
        del plain["required"]
    if "$ref" in plain and len(plain) > 1:
        # OpenAPI 3.0 ignores the siblings of a reference.
        plain["allOf"] = [{"$ref": plain.pop("$ref")}]
    if "const" in plain and not isinstance(plain["const"], dict):
        plain["enum"] = [plain.pop("const")]
    return plain


def _nullable(schema: dict[str, Any], options: list[Any]) -> dict[str, Any]:
    """Return a schema for one of the options or null."""
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(options) > 1:
        return {**rest, "anyOf": options, "nullable": True}
    [only] = options
    if "$ref" in only:
        return {**rest, "allOf": [only], "nullable": True}
    return {**only, **rest, "nullable": True}
