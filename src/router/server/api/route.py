"""An operation of the HTTP API as the route table describes it."""

from typing import Any, Final

from msgspec import Struct

from router.server.api.bodies import EmptyQuery
from router.server.api.request import Operation

# Operations other than GET that execute no command of the engine, besides those on customers.
_WITHOUT_COMMAND: Final = frozenset(
    {"check_policy", "try_policy", "issue_ws_ticket", "preview_bulk", "create_workspace", "remove_workspace"}
)


class Route(Struct, frozen=True, kw_only=True):
    """An operation of the API: path, handler, body and query types, and problem codes."""

    method: str
    path: str
    operation: Operation
    response_type: Any
    body_type: Any = None
    """Type of the request body; None: no body. A body whose fields all have defaults may be omitted."""
    query_type: Any = EmptyQuery
    status: int = 200
    other_status: int | None = None
    """Second status of a success, such as 201 where the operation created something and 200 where it was there."""
    tag: str
    problem_codes: tuple[str, ...] = ()
    """Problem codes of this operation besides those common to all operations."""
    is_policy_document: bool = False
    """Whether the body is a policy document in YAML or JSON, parsed by the policy parser, which reports all errors."""

    @property
    def name(self) -> str:
        """Operation name, used in permissions, metrics and the OpenAPI document."""
        return self.operation.__name__

    @property
    def is_guarded(self) -> bool:
        """Whether it executes a command, so that it honours idempotency keys and preconditions."""
        return self.method != "GET" and self.tag != "customers" and self.name not in _WITHOUT_COMMAND

    @property
    def summary(self) -> str:
        """First line of the operation's docstring."""
        return (self.operation.__doc__ or "").strip().split("\n")[0]
