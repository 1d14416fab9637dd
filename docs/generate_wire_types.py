"""Generate the types and tables of the JavaScript client from the structs of the protocol (part of ``make docs``).

``wire.d.ts`` declares every frame, event and view, and the bodies of the HTTP operations that the client uses, with the texts of
their fields. ``wire_tables.js`` has what the client decides by while it runs: the audience of each type of event, the close codes
that forbid to reconnect, and the codes of problems of a router that is not available. A test fails when a file is out of date.
"""

import textwrap
from enum import Enum
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from router.client.customers import StepsReceipt
from router.client.requests import CreatedRequest
from router.context.cards import Card, CardNote
from router.context.customers import CustomerView, Resolved
from router.context.identities import Identity
from router.context.journey import StepFields
from router.context.verification import Verified
from router.model.events import Event
from router.model.filters import BulkPreview, BulkReceipt
from router.model.operations import Requester
from router.model.policy import Policy
from router.model.request_views import RequestView
from router.model.views import WaitingView
from router.protocol.audience import EVENT_AUDIENCE
from router.protocol.close_codes import CloseCode, may_reconnect
from router.protocol.frames import CommandFrame, CustomerFrame, DesktopFrame, GatewayFrame, ServerFrame, SupervisorFrame
from router.protocol.problem_types import PROBLEMS
from router.protocol.schemas import description_of, field_docs, field_text, markdown

SDK: Final = Path(__file__).parents[1] / "src" / "router" / "web" / "sdk"
TYPES_FILE: Final = SDK / "wire.d.ts"
TABLES_FILE: Final = SDK / "wire_tables.js"
_UNIONS: Final = {
    "ServerFrame": ServerFrame,
    "DesktopFrame": DesktopFrame,
    "GatewayFrame": GatewayFrame,
    "SupervisorFrame": SupervisorFrame,
    "CustomerFrame": CustomerFrame,
    "Event": Event,
}
_OF_HTTP: Final = (
    *(RequestView, CreatedRequest, WaitingView, BulkPreview, BulkReceipt, Card, CardNote),
    *(Resolved, CustomerView, Verified, StepFields, Identity, StepsReceipt, Requester),
)
# Fields that no client gets.
_HIDDEN: Final = frozenset({"dedupe_key", "fingerprint", "token_hash"})
_WIDTH: Final = 130
_TYPES_HEAD: Final = """\
// Frames, events and views of the router's protocol. Generated from src/router/protocol by docs/generate_wire_types.py.
// Fields with a `?` are left out where they have their default; the router may add fields and types.
"""
_TABLES_HEAD: Final = """\
// Tables of the router's protocol. Generated from src/router/protocol by docs/generate_wire_types.py.
"""


def types_text() -> str:
    """Return the text of ``wire.d.ts``."""
    parts = [_TYPES_HEAD]
    texts: dict[str, str] = {}
    waiting: list[type] = [CommandFrame, *_OF_HTTP, *(kind for union in _UNIONS.values() for kind in get_args(union))]
    while waiting:
        kind = waiting.pop()
        if kind.__name__ not in texts:
            used: list[type] = []
            texts[kind.__name__] = _enum(kind) if issubclass(kind, Enum) else _interface(kind, used)
            waiting += used
    parts += [text for _, text in sorted(texts.items())]
    for name, union in _UNIONS.items():
        members = "".join(f"\n  | {kind.__name__}" for kind in get_args(union))
        parts.append(f"export type {name} ={members};\n")
    by_type = "".join(f'  "{_tag(kind)}": {kind.__name__};\n' for kind in get_args(Event))
    parts.append(f"/** Events by their type. */\nexport interface EventsByType {{\n{by_type}}}\n")
    codes = "".join(f'\n  | "{code}"' for code in sorted(PROBLEMS))
    parts.append(f"/** Codes of problems, as of this version. */\nexport type ProblemCode ={codes};\n")
    return "\n".join(parts)


def tables_text() -> str:
    """Return the text of ``wire_tables.js``."""
    audience = [f'  "{_tag(kind)}": [{_strings(one)}, {_strings(several)}],' for kind, (one, several) in EVENT_AUDIENCE.items()]
    permanent = [int(code) for code in CloseCode if code < 4500 and not may_reconnect(code) and code != CloseCode.NORMAL]
    unavailable = sorted(code for code, kind in PROBLEMS.items() if kind.status == 503)
    lines = [
        _TABLES_HEAD,
        "/** By type of event: fields that name one agent who receives it, and fields that name several. */",
        "/** @type {Readonly<Record<string, readonly [readonly string[], readonly string[]]>>} */",
        "export const EVENT_AUDIENCE = {",
        *audience,
        "};\n",
        "/** Close codes below 4500 that forbid to reconnect, besides those that no router sends. */",
        f"export const PERMANENT_CLOSE_CODES = Object.freeze([{', '.join(str(code) for code in permanent)}]);\n",
        "/** Codes of problems of a router that is not available now. */",
        "export const UNAVAILABLE_CODES = Object.freeze([",
        *(f"  {_quoted(code)}," for code in unavailable),
        "]);",
    ]
    return "\n".join(lines) + "\n"


def _tag(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]


def _quoted(text: str) -> str:
    return f'"{text}"'


def _strings(names: tuple[str, ...]) -> str:
    return f"[{', '.join(_quoted(name) for name in names)}]"


def _enum(kind: type[Enum]) -> str:
    docs = field_docs(kind)
    values = []
    for member in kind:
        values += _comment(docs.get(member.name, ""), "  ")
        values.append(f"  | {_literal(member.value)}")
    return "\n".join([*_comment(kind.__doc__ or "", ""), f"export type {kind.__name__} =", *values]) + ";\n"


def _interface(kind: type, used: list[type]) -> str:
    """Return the declaration of a struct; append the types of its fields to ``used``."""
    info: Any = msgspec.inspect.type_info(kind)
    is_command = issubclass(kind, CommandFrame) and kind is not CommandFrame
    head = f"export interface {kind.__name__} {'extends CommandFrame ' if is_command else ''}{{"
    lines = [*_comment(description_of(kind).split("\n\n")[0], ""), head]
    if info.tag_field is not None and kind is not CommandFrame:
        lines.append(f'  readonly {info.tag_field}: "{info.tag}";')
    inherited = {field.name for field in msgspec.structs.fields(CommandFrame)} if is_command else set()
    for field in info.fields:
        if field.name not in _HIDDEN | inherited:
            lines += _comment(field_text(kind, field.name), "  ")
            mark = "" if field.required else "?"
            lines.append(f"  readonly {field.encode_name}{mark}: {_type(field.type, used)};")
    return "\n".join([*lines, "}"]) + "\n"


def _comment(text: str, indent: str) -> list[str]:
    plain = markdown(text).replace("*/", "* /")
    if not plain:
        return []
    if len(plain) + len(indent) <= _WIDTH - 7:
        return [f"{indent}/** {plain} */"]
    wrapped = textwrap.wrap(plain, width=_WIDTH - len(indent) - 3, break_on_hyphens=False, break_long_words=False)
    return [f"{indent}/**", *(f"{indent} * {line}" for line in wrapped), f"{indent} */"]


def _literal(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)


def _type(info: Any, used: list[type]) -> str:
    """Return the TypeScript type of a type; append the structs and enums in it to ``used``."""
    match info:
        case msgspec.inspect.Metadata():
            return _type(info.type, used)
        case msgspec.inspect.StructType() if info.cls is Policy:
            return "Readonly<Record<string, unknown>>"
        case msgspec.inspect.StructType() | msgspec.inspect.EnumType():
            used.append(info.cls)
            return str(info.cls.__name__)
        case msgspec.inspect.StrType() | msgspec.inspect.BytesType():
            return "string"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return "number"
        case msgspec.inspect.BoolType():
            return "boolean"
        case msgspec.inspect.NoneType():
            return "null"
        case msgspec.inspect.LiteralType():
            return " | ".join(_literal(value) for value in info.values)
        case msgspec.inspect.DictType():
            return f"Readonly<Record<string, {_type(info.value_type, used)}>>"
        case msgspec.inspect.TupleType():
            return f"readonly [{', '.join(_type(one, used) for one in info.item_types)}]"
        case msgspec.inspect.UnionType():
            return " | ".join(dict.fromkeys(_type(one, used) for one in info.types))
    item = getattr(info, "item_type", None)
    if item is not None:
        inner = _type(item, used)
        return f"readonly ({inner})[]" if " | " in inner else f"readonly {inner}[]"
    return "unknown"


def main() -> None:
    """Write both files."""
    TYPES_FILE.write_text(types_text())
    TABLES_FILE.write_text(tables_text())


if __name__ == "__main__":
    main()
