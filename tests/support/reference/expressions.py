"""Second implementation of rule expressions, slow and obvious: Python's own parser and three values instead of two.

The third value is "failed": a fact is missing, a number leaves its range, or a division by zero. ``&&`` and ``||`` hide a failed
operand if the other one decides. It covers as much of the language as the scenarios and the random walks use.
"""

import ast
import re
from collections.abc import Callable
from typing import Final

FactOf = Callable[[str], object]
_WORDS: Final = {"&&": " and ", "||": " or ", "!=": "!=", "!": " not "}


class Failed(Exception):
    """Raised if an expression has no value."""


def holds(text: str, fact_of: FactOf) -> bool | None:
    """Return the value of the expression; None if it fails. ``fact_of`` returns a fact by name, None if missing."""
    python = re.sub(r"&&|\|\||!=|!", lambda sign: _WORDS[sign.group()], text)
    tree = ast.parse(f"({python.strip()})", mode="eval").body
    try:
        found = _value(tree, fact_of)
    except Failed:
        return None
    return found if isinstance(found, bool) else None


def _value(node: ast.expr, fact_of: FactOf) -> object:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id="true" | "false" as word):
            return word == "true"
        case ast.Name() | ast.Attribute():
            found = fact_of(ast.unparse(node))
            if found is None:
                raise Failed
            return found
        case ast.List(elts=items):
            return [_value(item, fact_of) for item in items]
        case ast.BoolOp(op=op, values=sides):
            return _logic(isinstance(op, ast.Or), sides, fact_of)
        case ast.UnaryOp(op=ast.Not(), operand=inside):
            return not _value(inside, fact_of)
        case ast.UnaryOp(op=ast.USub(), operand=inside):
            return -_number(inside, fact_of)
        case ast.BinOp(left=left, op=op, right=right):
            return _sum(_number(left, fact_of), op, _number(right, fact_of))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(_value(left, fact_of), op, _value(right, fact_of))
    raise AssertionError(f"the reference model does not support {ast.dump(node)}")


def _logic(is_or: bool, sides: list[ast.expr], fact_of: FactOf) -> bool:
    failed = False
    for side in sides:
        try:
            if _value(side, fact_of) is is_or:
                return is_or
        except Failed:
            failed = True
    if failed:
        raise Failed
    return not is_or


def _number(node: ast.expr, fact_of: FactOf) -> int:
    value = _value(node, fact_of)
    assert type(value) is int
    return value


def _sum(left: int, op: ast.operator, right: int) -> int:
    match op:
        case ast.Add():
            found = left + right
        case ast.Sub():
            found = left - right
        case ast.Mult():
            found = left * right
        case ast.Div():
            if right == 0:
                raise Failed
            found = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        case ast.Mod():
            if right == 0:
                raise Failed
            found = abs(left) % abs(right) * (1 if left >= 0 else -1)
        case _:
            raise AssertionError(op)
    if not -(2**63) <= found < 2**63:
        raise Failed
    return found


def _compared(left: object, op: ast.cmpop, right: object) -> bool:
    match op:
        case ast.Eq():
            return left == right
        case ast.NotEq():
            return left != right
        case ast.In():
            assert isinstance(right, list)
            return left in right
    assert isinstance(left, int) and isinstance(right, int)
    match op:
        case ast.Lt():
            return left < right
        case ast.LtE():
            return left <= right
        case ast.Gt():
            return left > right
        case ast.GtE():
            return left >= right
    raise AssertionError(op)
