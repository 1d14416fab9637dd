"""One request as an operation sees it, and the answer it gives. No operation touches the web framework."""

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
    """What an operation answers: a struct (sent as JSON) or bytes of another type."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    content_type: str = "application/json"


class Effected(Struct, frozen=True, kw_only=True):
    """A command that was carried out and is durable."""

    done: Done
    epoch: int
    gen: str

    @property
    def headers(self) -> dict[str, str]:
        """Says of a repeat that it is one."""
        return {"Idempotency-Replayed": "true"} if self.done.replayed else {}


class Call:
    """One request: who asks, for what, and the ways to the writer."""

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
        """Who asks; only public operations have nobody."""
        assert self._credential is not None
        return self._credential

    @property
    def workspace(self) -> str:
        """The credential alone says which one."""
        return self.credential.workspace

    @property
    def agent_id(self) -> str | None:
        """The asking agent; None where somebody else asks."""
        return self.credential.subject if self.credential.role is Role.AGENT else None

    @property
    def gateway_id(self) -> str | None:
        """The asking gateway; None where somebody else asks."""
        return self.credential.subject if self.credential.role is Role.GATEWAY else None

    async def execute(self, command: Command, *, noun: str = "contact") -> Effected:
        """Carry out a command. ``noun``: what the path names, for agents who may not know that it exists.

        Raises ProblemRaised for a refusal and for every limit.
        """
        reply: Reply = await self._answer(
            self.backend.writer.execute(self.workspace, command, actor=self.credential.actor)
        )
        answer = reply.outcome.answer
        if isinstance(answer, Refused):
            raise self._refused(answer, noun)
        return Effected(done=answer, epoch=reply.epoch, gen=reply.gen)

    async def ask(self, question: Callable[[Engine], T]) -> Answered[T]:
        """Ask the engine; what it says includes everything that was acknowledged before."""
        answered: Answered[T] = await self._answer(
            self.backend.writer.ask(self.workspace, question)
        )
        return answered

    async def image(self) -> Imaged:
        """The state as bytes; it includes everything that was acknowledged before."""
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
            # Another agent's work looks to an agent like work that does not exist.
            return ProblemRaised(f"unknown_{noun}", field=f"{noun}_id")
        return refused(refusal)


def fault(error: InboxFull | Stopping | JournalUnavailable) -> ProblemRaised:
    """Why the writer did not carry something out, as a problem."""
    if isinstance(error, InboxFull):
        return ProblemRaised("busy")
    code = "stopping" if isinstance(error, Stopping) else "journal_unavailable"
    return ProblemRaised(code, retry_after_s=5)


def is_none_of_his(refusal: Refused) -> bool:
    """Whether an agent is refused because the thing is another's."""
    stranger = refusal.code is RefusalCode.NOT_PARTICIPANT and refusal.field == "agent_id"
    return stranger or refusal.code is RefusalCode.NOT_OWNER


Operation: TypeAlias = Callable[[Call], Awaitable[Answer]]
