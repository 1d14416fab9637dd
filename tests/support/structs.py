"""Example instances of commands and events, and checks that hold for every tagged struct."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from router.model.commands import CallbackFields, CancelContact, PlainCommand
from router.model.policy import CallbackMode, Policy
from tests.support.builders import a_policy


def a_value(kind: Any, name: str) -> Any:
    """Return a value of an annotated type that is not its default."""
    options = get_args(kind)
    if kind is Policy:
        return a_policy()
    if kind == PlainCommand:
        return full_example(CancelContact)
    if kind is CallbackFields:
        return CallbackFields(mode=CallbackMode.CUSTOMER_FIRST, channel="voice", at_ms=7)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return full_example(kind)
    if type(None) in options or msgspec.UnsetType in options:
        chosen = next(one for one in options if one not in (type(None), msgspec.UnsetType))
        if isinstance(chosen, type) and issubclass(chosen, msgspec.Struct):
            return a_policy() if chosen is Policy else full_example(chosen)
        return a_value(chosen, name)
    origin = getattr(kind, "__origin__", None)
    if origin in (dict, Mapping):
        return {"tier": a_value(options[1], name)}
    if origin is tuple and isinstance(options[0], type) and issubclass(options[0], msgspec.Struct):
        return (full_example(options[0]),)
    if origin is tuple and getattr(options[0], "__origin__", None) is tuple:
        return (tuple(a_value(one, name) for one in get_args(options[0])),)
    if origin is tuple and Ellipsis not in options:
        return tuple(a_value(one, name) for one in options)
    if origin is tuple:
        return ("support", "sales")
    if hasattr(kind, "__members__"):
        return list(kind)[-1]
    if bool in options:
        return "gold"
    values: dict[Any, Any] = {str: f"some-{name}", int: 7, float: 0.5, bool: True, bytes: b"\x00key"}
    return values[kind]


def full_example(struct: type[msgspec.Struct]) -> msgspec.Struct:
    """Return an instance with every field set to a value that is not its default."""
    hints = get_type_hints(struct)
    return struct(**{name: a_value(hints[name], name) for name in struct.__struct_fields__})


def minimal_example(struct: type[msgspec.Struct]) -> msgspec.Struct:
    """Return an instance with the required fields only."""
    hints = get_type_hints(struct)
    required = [one.name for one in msgspec.structs.fields(struct) if one.required]
    return struct(**{name: a_value(hints[name], name) for name in required})


def check_round_trip(struct: type[msgspec.Struct], union: Any) -> None:
    """Check that full and minimal instances survive JSON and MessagePack as the same type, and are frozen."""
    for instance in (full_example(struct), minimal_example(struct)):
        as_json = msgspec.json.decode(msgspec.json.encode(instance), type=union)
        as_msgpack = msgspec.msgpack.decode(msgspec.msgpack.encode(instance), type=union)
        assert type(as_json) is type(as_msgpack) is struct
        assert as_json == as_msgpack == instance
        with pytest.raises(AttributeError):
            setattr(instance, (instance.__struct_fields__ or ("anything",))[0], None)


def check_unknown_field_is_ignored(struct: type[msgspec.Struct], union: Any) -> None:
    """Check that a document with an additional field is decoded: journals are also read by earlier versions."""
    document = msgspec.to_builtins(full_example(struct), builtin_types=(bytes,)) | {"later": 1}
    assert type(msgspec.msgpack.decode(msgspec.msgpack.encode(document), type=union)) is struct


def tags_of(module: ModuleType) -> dict[str, str]:
    """Return the tags of the structs that a module defines, by class name; without its private and base structs."""
    return {
        name: str(kind.__struct_config__.tag)
        for name, kind in vars(module).items()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind.__module__ == module.__name__
        and not name.startswith("_")
        and kind.__struct_config__.tag not in (None, name)
    }
