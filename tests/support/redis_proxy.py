"""A proxy in front of a server: with TLS, and with replies that are cut at a byte."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 65_536


class RedisProxy:
    """Forwards connections to a server until ``close``."""

    def __init__(self, port: int, *, certificate: tuple[Path, Path] | None = None) -> None:
        self._target = ("127.0.0.1", port)
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: Final = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._reply_bytes_left: int | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_replies_after(self, count: int) -> None:
        """Pass so many more bytes of replies, then cut the connection that has the next one, once."""
        with self._lock:
            self._reply_bytes_left = count

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), socket.create_connection(self._target) as server:
            client = connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)
            with client:
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                while data := server.recv(_CHUNK_BYTES):
                    allowed = self._take(len(data))
                    client.sendall(data[:allowed])
                    if allowed < len(data):
                        break
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _take(self, count: int) -> int:
        with self._lock:
            if self._reply_bytes_left is None:
                return count
            if count <= self._reply_bytes_left:
                self._reply_bytes_left -= count
                return count
            allowed, self._reply_bytes_left = self._reply_bytes_left, None
            self.cuts += 1
            return allowed
