"""Syntax of policy documents: YAML or JSON text to a tree of nodes with line and column.

The tree is built from the parser's events and not by a YAML constructor. So a document cannot name a Python type, use anchors
and aliases (and expand without limit), repeat a key, or nest beyond ``DOCUMENT_DEPTH_MAX``. Plain scalars follow the core
schema of YAML 1.2: ``true`` and ``false`` are the only booleans, and ``no`` is the text "no".

Each node keeps the position of its value and of its key. A text scalar also keeps its source, from which the position of
an error within a rule expression is computed.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import yaml

from router.model.errors import PROBLEM_COUNT_MAX, PolicyInvalid, Problem

DOCUMENT_BYTES_MAX: Final = 1 << 20
# A policy uses five levels.
DOCUMENT_DEPTH_MAX: Final = 16
# Longer than any valid number; keeps int() from parsing a megabyte of digits.
NUMBER_LENGTH_MAX: Final = 20
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|[-+]?(NaN|Infinity)")
_CONSTANTS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
# Only keys that look like names are shown in paths; other text may be personal data.
_SHOWABLE_KEY: Final = re.compile(r"[A-Za-z0-9_:-]{1,64}")
Scalar = str | int | float | bool | None


class ScalarSource(NamedTuple):
    """Source of a scalar: the document, the offset in it, and the style (``|``, ``>``, quotes, or empty for plain)."""

    document: str
    start: int
    style: str


def position_within(source: ScalarSource, value: str, offset: int) -> tuple[int, int]:
    """Return line and column of the ``offset``-th character of a scalar's value.

    YAML folds white space, doubles quotes and indents block scalars, but all other characters appear in the document in the
    order of the value. So they are searched one after the other.
    """
    document, start, style = source
    position = start
    if style in ("|", ">"):
        position = document.find("\n", start) + 1
    elif style:
        position += 1
    last = position
    for character in value[: offset + 1]:
        if character.isspace():
            continue
        index = document.find(character, position)
        if index < 0:
            break
        last, position = index, index + 1
    if offset >= len(value.rstrip()):
        last += 1  # The position after the last character, for an incomplete expression.
    line_start = document.rfind("\n", 0, last) + 1
    return document.count("\n", 0, last) + 1, last - line_start + 1


class Node:
    """Node of the document: a scalar, a list of nodes or a mapping of keys to nodes. Lines and columns count from 1."""

    __slots__ = ("column", "key_column", "key_line", "line", "source", "value")

    def __init__(self, value: "Scalar | list[Node] | dict[str, Node]", line: int, column: int) -> None:
        self.value = value
        self.line = line
        self.column = column
        self.key_line = line
        self.key_column = column
        self.source: ScalarSource | None = None

    def to_builtins(self) -> object:
        """Convert to plain Python data."""
        value = self.value
        if isinstance(value, dict):
            return {key: node.to_builtins() for key, node in value.items()}
        if isinstance(value, list):
            return [node.to_builtins() for node in value]
        return value

    def position_of(self, offset: int) -> tuple[int, int]:
        """Return line and column of a character of this text; exact except for escapes within quotes."""
        if self.source is None or not isinstance(self.value, str):
            return self.line, self.column
        return position_within(self.source, self.value, offset)

    def problem(self, path: str, message: str) -> Problem:
        """Return a problem at this node: at the key of a list or mapping, at the value of a scalar."""
        if isinstance(self.value, (dict, list)):
            return Problem(path=path, message=message, line=self.key_line, column=self.key_column)
        return Problem(path=path, message=message, line=self.line, column=self.column)


def child_path(path: str, key: str | int) -> str:
    """Return the path of a key or an index below ``path``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    shown = key if _SHOWABLE_KEY.fullmatch(key) else "?"
    return f"{path}.{shown}" if path else shown


def parse_nodes(text: str | bytes) -> tuple[Node, list[Problem]]:
    """Return the tree of a document and the syntax problems that did not prevent reading it.

    Raises:
        PolicyInvalid: No tree can be built: not UTF-8, too large, not YAML, nested too deeply, or empty.
    """
    decoded = _decode(text)
    reader = _TreeBuilder(decoded)
    try:
        root = reader.build(yaml.parse(decoded, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        # The parser's messages are fixed, but the pure-Python parser may quote a character, which is removed.
        what = (error.problem or "cannot be read").split("'")[0].strip()
        raise PolicyInvalid([Problem(path="", message=f"not YAML: {what}", line=line, column=column)]) from None
    except yaml.YAMLError:
        raise PolicyInvalid([_document_problem("not YAML: control characters are not allowed")]) from None
    if root is None:
        raise PolicyInvalid([*reader.problems, _document_problem("the document is empty")])
    return root, reader.problems


def _decode(text: str | bytes) -> str:
    """Decode the text and check its size. Tabs, which indent JSON but are invalid in YAML, become spaces."""
    try:
        data = text.encode() if isinstance(text, str) else text
        if len(data) > DOCUMENT_BYTES_MAX:
            raise PolicyInvalid([_document_problem(f"larger than {DOCUMENT_BYTES_MAX} bytes")])
        decoded = data.decode("utf-8-sig")
    except UnicodeError:
        raise PolicyInvalid([_document_problem("not UTF-8")]) from None
    return decoded.replace("\t", " ") if decoded.lstrip()[:1] == "{" else decoded


def _document_problem(message: str) -> Problem:
    return Problem(path="", message=message, line=1, column=1)


class _OpenCollection:
    """An open list or mapping."""

    __slots__ = ("key", "key_mark", "node", "path")

    def __init__(self, node: Node, path: str) -> None:
        self.node = node
        self.path = path
        self.key: str | None = None
        self.key_mark = (0, 0)


class _TreeBuilder:
    """Builder of the tree from parser events; iterative, so that depth is bounded by a constant and not by the stack."""

    def __init__(self, document: str) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._open: list[_OpenCollection] = []
        self._root: Node | None = None

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        documents = 0
        for event in events:
            match event:
                case yaml.ScalarEvent():
                    self._scalar(event)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._open_collection(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._open.pop()
                case yaml.AliasEvent():
                    self._add_problem(event, "aliases are not allowed: write the value out")
                    self._append_node(None, event)
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        self._add_problem(event, "more than one document")
                        break
        return self._root

    def _add_problem(self, event: yaml.Event, message: str) -> None:
        if len(self.problems) < PROBLEM_COUNT_MAX:
            line, column = _position(event)
            self.problems.append(Problem(path=self._current_path(), message=message, line=line, column=column))

    def _current_path(self) -> str:
        if not self._open:
            return ""
        frame = self._open[-1]
        if isinstance(frame.node.value, list):
            return child_path(frame.path, len(frame.node.value))
        return child_path(frame.path, frame.key) if frame.key is not None else frame.path

    def _open_collection(self, event: "yaml.MappingStartEvent | yaml.SequenceStartEvent") -> None:
        if len(self._open) >= DOCUMENT_DEPTH_MAX:
            self._add_problem(event, f"nested deeper than {DOCUMENT_DEPTH_MAX} levels")
            raise PolicyInvalid(self.problems)
        self._reject_anchor_and_tag(event)
        frame = self._open[-1] if self._open else None
        if frame is not None and isinstance(frame.node.value, dict) and frame.key is None:
            self._add_problem(event, "a key must be text")
            raise PolicyInvalid(self.problems)
        path = self._current_path()
        empty: dict[str, Node] | list[Node] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_OpenCollection(self._append_node(empty, event), path))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._reject_anchor_and_tag(event)
        frame = self._open[-1] if self._open else None
        if frame is not None and isinstance(frame.node.value, dict) and frame.key is None:
            self._key(frame, event)
            return
        node = self._append_node(self._resolve(event), event)
        if event.start_mark is not None and isinstance(node.value, str):
            node.source = ScalarSource(self._document, event.start_mark.index, event.style or "")

    def _key(self, frame: _OpenCollection, event: yaml.ScalarEvent) -> None:
        assert isinstance(frame.node.value, dict)
        if event.value in frame.node.value:
            frame.key = event.value
            self._add_problem(event, "duplicate key")
        frame.key = event.value
        frame.key_mark = _position(event)

    def _resolve(self, event: yaml.ScalarEvent) -> Scalar:
        text: str = event.value
        if not event.implicit[0] or event.style:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _NOT_FINITE.fullmatch(text):
            self._add_problem(event, "not a finite number")
            return None
        if not _FLOAT.fullmatch(text):
            return text
        if len(text) > NUMBER_LENGTH_MAX:
            self._add_problem(event, f"a number of more than {NUMBER_LENGTH_MAX} characters")
            return None
        if _INT.fullmatch(text):
            return int(text)
        number = float(text)
        if number in (float("inf"), float("-inf")):
            self._add_problem(event, "not a finite number")
            return None
        # As in JSON, 10.0 and 1e1 are the integer 10.
        return int(number) if number.is_integer() else number

    def _reject_anchor_and_tag(self, event: "yaml.NodeEvent") -> None:
        if event.anchor is not None:
            self._add_problem(event, "anchors are not allowed: write the value out")
        if getattr(event, "tag", None) is not None:
            self._add_problem(event, "tags are not allowed")

    def _append_node(self, value: "Scalar | list[Node] | dict[str, Node]", event: yaml.Event) -> Node:
        node = Node(value, *_position(event))
        if not self._open:
            self._root = node
            return node
        frame = self._open[-1]
        if isinstance(frame.node.value, list):
            frame.node.value.append(node)
            return node
        assert isinstance(frame.node.value, dict)
        if frame.key is None:
            # An alias as a key: a problem was added already.
            frame.key, frame.key_mark = "?", _position(event)
            return node
        node.key_line, node.key_column = frame.key_mark
        frame.node.value[frame.key] = node
        frame.key = None
        return node


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None, "parser events have positions"
    return mark.line + 1, mark.column + 1
