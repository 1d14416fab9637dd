"""A proxy between a client and a server whose connections a test drops, freezes and delays."""

import asyncio
import contextlib
from typing import Final

_CHUNK_BYTES: Final = 65_536


class NetworkProxy:
    """Forwards TCP connections to a port, which may change while the proxy runs."""

    def __init__(self) -> None:
        self.target_port = 0
        self.port = 0
        self.delay_s = 0.0
        """Delay of everything that is forwarded."""
        self.refuses = False
        """Whether new connections are closed at once."""
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "NetworkProxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()
        for pump in tuple(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    @property
    def url(self) -> str:
        """Address of the proxy for HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def drop(self) -> None:
        """Abort all connections."""
        for pair in tuple(self._pairs):
            pair.abort()

    def freeze(self, *, only_replies: bool = False) -> None:
        """Forward nothing more on the present connections, in either direction or (``only_replies``) to the client."""
        for pair in self._pairs:
            pair.to_client.clear()
            if not only_replies:
                pair.to_server.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, server_writer)
        self._pairs.add(pair)
        for source, target, may_pass in ((reader, server_writer, pair.to_server), (server_reader, writer, pair.to_client)):
            pump = asyncio.create_task(self._pump(source, target, may_pass, pair))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, may_pass: asyncio.Event, pair: "_Pair"
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                await asyncio.sleep(self.delay_s)
                await may_pass.wait()
                target.write(data)
                await target.drain()
        await may_pass.wait()
        pair.abort()
        self._pairs.discard(pair)


class _Pair:
    """The two connections of one client, and whether their directions are open."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._writers = (client, server)
        self.to_client, self.to_server = asyncio.Event(), asyncio.Event()
        self.to_client.set()
        self.to_server.set()

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self.to_client.set()
        self.to_server.set()
