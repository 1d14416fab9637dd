"""Id types. All ids are text; the aliases say what an id identifies.

Ids that come from outside match ``ID_PATTERN``. An offer's id is ``<contact_id>.<n>`` (the contact's n-th offer). The
assignment that results from an accepted offer keeps the offer's id.
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

# In Python `$` also matches before a trailing newline; the lookahead excludes it.
ID_PATTERN: Final = r"^[A-Za-z0-9._:-]{1,128}(?!\n)$"
NAME_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,63}(?!\n)$"

# An id chosen by a client.
Ident: TypeAlias = Annotated[str, Meta(pattern=ID_PATTERN, max_length=128)]
# A name declared in a policy: of a queue, skill, channel or fact.
Name: TypeAlias = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=64)]
