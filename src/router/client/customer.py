"""Client of a customer: shows one request and takes the choice, for apps and their tests.

Unlike the clients of desktops and gateways it keeps no state of its own: every frame of the router is the whole request as it is
now, so after a lost connection the next frame is all that was missed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, ClassVar, Final, Self

import msgspec
from msgspec import UNSET, UnsetType
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from router.client.errors import NotConnected, OutcomeUnknown, PermanentlyClosed, RouterRefused
from router.client.reconnect import Backoff
from router.model.events.contact import TimeWindow
from router.model.request_views import RequestView
from router.model.states import GoalOutcome
from router.protocol import frames as f
from router.protocol.close_codes import may_reconnect
from router.protocol.codec import JSON

_REPLY_TIMEOUT_S: Final = 10.0
_Received = f.StateFrame | f.OkFrame | f.ErrorFrame | f.PongFrame | f.ReconnectFrame


class CustomerClient:
    """Socket of one customer. ``url`` is ``ws://host:port`` or ``wss://host:port``, ``token`` that of the request."""

    path: ClassVar[str] = "/v1/customer"

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/") + self.path
        self._token = token
        self._socket: ClientConnection | None = None
        self._replies: dict[str, asyncio.Future[f.OkFrame]] = {}
        self._states: asyncio.Queue[RequestView | None] = asyncio.Queue(maxsize=1)
        self._closed: PermanentlyClosed | None = None
        self._number = 0
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._backoff = Backoff()
        self._decode = msgspec.json.Decoder(_Received).decode
        self.request: RequestView | None = None
        """The request as the router has shown it last."""

    async def __aenter__(self) -> Self:
        """Connect and wait for the request. Raises PermanentlyClosed or NotConnected."""
        self._first = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                await asyncio.shield(self._first)
        except TimeoutError:
            await self.close()
            raise NotConnected("the router did not answer in time") from None
        except PermanentlyClosed:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the socket; the request goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    async def states(self) -> AsyncIterator[RequestView]:
        """Iterate over the request as it changes, until it has ended. Only the newest is kept for a reader who is slow."""
        while True:
            view = await self._states.get()
            if view is None:
                if self._closed is not None:
                    raise self._closed
                return
            yield view
            if view.outcome is not None:
                return

    # --- what a customer does ------------------------------------------------------------------------------------------
    async def choose(self, option: str, *, window: TimeWindow | None = None) -> f.OkFrame:
        """Choose an option. Raises RouterRefused, OutcomeUnknown, NotConnected or PermanentlyClosed, as the others."""
        return await self._send(f.ChooseFrame(id=self._next_id(), option=option, window=window))

    async def answer(
        self,
        *,
        outcome: GoalOutcome | UnsetType | None = UNSET,
        ease: int | UnsetType | None = UNSET,
        effort: int | UnsetType | None = UNSET,
        satisfaction: int | UnsetType | None = UNSET,
    ) -> f.OkFrame:
        """Answer whether it was done and how easy it was; again to correct it. What is unset stays; None takes it back."""
        return await self._send(
            f.AnswerFrame(id=self._next_id(), outcome=outcome, ease=ease, effort=effort, satisfaction=satisfaction)
        )

    async def cancel(self) -> f.OkFrame:
        """Leave: the choice, the wait, the callback or the conversation ends."""
        return await self._send(f.CancelRequestFrame(id=self._next_id()))

    async def suspend(self) -> f.OkFrame:
        """Stop for now, and resume later."""
        return await self._send(f.SuspendRequestFrame(id=self._next_id()))

    async def resume(self, *, channel: str | None = None) -> f.OkFrame:
        """Resume a suspended request, on another channel or the same."""
        return await self._send(f.ResumeRequestFrame(id=self._next_id(), channel=channel))

    async def switch_channel(self, channel: str) -> f.OkFrame:
        """Go on on another of the ``channels`` of the request; on the present one: give up a switch in progress."""
        return await self._send(f.SwitchRequestChannelFrame(id=self._next_id(), channel=channel))

    def _next_id(self) -> str:
        self._number += 1
        return str(self._number)

    async def _send(self, frame: Any) -> f.OkFrame:
        if self._closed is not None:
            raise self._closed
        socket = self._socket
        if socket is None:
            raise NotConnected("the connection is lost; it is opened again")
        reply: asyncio.Future[f.OkFrame] = asyncio.get_running_loop().create_future()
        self._replies[frame.id] = reply
        try:
            await socket.send(msgspec.json.encode(frame).decode())
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                return await reply
        except (TimeoutError, ConnectionClosed):
            raise OutcomeUnknown("the connection was lost before the reply") from None
        finally:
            self._replies.pop(frame.id, None)

    # --- the connection ------------------------------------------------------------------------------------------------
    async def _run(self) -> None:
        while self._closed is None:
            opened_s = time.monotonic()
            try:
                async with connect(self._url, subprotocols=[Subprotocol(JSON)], open_timeout=_REPLY_TIMEOUT_S) as socket:
                    await socket.send(msgspec.json.encode(f.HelloFrame(token=self._token)).decode())
                    self._socket = socket
                    async for message in socket:
                        with contextlib.suppress(msgspec.ValidationError):  # A frame of a newer router.
                            self._receive(self._decode(message))
            except (OSError, TimeoutError, WebSocketException):
                pass
            code = None if self._socket is None else self._socket.close_code
            self._socket = None
            self._fail_replies()
            if not may_reconnect(code) or code == 4401:
                self._end(PermanentlyClosed(code or 0, "the token is not valid, or no longer"))
                return
            self._backoff.connection_lasted(time.monotonic() - opened_s)
            await asyncio.sleep(self._backoff.next_delay_s())

    def _receive(self, frame: _Received) -> None:
        match frame:
            case f.StateFrame(request=view):
                self.request = view
                if self._states.full():
                    self._states.get_nowait()
                self._states.put_nowait(view)
                if self._first is not None and not self._first.done():
                    self._first.set_result(None)
            case f.OkFrame() if frame.id in self._replies:
                self._replies[frame.id].set_result(frame)
            case f.ErrorFrame() if frame.id in self._replies:
                self._replies[frame.id or ""].set_exception(RouterRefused(frame))

    def _fail_replies(self) -> None:
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(OutcomeUnknown("the connection was lost before the reply"))

    def _end(self, error: PermanentlyClosed) -> None:
        self._closed = error
        if self._first is not None and not self._first.done():
            self._first.set_exception(error)
        if self._states.full():
            self._states.get_nowait()
        self._states.put_nowait(None)
