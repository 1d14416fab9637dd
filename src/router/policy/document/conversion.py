"""Conversion of a tree of nodes to a policy, with the position of every type and range error.

``msgspec.convert`` stops at the first error. So a valid document is converted in one call, and only an invalid one is walked
along the structs of ``router.model.policy``, which alone define keys, ranges and defaults. The walk also returns the parts
that could be read, so that their references can be checked in the same pass.

An invalid item is dropped from its list or mapping. A struct with an invalid required field is dropped, too, but a declared
queue, channel or fact that has no required fields is replaced by its defaults, so that references to it are not reported as
undeclared. Indexes of the items that remain in a list are kept, to report positions of the original document.
"""

from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from router.model.errors import PROBLEM_COUNT_MAX, Problem
from router.model.policy import DATE_PATTERN, SPAN_PATTERN, ZONE_PATTERN, Policy
from router.model.states import ID_PATTERN, NAME_PATTERN, SUBJECT_PATTERN
from router.policy.document.nodes import Node, child_path

_NAME_RULE: Final = "must be a name: a lower-case letter, then at most 63 of a-z, 0-9, _ and -"
_SUBJECT_RULE: Final = "must be an id: at most 128 of A-Z, a-z, 0-9, and . _ : @ | -"
_ID_RULE: Final = "must be an id: at most 128 of A-Z, a-z, 0-9, and . _ : -"
_PATTERN_RULES: Final = {
    SPAN_PATTERN: "must be a time span such as 09:00-17:30, in quotes; midnight at the end is 24:00",
    DATE_PATTERN: "must be a date such as 2026-12-24",
    ZONE_PATTERN: "must be an IANA time zone such as Europe/Zurich",
}
_INVALID: Final = object()


class ConversionResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a conversion: the policy, or its readable parts together with the problems.

    ``kept`` maps the path of each list with dropped items to the original indexes of the remaining items.
    """

    policy: Policy
    problems: list[Problem] = []
    kept_indexes: dict[str, list[int]] = {}


def convert_policy(root: Node) -> ConversionResult:
    """Convert a tree to a policy and return it with all problems."""
    try:
        return ConversionResult(policy=msgspec.convert(root.to_builtins(), Policy))
    except msgspec.ValidationError:
        pass
    converter = _Converter()
    policy = converter.convert(root, Policy, "")
    if policy is _INVALID:
        policy = Policy(channels={}, queues={})
    assert converter.problems, "the conversion by parts must find the error"
    return ConversionResult(policy=policy, problems=converter.problems, kept_indexes=converter.kept_indexes)


class _Converter:
    """Conversion of nodes by their annotated types that continues after an error."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.kept_indexes: dict[str, list[int]] = {}

    def convert(self, node: Node, annotation: Any, path: str) -> Any:
        """Convert a node; return the value, or the marker of an invalid one."""
        kind, inner = _annotation_kind(annotation)
        problem_count = len(self.problems)
        if kind in ("struct or text", "struct or null"):
            if isinstance(node.value, str if kind == "struct or text" else NoneType):
                return self._scalar(node, annotation, path)
            kind, annotation = "struct", inner
        match kind:
            case "struct":
                value = self._struct(node, inner, path)
            case "mapping":
                value = self._mapping(node, inner, path)
            case "list":
                value = self._list(node, inner, path)
            case _:
                return self._scalar(node, annotation, path)
        if value is not _INVALID and len(self.problems) == problem_count:
            # All parts are valid; constraints on the whole, such as its length, remain to be checked.
            self._scalar(node, annotation, path)
        return value

    def _add_problem(self, node: Node, path: str, message: str) -> None:
        if len(self.problems) < PROBLEM_COUNT_MAX:
            self.problems.append(node.problem(path, message))

    def _struct(self, node: Node, cls: type[msgspec.Struct], path: str) -> Any:
        if not isinstance(node.value, dict):
            self._add_problem(node, path, "must be a mapping of keys to values")
            return _INVALID
        types = _fields(cls)
        self._unknown_keys(node.value, types, path)
        values = {}
        is_incomplete = False
        for field in msgspec.structs.fields(cls):
            entry = node.value.get(field.name)
            if entry is not None:
                problem_count = len(self.problems)
                value = self.convert(entry, types[field.name], child_path(path, field.name))
                # Without its invalid conditions a rule would match every contact, so it is dropped.
                is_incomplete = is_incomplete or (field.name == "when" and len(self.problems) > problem_count)
                if value is not _INVALID:
                    values[field.name] = value
                    continue
            elif field.required:
                self._add_problem(node, child_path(path, field.name), "is missing")
            is_incomplete = is_incomplete or field.required
        if not is_incomplete:
            return cls(**values)
        return Policy(**{"channels": {}, "queues": {}, **values}) if cls is Policy else _INVALID

    def _unknown_keys(self, entries: dict[str, Node], types: Mapping[str, Any], path: str) -> None:
        for key, entry in entries.items():
            if key not in types and len(self.problems) < PROBLEM_COUNT_MAX:
                self.problems.append(
                    Problem(
                        path=child_path(path, key),
                        message="unknown key; known are " + ", ".join(types),
                        line=entry.key_line,
                        column=entry.key_column,
                    )
                )

    def _mapping(self, node: Node, types: tuple[Any, Any], path: str) -> Any:
        if not isinstance(node.value, dict):
            self._add_problem(node, path, "must be a mapping of keys to values")
            return _INVALID
        values = {}
        for key, entry in node.value.items():
            if len(self.problems) >= PROBLEM_COUNT_MAX:
                break
            here = child_path(path, key)
            message = _conversion_error(key, types[0])
            if message is not None:
                self.problems.append(Problem(path=here, message=message, line=entry.key_line, column=entry.key_column))
            value = self.convert(entry, types[1], here)
            if value is _INVALID and _annotation_kind(types[1])[0] == "struct" and not _required(types[1]):
                value = types[1]()  # Declared, although invalid: references to it are not errors.
            if message is None and value is not _INVALID:
                values[key] = value
        return values

    def _list(self, node: Node, item: Any, path: str) -> Any:
        if not isinstance(node.value, list):
            self._add_problem(node, path, "must be a list")
            return _INVALID
        values = [self.convert(entry, item, child_path(path, index)) for index, entry in enumerate(node.value)]
        kept = [index for index, value in enumerate(values) if value is not _INVALID]
        if len(kept) < len(values):
            self.kept_indexes[path] = kept
        return tuple(values[index] for index in kept)

    def _scalar(self, node: Node, annotation: Any, path: str) -> Any:
        try:
            return msgspec.convert(node.to_builtins(), annotation)
        except msgspec.ValidationError as error:
            self._add_problem(node, path, _message(str(error), annotation))
            return _INVALID


def _conversion_error(value: object, annotation: Any) -> str | None:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        return _message(str(error), annotation)
    return None


def _message(text: str, annotation: Any) -> str:
    """Convert a message of msgspec: without its position, which is less exact than ours, and without values."""
    if text.startswith("Invalid enum value"):
        return "must be one of " + ", ".join(map(str, _choices(annotation)))
    if NAME_PATTERN in text or repr(NAME_PATTERN)[1:-1] in text:
        return _NAME_RULE
    if SUBJECT_PATTERN in text or repr(SUBJECT_PATTERN)[1:-1] in text:
        return _SUBJECT_RULE
    if ID_PATTERN in text or repr(ID_PATTERN)[1:-1] in text:
        return _ID_RULE
    for pattern, rule in _PATTERN_RULES.items():
        if pattern in text or repr(pattern)[1:-1] in text:
            return rule
    if "matching regex" in text and (rule := _stated_rule(msgspec.inspect.type_info(annotation))):
        return rule
    if text.startswith("Expected `int") and (integer_rule := _integer_rule(annotation)) is not None:
        return integer_rule
    sentence = text.split(" - at ")[0].replace("`", "")
    sentence = sentence.replace("object", "mapping").replace("array", "list")
    return sentence[:1].lower() + sentence[1:]


def _stated_rule(info: msgspec.inspect.Type) -> str:
    """Return the rule that the declaration of a type states for its pattern; empty: none."""
    match info:
        case msgspec.inspect.Metadata():
            return str((info.extra or {}).get("rule", "")) or _stated_rule(info.type)
        case msgspec.inspect.UnionType():
            return next(filter(None, map(_stated_rule, info.types)), "")
        case _:
            return ""


def _integer_rule(annotation: Any) -> str | None:
    """Return the range of an integer, or of an integer that may be null; None for other types."""
    info = msgspec.inspect.type_info(annotation)
    options = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    integers = [one for one in options if isinstance(one, msgspec.inspect.IntType)]
    if len(integers) != 1 or integers[0].ge is None or integers[0].le is None:
        return None
    or_null = ", or null" if len(options) > 1 else ""
    return f"must be an integer from {integers[0].ge:,} to {integers[0].le:,}{or_null}"


def _choices(annotation: Any) -> list[Any]:
    """Return the values of all enumerations and ``Literal`` types nested in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [member.value for member in annotation]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in _choices(part)]


@cache
def _fields(cls: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _required(cls: type[msgspec.Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(cls))


def _annotation_kind(annotation: Any) -> tuple[str, Any]:
    """Classify an annotation as ``struct`` (or text, or null), ``mapping``, ``list`` or ``leaf``, with its inner type."""
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return "struct", bare
    origin = get_origin(bare)
    if origin in (UnionType, Union):
        structs = [one for one in get_args(bare) if _annotation_kind(one)[0] == "struct"]
        if structs:
            kind = "struct or null" if NoneType in get_args(bare) else "struct or text"
            return kind, structs[0]
    if origin is dict:
        return "mapping", get_args(bare)
    if origin is tuple:
        return "list", get_args(bare)[0]
    return "leaf", None
