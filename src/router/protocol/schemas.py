"""JSON schemas of structs for the OpenAPI and AsyncAPI documents, with a description of every property.

msgspec's schemas contain types, ranges and the docstrings of classes. This module adds the docstrings below the fields of
structs and the values of enums, and replaces what only Python or this project understands:

* Docstrings are read from the source, once per module and not before a document is built; importing this module is cheap.
* A field without a docstring takes the text of ``FIELD_TEXTS``, for fields that mean the same wherever they occur.
* Double back quotes become single ones (Markdown).
* The lookahead before ``$`` at the end of patterns is removed: only in Python does ``$`` also match before a final newline.
* Fields that clients never get are removed.

``example_of`` returns an example of a struct, from the texts and values of ``_FIELD_EXAMPLES``. They name what both policies that
come with the package declare, the one that ``router init`` writes and that of ``router demo``; a test sends them to both.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Any, Final

import msgspec

from router.model.states import NOT_PERSONAL

_PYTHON_END: Final = "(?!\n)$"
_PYTHON_END_ESCAPED: Final = "(?!\\n)$"

_INTERNAL_FIELDS: Final = {"ContactQueued": ("dedupe_key", "fingerprint")}
FIELD_TEXTS: Final[dict[str, str]] = {
    "type": "Type of the event or frame.",
    "id": "Id of the client's frame, chosen by the client; the reply repeats it.",
    "contact_id": "Id of the contact.",
    "request_id": "Request of a customer: the id of its contact.",
    "resume_by_ms": "When the suspension ends unless the contact is resumed, epoch milliseconds; omitted: by the queue's policy.",
    "at_expiry": "What happens then: `end` or `queue`; omitted: by the queue's policy.",
    "if_unable": "What happens if the agent of the contact has no capacity for the channel: `refuse`, `queue` or `consult`.",
    "customer_id": "Id of the customer.",
    "merge_id": "Id of the merge.",
    "workspace": "Name of a workspace.",
    "version": "Number of a published version of the policy.",
    "proposal_id": "Id of the proposal.",
    "number": "Number of the identity.",
    "from": "The other customer; which of both wins is decided by rule: verified strong identities, then age.",
    "agent_id": "Id of the agent.",
    "supervisor_id": "Id of the supervisor: the subject of their credential.",
    "owner_agent_id": "Agent who has the contact.",
    "queue_id": "Id of the queue.",
    "assignment_id": "Id of the assignment; it is that of the accepted offer.",
    "offer_id": "Id of the offer. The assignment of an accepted offer has the same id.",
    "gateway_id": "Id of the gateway that submitted the contact; empty: none.",
    "session_id": "Id of the desktop session.",
    "from_agent_id": "Owner until this event; null: none.",
    "from_assignment_id": "Assignment of the previous owner, which ends with this event; null: none.",
    "attributes": "Attributes, declared in the policy under ``facts``.",
    "channel": "Channel.",
    "requirement": "Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it.",
    "skills": "Required skills with their levels, 1 to 10.",
    "priority_s": "Seconds of priority: the contact ranks as if it had waited that much longer; negative: shorter.",
    "priority_class": "Priority class, 0 to 9; a higher class is always served first.",
    "preferred_agents": "Agents preferred for this customer, most preferred first.",
    "last_agent_id": "Last agent of the customer; null: not known.",
    "reference": "Opaque id of the gateway for the contact; null: none.",
    "history_id": "Identifies the history; it changes only if the history is replaced.",
    "epoch": "Number of process starts recorded in the history.",
    "as_of_seq": "Sequence number of the last event that the answer includes.",
    "at_ms": "Time, epoch milliseconds.",
    "members": "All agents of the conversation after the event, with their roles; null or empty: only the owner.",
    "role": "Role of the agent in the conversation.",
    "units": "Capacity units that the contact uses.",
    "waited_ms": "Time since the submit in milliseconds, including earlier time with an agent.",
    "wait_until_ms": "When the contact overflows or expires from its queue, epoch milliseconds; null: no limit.",
    "step_until_ms": "End of the current step of its plan, epoch milliseconds; null: none.",
    "ttl_at_ms": "When its time to live ends, epoch milliseconds; null: unlimited.",
    "expires_at_ms": "When it expires, epoch milliseconds; null: never.",
    "plan": "Plan of the contact; null: that of the queue, if any.",
    "step": "Step of its plan, counted from 0.",
    "attempt": "Number of the attempt, counted from 1.",
    "paused": "Channels on which the agent is paused and gets no new offers.",
    "channel_max": "Maximum number of concurrent contacts by channel; channels not listed: as in the policy.",
    "queue_ranks": "Preference among queues with contacts of equal priority class: 1 (first) to 9; default 5.",
}


_CONTACT_ID: Final = "77e916e014576b869452a30f66ad4a44"
_TIME_MS: Final = 1_767_607_200_000
_FIELD_EXAMPLES: Final[dict[str, Any]] = {
    "id": "1",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
    "contact_id": _CONTACT_ID,
    "offer_id": f"{_CONTACT_ID}.1",
    "assignment_id": f"{_CONTACT_ID}.1",
    "agent_id": "ada",
    "supervisor_id": "sue",
    "to_agent_id": "grace",
    "queue_id": "general",
    "to_queue_id": "general",
    "gateway_id": "web",
    "session_id": "5f0c1d2e",
    "channel": "voice",
    "role": "agent",
    "workspace": "default",
    "history_id": "c8b61f0a",
    "requirement": "voice/general:english>=3",
    "reason": "longest_idle",
    "paused": ["chat"],
    "heartbeat_s": 20,
    "after_ms": 1_200,
    "extend_s": 60,
    "seq": 42,
    "until_seq": 57,
    "policy_version": 1,
    "units": 100,
    "deadline_ms": _TIME_MS + 15_000,
    "at_ms": _TIME_MS,
    "idempotency_key": "call-4711",
    "disposition": "resolved",
    "attributes": {"tier": "premium"},
    "skills": {"english": 3},
    "priority_s": 30,
    "code": "offer_not_pending",
    "title": "The offer has ended",
    "subject": _CONTACT_ID,
    "replayed": False,
    "wait_s": 120,
    "resume": "c8b61f0a:42",
    "state": "queued",
    "reference": "call-4711",
}
# Values of a field that depend on the struct; optional fields are shown only if they are named here.
_STRUCT_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "HelloFrame": {"token": _FIELD_EXAMPLES["token"], "resume": "c8b61f0a:42"},
    "SetStateFrame": {"state": "ready"},
    "SetAgentStateFrame": {"state": "not_ready", "reason": "lunch", "after_work": True},
    "DeclineFrame": {"reason": "declined"},
    "CompleteFrame": {"disposition": "resolved"},
    "TransferFrame": {"to_queue_id": "general"},
    "ConsultFrame": {"to_agent_id": "grace"},
    "RequeueFrame": {"queue_id": "general"},
    "SubmitFrame": {"idempotency_key": "call-4711"},
    "ContactFields": {
        "channel": "voice",
        "queue_id": "general",
        "skills": {"english": 3},
        "priority_s": 30,
        "attributes": {"tier": "premium"},
        "reference": "call-4711",
    },
    "UpdateFrame": {"priority_s": 60, "attributes": {"tier": "premium"}},
    "CallbackFrame": {"mode": "agent_first"},
    "CallbackResultFrame": {"outcome": "no_answer", "attempt": 1},
    "ExpectedWaitFrame": {"queue_id": "general", "channel": "voice"},
    "WatchCardFrame": {"watch": True},
    "WatchStatisticsFrame": {"by": "queue", "period": "today"},
    "StatisticsFrame": {"by": "queue", "period": "today"},
    "OkFrame": {"seq": 42, "subject": _CONTACT_ID, "state": "queued"},
    "ErrorFrame": {"id": "7", "detail": "another agent was faster", "state": "assigned", "seq": 41},
    "AgentView": {"state": "ready", "presence": "connected", "skills": {"english": 8}},
    "WelcomeFrame": {"agent": {}},
    "QueueView": {"is_open": True},
}


def example_of(kind: type) -> dict[str, Any]:
    """Return an example of a struct as plain data: its required fields, and those that ``_STRUCT_EXAMPLES`` names."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    own = _STRUCT_EXAMPLES.get(kind.__name__, {})
    values: dict[str, Any] = {} if info.tag_field is None else {info.tag_field: info.tag}
    for field in info.fields:
        value = own.get(field.name)
        if value is None and field.required:
            value = _FIELD_EXAMPLES.get(field.name)
        if value is None and not field.required:
            continue
        # The general value of a name can have the type of another struct: a state is one of several enums.
        values[field.encode_name] = value if value and _fits(value, field.type) else _example_value(field.type)
    return values


def _fits(value: Any, info: msgspec.inspect.Type) -> bool:
    if isinstance(info, msgspec.inspect.EnumType):
        return value in {member.value for member in info.cls}
    return True


def _example_value(info: Any) -> Any:
    """Return the shortest value of a type."""
    match info:
        case msgspec.inspect.UnionType():
            return _example_value(next(one for one in info.types if not isinstance(one, msgspec.inspect.NoneType)))
        case msgspec.inspect.StructType():
            return example_of(info.cls)
        case msgspec.inspect.EnumType():
            return next(iter(info.cls)).value
        case msgspec.inspect.IntType():
            return info.ge or 0
        case msgspec.inspect.BoolType():
            return False
        case msgspec.inspect.FloatType():
            return 0.0
        case msgspec.inspect.StrType():
            return "text"
        case msgspec.inspect.DictType():
            return {}
        case msgspec.inspect.NoneType():
            return None
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType() | msgspec.inspect.TupleType():
            item = getattr(info, "item_type", None)
            return [example_of(item.cls)] if isinstance(item, msgspec.inspect.StructType) else []
        case _:
            return {}


def schemas_of(kinds: Iterable[Any], ref_template: str) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """Return the schema of each type, and the components that they refer to by name, with descriptions."""
    ordered = list(kinds)
    refs, components = msgspec.json.schema_components(ordered, ref_template=ref_template)
    for kind in named_types(ordered):
        schema = components.get(kind.__name__)
        if schema is None:
            continue
        schema["description"] = description_of(kind)
        if "properties" in schema:
            internal = _INTERNAL_FIELDS.get(kind.__name__, ())
            schema["properties"] = {
                name: _described(value, field_text(kind, name))
                for name, value in schema["properties"].items()
                if name not in internal
            }
    portable: dict[str, Any] = portable_patterns(components)
    return tuple(portable_patterns(list(refs))), portable


def named_types(kinds: Iterable[Any]) -> list[type]:
    """Return the structs and enums that occur in the types, each once."""
    found: dict[type, None] = {}
    for info in msgspec.inspect.multi_type_info(list(kinds)):
        _collect(info, found)
    return list(found)


def description_of(kind: type) -> str:
    """Return the docstring of a struct or enum; of an enum, with its values and their texts."""
    text = markdown(kind.__doc__ or "")
    if not issubclass(kind, Enum):
        return text
    docs = field_docs(kind)
    lines = [
        f"* `{member.value}`: {markdown(docs[member.name])}" if member.name in docs else f"* `{member.value}`" for member in kind
    ]
    return "\n".join((text, "", *lines))


def field_docs(kind: type) -> dict[str, str]:
    """Return the docstring below each field or value of a class, by name, without those of its bases."""
    return _docs_of_module(kind.__module__).get(kind.__qualname__, {})


def portable_patterns(value: Any) -> Any:
    """Return the schema with patterns that other languages can compile."""
    if isinstance(value, dict):
        return {
            key: inner.replace(_PYTHON_END, "$").replace(_PYTHON_END_ESCAPED, "$").replace(NOT_PERSONAL, "")
            if key == "pattern" and isinstance(inner, str)
            else portable_patterns(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [portable_patterns(inner) for inner in value]
    return value


def field_text(kind: type, name: str) -> str:
    """Return the description of a field: its docstring in the class or a base, or the text common to all fields of the name."""
    for one in kind.__mro__:
        text = field_docs(one).get(name)
        if text is not None:
            return markdown(text)
    return markdown(FIELD_TEXTS.get(name, ""))


def _described(schema: dict[str, Any], text: str) -> dict[str, Any]:
    """Return the schema of a property with a description. Siblings of a reference are ignored by many readers: it is wrapped."""
    plain = dict(schema)
    if "$ref" in plain:
        plain["allOf"] = [{"$ref": plain.pop("$ref")}]
    return {"description": text, **plain} if text else plain


def _collect(info: Any, found: dict[type, None]) -> None:
    kind = getattr(info, "cls", None)
    if isinstance(kind, type) and (issubclass(kind, msgspec.Struct | Enum)):
        if kind in found:
            return
        found[kind] = None
    for inner in _parts(info):
        _collect(inner, found)


def _parts(info: Any) -> Iterator[Any]:
    """Yield the types that a type directly contains."""
    for name in getattr(type(info), "__struct_fields__", ()):
        value = getattr(info, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, msgspec.inspect.Type):
                yield one
            elif isinstance(one, msgspec.inspect.Field):
                yield one.type


@cache
def _docs_of_module(name: str) -> dict[str, dict[str, str]]:
    try:
        source = inspect.getsource(sys.modules[name])
    except (OSError, TypeError):  # Installed without sources, or a built-in module.
        return {}
    return {node.name: dict(_docs_in(node.body)) for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def _docs_in(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, after in pairwise(body):
        if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
            continue
        target: ast.expr | None = field.target if isinstance(field, ast.AnnAssign) else None
        if isinstance(field, ast.Assign) and len(field.targets) == 1:
            target = field.targets[0]
        if isinstance(target, ast.Name) and isinstance(after.value.value, str):
            yield target.id, " ".join(after.value.value.split())


def markdown(text: str) -> str:
    """Return a docstring as one line of Markdown."""
    return " ".join(text.split()).replace("``", "`")
