"""API requests and responses as operations see them, and the services that operations use.

Nothing here depends on the HTTP implementation. An operation gets an ``ApiRequest``, executes commands or queries through it
and returns an ``ApiResponse``; refusals and limits are raised as ``ProblemError``.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from router.cluster.status import LeaderUrl, no_leader_url
from router.cluster.view import ClusterView
from router.context.service import ContextService
from router.engine.engine import Engine
from router.journal.port import Journal
from router.model.commands import (
    Command,
    GuardedCommand,
    PlainCommand,
    PutAgent,
    SetAgentChannels,
    SetQueueOpen,
    UpdateAgent,
    UpdateContact,
)
from router.model.errors import CommandQueueFull, JournalUnavailable, NotFollowed, RouterError, Stopping
from router.model.filters import SupervisorScope
from router.model.results import Done, Refused
from router.records.service import RecordService
from router.runtime.event_feed import Publisher
from router.runtime.shadow_runner import ShadowRunner
from router.runtime.snapshots import StateImage
from router.runtime.workspace import QueryResult, Reply
from router.runtime.writer import Writer
from router.server.api.admission import AdmissionControl, NewBucket, local_bucket, whole_seconds
from router.server.api.guards import guarded, idempotency_key, precondition
from router.server.api.problems import ProblemError, problem_from_refusal
from router.server.api.request_watch import RequestPolls, RequestWatch
from router.server.auth.credentials import Authenticator, Credential, Role
from router.server.auth.failures import AuthFailures
from router.server.auth.tickets import Tickets
from router.server.customers.live_customers import LiveCustomers
from router.server.customers.presence import CustomerPresence
from router.server.references import NO_REFERENCES, References
from router.server.statistics_turns import StatisticsTurns
from router.settings import Settings
from router.statistics.workspace import WorkspaceStats
from router.telemetry.process_metrics import ProcessMetrics

if TYPE_CHECKING:
    from router.cluster.following import Following


@dataclass(slots=True)
class Readiness:
    """Whether the process accepts work. Set by the composition root; read by probes and admission control."""

    ready: bool = False
    stopping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """References to everything the server needs from the rest of the process."""

    settings: Settings
    authenticator: Authenticator
    tickets: Tickets
    writer: Writer
    publisher: Publisher
    journal: Journal
    shadow_runner: ShadowRunner
    stats: Mapping[str, WorkspaceStats]
    """Statistics by workspace, computed from the published events."""
    context: ContextService | None = None
    """Customer context; none where it is switched off."""
    references: References = NO_REFERENCES
    """References of contacts, which events and views of the engine do not carry."""
    references_in_journal: Mapping[str, int] = field(default_factory=dict)
    """Contacts by workspace whose reference an earlier version left in the journal, as far as they were counted."""
    records: RecordService | None = None
    """Records of ended contacts; none where they are switched off."""
    customers: LiveCustomers | None = None
    """Facts and cards of the customers of live contacts; none where the customer context is switched off."""
    new_bucket: NewBucket = local_bucket
    """Makes the buckets of the rates of clients."""
    on_workspace_created: Callable[[str], None] = lambda _: None
    """Called with the name of a workspace that was created while the router runs, once it is durable."""
    on_workspace_removed: Callable[[str], None] = lambda _: None
    """Called when the workspace is removed: its metrics end."""
    removals: set[str] = field(default_factory=set)
    """Workspaces that are being removed: their tokens are refused, and they are not created again."""
    workspace_tasks: set[asyncio.Task[Reply]] = field(default_factory=set)
    """Creations and removals of workspaces that are not durable yet; they go on if the client does not wait for them."""
    close_refused_sockets: Callable[[], None] = lambda: None
    """Closes the sockets whose credential is no longer accepted."""
    run: str = ""
    """Name of this start of the node among several on one store; empty: the router is alone."""
    following: "Following | None" = None
    """Which workspaces this node follows, of several on one store; None: every one."""
    leader_url: LeaderUrl = no_leader_url
    """Returns what the router that leads a workspace advertises to clients."""
    readiness: Readiness = field(default_factory=Readiness)
    statistics_turns: StatisticsTurns = field(default_factory=StatisticsTurns)
    process_metrics: ProcessMetrics = field(default_factory=ProcessMetrics)
    admission: AdmissionControl = field(init=False)
    request_watch: RequestWatch = field(init=False)
    request_polls: RequestPolls = field(init=False)
    customer_presence: CustomerPresence = field(init=False)
    auth_failures: AuthFailures = field(init=False)
    cluster: ClusterView = field(init=False)
    store_durability: str | UnsetType = field(init=False)
    """Level of the store, which receipts show; unset with a journal in files."""

    def __post_init__(self) -> None:
        requests, store = self.settings.requests, self.settings.store
        object.__setattr__(self, "store_durability", UNSET if store.url is None else str(store.durability))
        object.__setattr__(self, "admission", AdmissionControl(self.settings, new_bucket=self.new_bucket))
        object.__setattr__(self, "request_watch", RequestWatch(self.writer))
        object.__setattr__(self, "customer_presence", CustomerPresence(self.writer, run=self.run))
        self.request_watch.on_away = self.customer_presence.note_away
        object.__setattr__(
            self,
            "request_polls",
            RequestPolls(
                credential_max=requests.credential_polls_max, token_max=requests.token_connections_max, count_max=requests.polls_max
            ),
        )
        object.__setattr__(self, "cluster", ClusterView(store, self.journal))
        object.__setattr__(self, "auth_failures", AuthFailures(self.process_metrics.auth_failures, self.settings.auth))


T = TypeVar("T")

_encode: Final = msgspec.json.Encoder().encode

# Commands whose answer has the new entity tag of their object.
_EVERYTHING: Final = SupervisorScope()
TAGGED_WRITES: Final = frozenset({UpdateContact, PutAgent, UpdateAgent, SetAgentChannels, SetQueueOpen})


class ApiResponse(Struct, frozen=True, kw_only=True):
    """Response of an operation: a struct, sent as JSON, or bytes of another content type."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    content_type: str = "application/json"


async def encode_in_turns(items: Iterable[Any], count: int) -> tuple[Any, ...]:
    """Return the items as encoded JSON, to be put into a body; other tasks run after ``count`` items."""
    encoded: list[msgspec.Raw] = []
    for item in items:
        encoded.append(msgspec.Raw(_encode(item)))
        if len(encoded) % count == 0:
            await asyncio.sleep(0)
    return tuple(encoded)


class AppliedCommand(Struct, frozen=True, kw_only=True):
    """Durable result of a command with its position in the history."""

    result: Done
    epoch: int
    history_id: str
    durability: str | UnsetType = UNSET
    """Level of the store that has confirmed it; unset with a journal in files."""


class ApiRequest:
    """An API request: the verified credential, decoded parameters and access to the writer."""

    def __init__(
        self,
        services: Services,
        credential: Credential | None,
        *,
        path_params: dict[str, str],
        query_params: Any,
        body: Any,
        header: Callable[[str], str | None],
        release: Callable[[], None] = lambda: None,
        on_lost: Callable[[Callable[[], None]], None] = lambda _: None,
    ) -> None:
        """``release``: count the request as executed, because it only waits from now on.

        ``on_lost``: have a callback called if the client's connection is lost before the answer.
        """
        self.on_lost = on_lost
        self.release = release
        self.services = services
        self.path_params = path_params
        self.query_params = query_params
        self.body = body
        self.header = header
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
    def scope(self) -> SupervisorScope:
        """Scope of the requesting supervisor; that of all others hides nothing."""
        return self.credential.scope or _EVERYTHING

    @property
    def gateway_id(self) -> str | None:
        """Id of the requesting gateway; None for other roles."""
        return self.credential.subject if self.credential.role is Role.GATEWAY else None

    async def execute(
        self, command: PlainCommand, *, payload: bytes | None = None, is_condition_required: bool = False
    ) -> AppliedCommand:
        """Execute a command, once per ``Idempotency-Key`` and under the preconditions of the request; wait until it is durable.

        ``payload``: what a repeat with the same key must send again; None: the fields of the command.
        ``is_condition_required``: refuse a request without ``If-Match`` that would replace something. Raises ProblemError for a
        refusal, an overload, a timeout, or an object that changes too often.
        """
        key = idempotency_key(self.header)
        condition = precondition(self.header, is_required=is_condition_required)
        guard: Command = command
        is_limited = self.credential.scope is not None
        if key is not None or condition is not None or is_limited or type(command) in TAGGED_WRITES:
            guard = guarded(self.credential, command, key=key, condition=condition, payload=payload)
        exceeded = self.services.admission.state_change_refusal(self.credential, command)
        if exceeded is not None:
            raise ProblemError("rate_limited", exceeded.detail, retry_after_s=whole_seconds(exceeded.wait_s))
        reply: Reply = await self._answer(self.services.writer.execute(self.workspace, guard, actor=self.credential.actor))
        answer = reply.outcome.result
        if isinstance(answer, Refused):
            raise problem_from_refusal(answer)
        epoch = reply.epoch
        if answer.replayed and key is not None:
            # A repeat gets the first answer unchanged, even after a restart.
            records = await self.services.journal.read(self.workspace, after_seq=answer.seq - 1, limit=1)
            epoch = records[0].epoch if records else epoch
        return AppliedCommand(result=answer, epoch=epoch, history_id=reply.history_id, durability=self.services.store_durability)

    async def execute_guarded(self, guard: GuardedCommand) -> Done:
        """Execute one of several commands of a request under a key of its own. Raises ProblemError as ``execute``."""
        exceeded = self.services.admission.state_change_refusal(self.credential, guard)
        if exceeded is not None:
            raise ProblemError("rate_limited", exceeded.detail, retry_after_s=whole_seconds(exceeded.wait_s))
        reply: Reply = await self._answer(self.services.writer.execute(self.workspace, guard, actor=self.credential.actor))
        if isinstance(reply.outcome.result, Refused):
            raise problem_from_refusal(reply.outcome.result)
        return reply.outcome.result

    async def execute_unguarded(self, command: PlainCommand) -> None:
        """Execute a further command of a request, without its idempotency key. Raises ProblemError as ``execute``."""
        reply: Reply = await self._answer(self.services.writer.execute(self.workspace, command, actor=self.credential.actor))
        if isinstance(reply.outcome.result, Refused):
            raise problem_from_refusal(reply.outcome.result)

    async def execute_in(self, workspace: str, command: PlainCommand) -> Done:
        """Execute a command in another workspace. Raises ProblemError as ``execute``."""
        reply: Reply = await self._answer(self.services.writer.execute(workspace, command, actor=self.credential.actor))
        if isinstance(reply.outcome.result, Refused):
            raise problem_from_refusal(reply.outcome.result)
        return reply.outcome.result

    async def create_workspace(self, workspace: str, command: PlainCommand) -> None:
        """Make the history of a workspace and execute its first command there. Raises ProblemError as ``execute``.

        It is accepted as soon as it is durable, even if the request has ended before.
        """
        services, actor = self.services, self.credential.actor

        async def create() -> Reply:
            if services.following is None:
                await services.writer.add_workspace(workspace)
            else:
                await services.following.make(workspace)
            reply = await services.writer.execute(workspace, command, actor=actor)
            if (
                workspace in services.writer.created_workspaces
                and workspace not in services.authenticator.workspaces | services.removals
            ):
                services.on_workspace_created(workspace)
            return reply

        await self._finish(workspace, create())

    async def remove_workspace(self, workspace: str, command: PlainCommand) -> None:
        """Execute the last command of a workspace. Raises ProblemError as ``execute``.

        Its tokens are accepted again only if it is still there once the command has ended, however long that takes.
        """
        services, actor = self.services, self.credential.actor

        async def remove() -> Reply:
            try:
                return await services.writer.execute(workspace, command, actor=actor)
            finally:
                if workspace in services.writer.created_workspaces:
                    services.authenticator.add_workspace(workspace)
                else:
                    services.on_workspace_removed(workspace)
                services.removals.discard(workspace)

        await self._finish(workspace, remove())

    async def _finish(self, workspace: str, work: Coroutine[Any, Any, Reply]) -> None:
        """Wait for work on a workspace that goes on to its end, whatever becomes of the request."""
        task = asyncio.create_task(work)
        if (following := self.services.following) is not None:
            following.enter(workspace)
            task.add_done_callback(lambda _: following.leave(workspace))
        self.services.workspace_tasks.add(task)
        task.add_done_callback(self.services.workspace_tasks.discard)
        reply: Reply = await self._answer(asyncio.shield(task))
        if isinstance(reply.outcome.result, Refused):
            raise problem_from_refusal(reply.outcome.result)

    async def query_engine(self, question: Callable[[Engine], T]) -> QueryResult[T]:
        """Evaluate a query on the engine. The result includes every command acknowledged before the call."""
        answered: QueryResult[T] = await self._answer(self.services.writer.query(self.workspace, question))
        return answered

    async def query_in_slices(self, question: Callable[[Engine], Generator[None, None, T]]) -> QueryResult[T]:
        """Evaluate a long query on the engine in turns, between which commands are executed.

        The result includes every command acknowledged before the call; its position is that of the last turn.
        """
        answered: QueryResult[T] = await self._answer(self.services.writer.query_in_slices(self.workspace, question))
        return answered

    async def state_image(self) -> StateImage:
        """Return the encoded state. It includes every command acknowledged before the call."""
        image: StateImage = await self._answer(self.services.writer.capture_state(self.workspace))
        return image

    async def _answer(self, answer: Awaitable[Any]) -> Any:
        timeout_s = self.services.settings.server.answer_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except (CommandQueueFull, Stopping, JournalUnavailable) as error:
            raise problem_from_fault(error) from None
        except NotFollowed:
            raise ProblemError("not_ready", NOT_FOLLOWED_DETAIL, retry_after_s=1) from None
        except TimeoutError:
            raise ProblemError("answer_timeout") from None


QUEUE_FULL_DETAIL: Final = (
    "too many commands wait (`runtime.command_queue_count_max`), or submits wait too long (`runtime.submit_wait_ms_max`)"
)


NOT_FOLLOWED_DETAIL: Final = "this router begins to follow the workspace, which takes a while at present; retry"


async def follow_first(services: Services, workspace: str) -> None:
    """Wait until this node follows a workspace. Raises ProblemError where that takes too long or fails."""
    if services.following is not None:
        try:
            await services.following.ensure(workspace)
        except RouterError:
            raise ProblemError("not_ready", NOT_FOLLOWED_DETAIL, retry_after_s=1) from None


@asynccontextmanager
async def held_workspace(services: Services, workspace: str) -> AsyncIterator[None]:
    """Follow a workspace that is not that of the request to the end of the block. Raises ProblemError as ``follow_first``."""
    following = services.following
    if following is None:
        yield
        return
    following.enter(workspace)
    try:
        await follow_first(services, workspace)
        yield
    finally:
        following.leave(workspace)


def problem_from_fault(error: CommandQueueFull | Stopping | JournalUnavailable) -> ProblemError:
    """Return the problem for a command that the writer could not execute."""
    if isinstance(error, CommandQueueFull):
        return ProblemError("busy", QUEUE_FULL_DETAIL)
    code = "stopping" if isinstance(error, Stopping) else "journal_unavailable"
    return ProblemError(code, retry_after_s=5)


Operation: TypeAlias = Callable[[ApiRequest], Awaitable[ApiResponse]]


class RandomIds:
    """Random ids of one length, drawn in one system call for hundreds. For one thread; a forked process must create its own."""

    def __init__(self, size_bytes: int) -> None:
        """Return ids of ``size_bytes`` random bytes each, as twice as many hexadecimal digits."""
        self._digits: Final = size_bytes * 2
        self._count: Final = _RANDOM_BYTES_DRAWN // size_bytes
        self._ready: list[str] = []

    def next(self) -> str:
        """Return an id that was not returned before."""
        if not self._ready:
            digits = self._digits
            drawn = secrets.token_hex(digits // 2 * self._count)
            self._ready = [drawn[start : start + digits] for start in range(0, len(drawn), digits)]
        return self._ready.pop()


class AscendingIds:
    """Random ids of one length, each greater than the one before. For one thread; a forked process must create its own.

    Hundreds of ids are drawn at once and used in ascending order. They begin with the time in milliseconds at which they were
    drawn, or the next millisecond if the clock has not advanced since the last draw.
    """

    def __init__(self, size_bytes: int, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Return ids of ``size_bytes`` bytes each, of which six are the time. ``now_ns`` is replaced in tests."""
        self._random_bytes: Final = size_bytes - _TIME_BYTES
        self._now_ns = now_ns
        self._last_ms = 0
        self._ready: list[str] = []

    def next(self) -> str:
        """Return an id that was not returned before."""
        if not self._ready:
            digits = 2 * self._random_bytes
            self._last_ms = max(self._now_ns() // 1_000_000, self._last_ms + 1)
            time_digits = f"{self._last_ms:0{2 * _TIME_BYTES}x}"
            drawn = secrets.token_hex(_RANDOM_BYTES_DRAWN // self._random_bytes * self._random_bytes)
            self._ready = [time_digits + drawn[start : start + digits] for start in range(0, len(drawn), digits)]
            self._ready.sort(reverse=True)
        return self._ready.pop()


_TIME_BYTES: Final = 6
_RANDOM_BYTES_DRAWN: Final = 4096

new_request_id: Final = RandomIds(8).next
"""Return a fresh request id of 16 hexadecimal digits."""
