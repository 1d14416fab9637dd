"""Decoding of untrusted input and settings, and precise errors for what is invalid: the field, the allowed range, the names.

``msgspec`` decodes valid input in one call and stops at the first error, with a message that may contain text of the sender.
Only after such an error is the input decoded again as plain data and walked along the type (``checked``). The walk

* accepts a number without a fraction, such as ``10.0`` or ``1e3``, as an integer: JSON has only one kind of number;
* collects all errors, each with the path of its field and a text that says what would be valid;
* names unknown fields, and lists the known ones.

Values of the sender are never repeated. Names of fields are, if they look like identifiers rather than data.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import inspect as types

from router.model.errors import Problem, decoder_path, is_harmless_name, path_below
from router.model.states import CODE_PATTERN, ID_PATTERN, NAME_PATTERN, SUBJECT_PATTERN

T = TypeVar("T")

ERROR_COUNT_MAX: Final = 20
"""Errors that are reported for one input."""
_NAMES_SHOWN_MAX: Final = 40
_DIGITS_MAX: Final = 400
_RULES: Final = {
    ID_PATTERN: "must be an id: 1 to 128 of A-Z, a-z, 0-9, and . _ : -",
    CODE_PATTERN: "must be a code: 1 to 128 of A-Z, a-z, 0-9, and . _ : -; no telephone number or address, which the journal must "
    "not hold",
    SUBJECT_PATTERN: "must be an id: 1 to 128 of A-Z, a-z, 0-9, and . _ : @ | -",
    NAME_PATTERN: "must be a name: a lower-case letter, then at most 63 of a-z, 0-9, _ and -",
}
_INTEGER_TEXT: Final = re.compile(r"(-?[0-9]{1,20})(?:\.0{1,20})?").fullmatch
_INVALID: Final = object()
_Errors: TypeAlias = list[Problem]


class InvalidInput(ValueError):
    """Input that does not match its type. ``problems`` has at least one error; none repeats a value of the input."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, problems)))

    @property
    def field(self) -> str:
        """Path of the first invalid field; empty: the input as a whole."""
        return self.problems[0].path

    @property
    def detail(self) -> str:
        """What would be valid for the first invalid field."""
        return self.problems[0].message


class NotWellFormed(ValueError):
    """Input that is not well-formed in its encoding; the text says why."""


def decode_json(data: bytes | str, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode JSON. Raises InvalidInput, or NotWellFormed for bytes that are not JSON."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        value: T = _decode_again(error, lambda: _plain_json(data), decoder.type)
        return value
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotWellFormed("not well-formed JSON") from None
    except RecursionError:
        raise NotWellFormed("nested too deeply") from None


def decode_msgpack(data: bytes | str, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """Decode MessagePack. Raises InvalidInput, or NotWellFormed for bytes that are not MessagePack."""
    raw = data.encode() if isinstance(data, str) else data
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        value: T = _decode_again(error, lambda: msgspec.msgpack.decode(raw), decoder.type)
        return value
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotWellFormed("not well-formed MessagePack") from None
    except RecursionError:
        raise NotWellFormed("nested too deeply") from None


def convert_plain(raw: Any, kind: type[T]) -> T:
    """Convert plain data to a struct. Raises InvalidInput."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        value: T = _decode_again(error, lambda: raw, kind)
        return value


def convert_texts(values: Mapping[str, str], kind: type[T]) -> T:
    """Convert query parameters, which are all text, to a struct. Raises InvalidInput."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        value: T = _decode_again(error, lambda: dict(values), kind, is_text=True)
        return value


def checked(raw: Any, kind: Any, *, is_text: bool = False) -> Any:
    """Return plain data with integers where the type wants them. Raises InvalidInput with all errors."""
    errors: _Errors = []
    value = _check(raw, _type_info(kind), "", errors, is_text)
    if errors:
        raise InvalidInput(errors[:ERROR_COUNT_MAX])
    return value


def _decode_again(error: msgspec.ValidationError, plain: Callable[[], Any], kind: Any, *, is_text: bool = False) -> Any:
    """Return the corrected value of input that was refused. Raises InvalidInput or NotWellFormed."""
    try:
        raw = plain()
    except RecursionError:
        raise NotWellFormed("nested too deeply") from None
    except (msgspec.MsgspecError, ValueError, TypeError):
        raise InvalidInput([Problem(path="", message="cannot be decoded")]) from None
    corrected = checked(raw, kind, is_text=is_text)
    try:
        return msgspec.convert(corrected, kind, strict=not is_text)
    except msgspec.ValidationError:
        # A constraint that the walk does not know.
        raise InvalidInput([Problem(path=decoder_path(error), message="is not valid")]) from None


def _plain_json(data: bytes | str) -> Any:
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError:
        # A number beyond the range of a float, which only the standard library reads; digits that it refuses to convert to an
        # integer are beyond every range, too.
        return json.loads(data, parse_int=_long_integer)


def _long_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else math.inf


@cache
def _type_info(kind: Any) -> types.Type:
    return types.type_info(kind)


def _add(errors: _Errors, path: str, message: str) -> Any:
    if len(errors) < ERROR_COUNT_MAX:
        errors.append(Problem(path=path, message=message))
    return _INVALID


def _check(raw: Any, info: types.Type, path: str, errors: _Errors, is_text: bool) -> Any:
    """Check a value and return it, corrected where it is a whole number."""
    rule = ""
    while isinstance(info, types.Metadata):
        rule = rule or str((info.extra or {}).get("rule", ""))
        info = info.type
    match info:
        case types.StructType():
            return _check_struct(raw, info, path, errors, is_text)
        case types.UnionType():
            return _check_union(raw, info, path, errors, is_text)
        case types.DictType():
            return _check_dict(raw, info, path, errors, is_text)
        case types.VarTupleType() | types.ListType():
            return _check_list(raw, info, path, errors, is_text)
        case types.IntType():
            return _check_int(raw, info, path, errors, is_text)
        case types.StrType():
            return raw if _is_valid_text(raw, info) else _add(errors, path, rule or _text_rule(info))
        case types.BoolType():
            is_bool = isinstance(raw, bool) or (is_text and str(raw).lower() in ("true", "false", "1", "0"))
            return raw if is_bool else _add(errors, path, "must be true or false")
        case types.EnumType():
            values = [member.value for member in info.cls]
            return raw if raw in values else _add(errors, path, f"must be one of {', '.join(map(str, values))}")
        case types.LiteralType():
            return raw if raw in info.values else _add(errors, path, f"must be one of {', '.join(map(str, info.values))}")
        case types.NoneType():
            return raw if raw is None else _add(errors, path, "must be null")
        case _:
            return raw


def _check_struct(raw: Any, info: types.StructType, path: str, errors: _Errors, is_text: bool) -> Any:
    if not isinstance(raw, dict):
        return _add(errors, path, "must be an object")
    values: dict[Any, Any] = {}
    fields = {field.encode_name: field for field in info.fields}
    for name, value in raw.items():
        if len(errors) >= ERROR_COUNT_MAX:
            break
        field = fields.get(name)
        if field is not None:
            values[name] = _check(value, field.type, path_below(path, name), errors, is_text)
        elif info.tag_field is not None and name == info.tag_field:
            values[name] = value
        elif info.forbid_unknown_fields:
            _add(errors, path_below(path, name), _unknown_text(name, list(fields)))
    for name, field in fields.items():
        if field.required and name not in raw:
            _add(errors, path_below(path, name), "is missing")
    return values


def _unknown_text(name: object, known: list[str]) -> str:
    shown = ", ".join(known[:_NAMES_SHOWN_MAX]) or "none"
    if not is_harmless_name(name):
        return f"unknown field, whose name is not repeated; known are: {shown}"
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"unknown field `{name}`; known are: {shown}" + (f"; did you mean `{near[0]}`?" if near else "")


def _check_union(raw: Any, info: types.UnionType, path: str, errors: _Errors, is_text: bool) -> Any:
    options = [_bare(one) for one in info.types]
    if raw is None and any(isinstance(one, types.NoneType) for one in options):
        return raw
    tagged = [one for one in options if isinstance(one, types.StructType) and one.tag_field is not None]
    if tagged:
        return _check_tagged(raw, tagged, path, errors, is_text)
    others = [one for one in info.types if not isinstance(_bare(one), types.NoneType)]
    if len(others) == 1:
        return _check(raw, others[0], path, errors, is_text)
    for one in others:
        attempt: _Errors = []
        value = _check(raw, one, path, attempt, is_text)
        if not attempt:
            return value
    # The error of the option that the value comes closest to: of the same kind of JSON value.
    for one in others:
        if _is_same_kind(raw, _bare(one)):
            return _check(raw, one, path, errors, is_text)
    rules = [_rule_of(one) for one in others]
    return _add(errors, path, "must be " + " or ".join(rules))


def _check_tagged(raw: Any, options: list[types.StructType], path: str, errors: _Errors, is_text: bool) -> Any:
    if not isinstance(raw, dict):
        return _add(errors, path, "must be an object")
    tag_field = options[0].tag_field or "type"
    by_tag = {one.tag: one for one in options}
    tag = raw.get(tag_field)
    chosen = by_tag.get(tag) if isinstance(tag, str | int) else None
    if chosen is None:
        known = ", ".join(map(str, by_tag))
        verb = "must be" if tag_field in raw else "is missing; it must be"
        return _add(errors, path_below(path, tag_field), f"{verb} one of {known}")
    return _check_struct(raw, chosen, path, errors, is_text)


def _check_dict(raw: Any, info: types.DictType, path: str, errors: _Errors, is_text: bool) -> Any:
    if not isinstance(raw, dict):
        return _add(errors, path, "must be an object")
    if info.max_length is not None and len(raw) > info.max_length:
        return _add(errors, path, f"must have at most {info.max_length:,} entries")
    if info.min_length is not None and len(raw) < info.min_length:
        return _add(errors, path, f"must have at least {info.min_length:,} entries")
    values: dict[Any, Any] = {}
    for key, value in raw.items():
        if len(errors) >= ERROR_COUNT_MAX:
            break
        here = path_below(path, key)
        attempt: _Errors = []
        _check(key, info.key_type, here, attempt, is_text)
        for problem in attempt:
            _add(errors, here, f"the key {problem.message}")
        values[key] = _check(value, info.value_type, here, errors, is_text)
    return values


def _check_list(raw: Any, info: types.VarTupleType | types.ListType, path: str, errors: _Errors, is_text: bool) -> Any:
    if not isinstance(raw, list | tuple):
        return _add(errors, path, "must be a list")
    if info.max_length is not None and len(raw) > info.max_length:
        return _add(errors, path, f"must have at most {info.max_length:,} items")
    if info.min_length is not None and len(raw) < info.min_length:
        return _add(errors, path, f"must have at least {info.min_length:,} items")
    return [_check(one, info.item_type, f"{path}[{index}]", errors, is_text) for index, one in enumerate(raw)]


def _check_int(raw: Any, info: types.IntType, path: str, errors: _Errors, is_text: bool) -> Any:
    value: Any = raw
    if is_text and isinstance(raw, str) and (found := _INTEGER_TEXT(raw)):
        value = int(found.group(1))
    elif isinstance(raw, float) and raw.is_integer():
        value = int(raw)
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if is_int and (info.ge is None or value >= info.ge) and (info.le is None or value <= info.le):
        return value
    return _add(errors, path, f"must be {_rule_of(info)}")


def _is_valid_text(raw: Any, info: types.StrType) -> bool:
    return (
        isinstance(raw, str)
        and (info.min_length is None or len(raw) >= info.min_length)
        and (info.max_length is None or len(raw) <= info.max_length)
        and (info.pattern is None or re.search(info.pattern, raw) is not None)
    )


def _text_rule(info: types.StrType) -> str:
    known = _RULES.get(info.pattern or "")
    return known or f"must be {_rule_of(info)}"


def _rule_of(info: types.Type) -> str:
    """Return what a value of the type is, such as ``an integer from 1 to 10``."""
    info = _bare(info)
    match info:
        case types.IntType():
            if info.ge is not None and info.le is not None:
                return f"an integer from {info.ge:,} to {info.le:,}"
            return "an integer" if info.ge is None else f"an integer of at least {info.ge:,}"
        case types.StrType():
            if info.max_length is None:
                return "text"
            return f"text of {info.min_length or 0:,} to {info.max_length:,} characters"
        case types.BoolType():
            return "true or false"
        case types.DictType() | types.StructType():
            return "an object"
        case types.VarTupleType() | types.ListType():
            return "a list"
        case types.EnumType():
            return "one of " + ", ".join(str(member.value) for member in info.cls)
        case _:
            return "another value"


def _is_same_kind(raw: Any, info: types.Type) -> bool:
    if isinstance(raw, bool):
        return isinstance(info, types.BoolType)
    if isinstance(raw, int | float):
        return isinstance(info, types.IntType)
    return isinstance(raw, str) and isinstance(info, types.StrType)


def _bare(info: types.Type) -> types.Type:
    while isinstance(info, types.Metadata):
        info = info.type
    return info
