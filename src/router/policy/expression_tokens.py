"""Tokens of rule expressions: the permitted subset of CEL, checked before the library compiles an expression.

The library limits time (iterations, recursion, linear regular expressions) but not memory: a string concatenated with itself
in a macro grows without limit. So this module accepts only what rules need: comparisons, logic, arithmetic, lists, a few
functions, and macros that do not nest. The constants below limit length, number of tokens, depth of brackets and size of
patterns. Errors carry the offset in the text; nothing is evaluated here.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

# Limits of a rule expression, checked before it is given to the library.
EXPRESSION_LENGTH_MAX: Final = 1_000
EXPRESSION_TOKENS_MAX: Final = 300
EXPRESSION_DEPTH_MAX: Final = 16
# A regular expression runs in linear time, but its program grows with its length and its counted repetitions.
PATTERN_LENGTH_MAX: Final = 128
PATTERN_REPEAT_MAX: Final = 100
MACROS: Final = frozenset({"all", "exists", "exists_one"})
FUNCTIONS: Final = MACROS | {"contains", "double", "endsWith", "int", "matches", "size", "startsWith", "string"}
_KEYWORDS: Final = frozenset({"true", "false", "null", "in"})
_TOKEN: Final = re.compile(
    r"""
    (?P<space>(?:[ \t\r\n\f]|//[^\n]*)+)
  | (?P<text>[rR]?(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
  | (?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:,.()\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_REPEAT: Final = re.compile(r"\{[0-9,]*?([0-9]+)\}")


class ExpressionError(Exception):
    """An invalid expression: the offset in characters and the reason. Never contains a value of the expression."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


class Token(Struct, frozen=True):
    """A token: ``text``, ``number``, ``sign``, ``word`` (true, in…), ``call`` (a function) or ``path`` (a dotted name)."""

    kind: str
    text: str
    offset: int
    parts: tuple[str, ...] = ()
    """Names of a path."""


@lru_cache(maxsize=1_024)
def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of an expression.

    Raises:
        ExpressionError: A token is not allowed, or a limit is exceeded.
    """
    if len(text) > EXPRESSION_LENGTH_MAX:
        raise ExpressionError(0, f"longer than {EXPRESSION_LENGTH_MAX:,} characters")
    if not text.strip():
        raise ExpressionError(0, "empty; an expression such as `true` is required")
    tokens = _join_paths(_scan(text))
    _check_brackets(tokens)
    _check_patterns(tokens)
    return tuple(tokens)


def _scan(text: str) -> list[Token]:
    tokens: list[Token] = []
    offset = 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise ExpressionError(offset, _not_allowed(text[offset]))
        kind = match.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, match.group(), offset))
            if len(tokens) > EXPRESSION_TOKENS_MAX:
                raise ExpressionError(offset, f"more than {EXPRESSION_TOKENS_MAX} tokens: split the rule")
        offset = match.end()
    return tokens


def _not_allowed(character: str) -> str:
    if character in "{}":
        return "maps and messages are not allowed in rules"
    if character in "\"'":
        return "unterminated string"
    return "character not allowed in an expression"


def _join_paths(pieces: list[Token]) -> list[Token]:
    """Join dotted names into paths and mark names before a bracket as calls."""
    tokens: list[Token] = []
    i = 0
    while i < len(pieces):
        piece = pieces[i]
        after = pieces[i - 1] if i else None
        if piece.text == "." and piece.kind == "sign":
            if after is None or not (after.kind in ("text",) or after.text in (")", "]")):
                raise ExpressionError(piece.offset, "a name cannot begin with a dot")
            if not _is_call(pieces, i + 1):
                raise ExpressionError(piece.offset, "only a function call can follow")
            i += 1
            continue
        if piece.kind != "name":
            tokens.append(piece)
            i += 1
            continue
        if piece.text in _KEYWORDS:
            tokens.append(Token("word", piece.text, piece.offset))
            i += 1
            continue
        i = _path(pieces, i, tokens)
    return tokens


def _is_call(pieces: list[Token], i: int) -> bool:
    return i + 1 < len(pieces) and pieces[i].kind == "name" and pieces[i + 1].text == "("


def _path(pieces: list[Token], i: int, tokens: list[Token]) -> int:
    """Append the path or call that begins at ``i`` and return the index after it."""
    first = i
    parts: list[str] = []
    while True:
        name = pieces[i]
        if _is_call(pieces, i):
            if name.text not in FUNCTIONS:
                raise ExpressionError(name.offset, "unknown function; allowed are " + ", ".join(sorted(FUNCTIONS)))
            if parts:
                tokens.append(Token("path", ".".join(parts), pieces[first].offset, parts=tuple(parts)))
            tokens.append(Token("call", name.text, name.offset))
            return i + 1
        parts.append(name.text)
        if i + 2 >= len(pieces) or pieces[i + 1].text != "." or pieces[i + 2].kind != "name":
            tokens.append(Token("path", ".".join(parts), pieces[first].offset, parts=tuple(parts)))
            return i + 1
        i += 2


def _check_brackets(tokens: Sequence[Token]) -> None:
    """Limit the depth of brackets, and refuse macros within macros, whose costs multiply."""
    macros: list[bool] = []
    for i, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        if token.text in "([":
            is_macro = i > 0 and tokens[i - 1].kind == "call" and tokens[i - 1].text in MACROS
            if is_macro and any(macros):
                raise ExpressionError(tokens[i - 1].offset, "macros cannot be nested")
            macros.append(is_macro)
            if len(macros) > EXPRESSION_DEPTH_MAX:
                raise ExpressionError(token.offset, f"brackets nested deeper than {EXPRESSION_DEPTH_MAX} levels")
        elif token.text in ")]" and macros:
            macros.pop()


def _check_patterns(tokens: Sequence[Token]) -> None:
    """Check that the pattern of ``matches`` is a literal within the limits."""
    for i, token in enumerate(tokens):
        if token.kind != "call" or token.text != "matches":
            continue
        inside = tokens[i + 2 : i + 4]
        if len(inside) < 2 or inside[0].kind != "text" or inside[1].text != ")":
            raise ExpressionError(token.offset, "matches requires a literal pattern")
        pattern = inside[0]
        if len(pattern.text) > PATTERN_LENGTH_MAX:
            raise ExpressionError(pattern.offset, f"a pattern of more than {PATTERN_LENGTH_MAX} characters")
        if any(int(count) > PATTERN_REPEAT_MAX for count in _REPEAT.findall(pattern.text)):
            raise ExpressionError(pattern.offset, f"a pattern may repeat at most {PATTERN_REPEAT_MAX} times")
