"""The OpenAPI document as the page's viewer can read it: in version 3.0. The API's own document is 3.1 and stays so.

The viewer refuses 3.1 unread. What differs between the two is rewritten (``null`` as a type, names of properties, two fields of
``info``); a validator for 3.0 holds this to its word.
"""

from typing import Any, Final

_NEWER_WORDS: Final = frozenset({"propertyNames", "contentEncoding"})
_NULL: Final = {"type": "null"}


def as_openapi_3_0(document: dict[str, Any]) -> dict[str, Any]:
    """The same document in the older version; the one given is not changed."""
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
    plain = {key: _rewritten(inner) for key, inner in value.items() if key not in _NEWER_WORDS}
    options = plain.get("anyOf")
    if isinstance(options, list) and _NULL in options:
        plain = _nullable(plain, [option for option in options if option != _NULL])
    if plain.get("required") == []:
        del plain["required"]
    if "$ref" in plain and len(plain) > 1:
        # Beside a reference the older version reads nothing.
        plain["allOf"] = [{"$ref": plain.pop("$ref")}]
    if "const" in plain and not isinstance(plain["const"], dict):
        plain["enum"] = [plain.pop("const")]
    return plain


def _nullable(schema: dict[str, Any], options: list[Any]) -> dict[str, Any]:
    """One of these, or null."""
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(options) > 1:
        return {**rest, "anyOf": options, "nullable": True}
    [only] = options
    if "$ref" in only:
        return {**rest, "allOf": [only], "nullable": True}
    return {**only, **rest, "nullable": True}
