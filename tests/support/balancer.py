"""A load balancer for tests: forwards each TCP connection to the next of the routers that it is told to use."""

import asyncio
from contextlib import suppress
from typing import Final

_HOST: Final = "127.0.0.1"


class Balancer:
    """One listening port in front of several routers."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        """Ports of the routers that get new connections."""
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], int] = {}

    async def __aenter__(self) -> "Balancer":
        self._server = await asyncio.start_server(self._serve, _HOST, 0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    @property
    def address(self) -> str:
        """Host and port."""
        assert self._server is not None
        return f"{_HOST}:{self._server.sockets[0].getsockname()[1]}"

    def drop(self, port: int) -> None:
        """Give a router no further connections and cut those that it has, as after a failed health check."""
        self.ports = [one for one in self.ports if one != port]
        for task, to in list(self._open.items()):
            if to == port:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            for _ in range(len(self.ports)):
                self._turn += 1
                port = self.ports[self._turn % len(self.ports)]
                try:
                    up_reader, up_writer = await asyncio.open_connection(_HOST, port)
                except OSError:
                    continue
                self._open[task] = port
                await _forward(reader, writer, up_reader, up_writer)
                return
        except asyncio.CancelledError:
            # It was cut; asyncio logs a cancelled handler as an error.
            return
        finally:
            self._open.pop(task, None)
            writer.close()


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up_reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter
) -> None:
    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()

    both = [asyncio.ensure_future(copy(reader, up_writer)), asyncio.ensure_future(copy(up_reader, writer))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in both:
            one.cancel()
        up_writer.close()
