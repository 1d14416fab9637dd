"""Conversion of a YAML document to a typed struct; every error names the file, the line and the path.

The struct defines what is valid (types, ranges, unknown keys). ``msgspec`` reports the path of an error as text, with ``[...]`` for
a key of a mapping; this module finds the key and the line in the YAML nodes. Values are never repeated in error texts.
"""

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from router.model.errors import PolicyInvalid, Problem
from router.policy.document.nodes import Node, parse_nodes
from router.simulator.day import WorkloadInvalid

T = TypeVar("T")

_ERROR_PATH = re.compile(r" - at `(?:key in )?(\$[^`]*)`$")
# msgspec repeats an unknown tag, but error texts must not contain values.
_INVALID_VALUE = re.compile(r"^Invalid (enum )?value .*$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def load_document(path: Path, type_: type[T]) -> T:
    """Read and check a document. Raises ``WorkloadInvalid``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadInvalid(f"{path}: cannot be read ({type(error).__name__})") from error
    return parse_document(text, type_, source=str(path))


def parse_document(text: str, type_: type[T], *, source: str) -> T:
    """Check a document given as text; ``source`` names it in errors. Raises ``WorkloadInvalid``."""
    try:
        root, problems = parse_nodes(text)
    except PolicyInvalid as error:
        raise _invalid(source, error.problems) from None
    if problems:
        raise _invalid(source, tuple(problems))
    document = root.to_builtins()
    try:
        return msgspec.convert(document, type_)
    except msgspec.ValidationError as error:
        what, steps = _place(error, document, type_)
        path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).removeprefix(".")
        raise WorkloadInvalid(f"{source}:{_line_of(root, steps)}: {path or 'the document'}: {what}") from error


def _invalid(source: str, problems: tuple[Problem, ...]) -> WorkloadInvalid:
    return WorkloadInvalid("\n".join(f"{source}:{p.line}: {p.path} {p.message}" for p in problems))


def _place(error: msgspec.ValidationError, document: Any, type_: type[Any]) -> tuple[str, list[str | int]]:
    """Return the message without its path, and the path as steps; the key behind ``[...]`` is found by trial."""
    message = str(error)
    found = _ERROR_PATH.search(message)
    if not found:
        return message, []
    sentence = _INVALID_VALUE.sub("Not one of the allowed values", message[: found.start()])
    steps: list[str | int] = []
    for name, index in _STEP.findall(found.group(1)):
        if index == "...":
            steps.append(_failing_key(document, steps, message, type_))
        else:
            steps.append(name or int(index))
    return sentence, steps


def _failing_key(document: Any, steps: list[str | int], message: str, type_: type[Any]) -> str:
    """Return the key of the mapping at ``steps`` that alone in the mapping causes the same error."""
    mapping = _follow(document, steps)
    for key in mapping:
        try:
            msgspec.convert(_with(document, steps, {key: mapping[key]}), type_)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
    return "?"


def _follow(document: Any, steps: list[str | int]) -> Any:
    for step in steps:
        document = document[step]
    return document


def _with(document: Any, steps: list[str | int], value: Any) -> Any:
    """Return a copy of the document with another value at one path."""
    if not steps:
        return value
    copy = document.copy()
    copy[steps[0]] = _with(copy[steps[0]], steps[1:], value)
    return copy


def _line_of(root: Node, steps: list[str | int]) -> int:
    """Return the line of the deepest existing node on a path; for missing and unknown keys, that of their mapping."""
    node = root
    for step in steps:
        match node.value, step:
            case dict() as entries, str() if step in entries:
                node = entries[step]
            case list() as items, int() if step < len(items):
                node = items[step]
            case _:
                break
    return node.key_line if isinstance(node.value, (dict, list)) else node.line
