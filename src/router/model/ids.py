"""The names of things. All are text; the aliases say which thing is meant.

Ids that come from outside match ``ID_PATTERN``. An offer's id is ``<contact_id>.<n>`` (the contact's n-th offer), and the
assignment that an accepted offer becomes keeps that id: one thing, one name, from offer to wrap-up.
"""

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

ContactId: TypeAlias = str
AgentId: TypeAlias = str
QueueId: TypeAlias = str
OfferId: TypeAlias = str
AssignmentId: TypeAlias = str
GatewayId: TypeAlias = str
WorkspaceId: TypeAlias = str

# The lookahead keeps out the trailing newline that `$` alone lets through in Python.
ID_PATTERN: Final = r"^[A-Za-z0-9._:-]{1,128}(?!\n)$"
NAME_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,63}(?!\n)$"

# What a caller may choose as an id.
Ident: TypeAlias = Annotated[str, Meta(pattern=ID_PATTERN, max_length=128)]
# What a policy may choose as the name of a queue, skill, channel or fact.
Name: TypeAlias = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=64)]
