"""API requests and responses as operations see them, independent of the web framework."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from router.core.engine import Engine
from router.edge.auth import Credential, Role
from router.edge.backend import Backend
from router.edge.problems import ProblemRaised, refused
from router.model.commands import Command
from router.model.errors import InboxFull, JournalUnavailable, Stopping
from router.model.outcome import Done
from router.model.refusals import RefusalCode, Refused
from router.runtime.snapshots import Imaged
from router.runtime.writer import Answered, Reply

T = TypeVar("T")


class Answer(Struct, frozen=True, kw_only=True):
    """Response of an operation: a struct, sent as JSON, or bytes of another content type."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    content_type: str = "application/json"


class Effected(Struct, frozen=True, kw_only=True):
    """Durable result of a command with its position in the history."""

    done: Done
    epoch: int
    gen: str

    @property
    def headers(self) -> dict[str, str]:
        """Response headers: ``Idempotency-Replayed`` marks the result of a repeated command."""
        return {"Idempotency-Replayed": "true"} if self.done.replayed else {}


class Call:
    """An API request: the verified credential, decoded parameters and access to the writer."""

    def __init__(
        self,
        backend: Backend,
        credential: Credential | None,
        *,
        path: dict[str, str],
        query: Any,
        body: Any,
        headers: Callable[[str], str | None],
    ) -> None:
        self.backend = backend
        self.path = path
        self.query = query
        self.body = body
        self.header = headers
        self._credential = credential

    @property
    def credential(self) -> Credential:
        """Credential of the client. Public operations have none and must not read it."""
        assert self._credential is not None
        return self._credential

    @property
    def workspace(self) -> str:
        """Workspace of the request, always that of the credential."""
        return self.credential.workspace

    @property
    def agent_id(self) -> str | None:
        """Id of the requesting agent; None for other roles."""
        return self.credential.subject if self.credential.role is Role.AGENT else None

    @property
    def gateway_id(self) -> str | None:
        """Id of the requesting gateway; None for other roles."""
        return self.credential.subject if self.credential.role is Role.GATEWAY else None

    async def execute(self, command: Command, *, noun: str = "contact") -> Effected:
        """Execute a command and wait until it is durable.

        ``noun``: kind of the resource in the path; an agent who may not see the resource gets ``unknown_<noun>``. Raises
        ProblemRaised for a refusal, an overload or a timeout.
        """
        reply: Reply = await self._answer(
            self.backend.writer.execute(self.workspace, command, actor=self.credential.actor)
        )
        answer = reply.outcome.answer
        if isinstance(answer, Refused):
            raise self._refused(answer, noun)
        return Effected(done=answer, epoch=reply.epoch, gen=reply.gen)

    async def ask(self, question: Callable[[Engine], T]) -> Answered[T]:
        """Evaluate a query on the engine. The result includes every command acknowledged before the call."""
        answered: Answered[T] = await self._answer(
            self.backend.writer.ask(self.workspace, question)
        )
        return answered

    async def image(self) -> Imaged:
        """Return the encoded state. It includes every command acknowledged before the call."""
        image: Imaged = await self._answer(self.backend.writer.image(self.workspace))
        return image

    async def _answer(self, answer: Awaitable[Any]) -> Any:
        timeout_s = self.backend.settings.edge.answer_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except (InboxFull, Stopping, JournalUnavailable) as error:
            raise fault(error) from None
        except TimeoutError:
            raise ProblemRaised("answer_timeout") from None

    def _refused(self, refusal: Refused, noun: str) -> ProblemRaised:
        if self.agent_id is not None and is_none_of_his(refusal):
            # To an agent, the work of another agent must look like work that does not exist.
            return ProblemRaised(f"unknown_{noun}", field=f"{noun}_id")
        return refused(refusal)


def fault(error: InboxFull | Stopping | JournalUnavailable) -> ProblemRaised:
    """Return the problem for a command that the writer could not execute."""
    if isinstance(error, InboxFull):
        return ProblemRaised("busy")
    code = "stopping" if isinstance(error, Stopping) else "journal_unavailable"
    return ProblemRaised(code, retry_after_s=5)


def is_none_of_his(refusal: Refused) -> bool:
    """Return whether an agent was refused because the resource belongs to another agent."""
    is_outsider = refusal.code is RefusalCode.NOT_PARTICIPANT and refusal.field == "agent_id"
    return is_outsider or refusal.code is RefusalCode.NOT_OWNER


Operation: TypeAlias = Callable[[Call], Awaitable[Answer]]
