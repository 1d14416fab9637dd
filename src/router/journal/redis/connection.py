"""One connection to a server of the store, used by one thread.

Nothing is ever sent twice here. The default client of redis-py sends a command again when its answer was lost, and the server then
executes it twice; and the answer of ``WAIT`` is about the writes of its own connection only, so a pool of connections would give
wrong ones. So this is the bare connection of redis-py, without retries: after any trouble it is closed, and whether a command had
an effect has to be read back.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from msgspec import Struct
from redis import Connection, SSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.retry import Retry

from router.journal.redis.address import Node, StoreAddress, node_label
from router.settings import read_file_of_settings
from router.store_settings import StoreSettings

Command: TypeAlias = tuple[str | bytes | int, ...]
Reply: TypeAlias = Any

_PASSWORD_BYTES_MAX: Final = 4096
_CLIENT_NAME: Final = "contact-router"


class StoreError(Exception):
    """Trouble with the store, before it is known what it means for the journal."""


class StoreUnreachable(StoreError):
    """No answer: the server cannot be reached, or the connection ended. Whether a command had an effect is not known."""


class StoreRefusal(StoreError):
    """The server answered with an error; the command had no effect."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code: Final = message.partition(" ")[0]

    @property
    def is_temporary(self) -> bool:
        """Whether the same command may succeed later, on this server or on another one."""
        return self.code in _TEMPORARY_CODES or "max number of clients" in str(self)


_TEMPORARY_CODES: Final = frozenset(
    {
        *("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT"),
        *("READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED"),
        *("BUSY", "OOM", "MISCONF", "NOSCRIPT", "NOAUTH", "WRONGPASS", "NOPERM"),
    }
)


class StoreOptions(Struct, frozen=True, kw_only=True):
    """How to connect to every server of the store."""

    is_tls: bool = False
    database: int = 0
    username: str | None = None
    password: str | None = None
    password_path: str | None = None
    ca_path: str | None = None
    timeout_s: float = 2.0

    @classmethod
    def of(cls, settings: StoreSettings, address: StoreAddress) -> "StoreOptions":
        """Return the options of the settings. Raises SettingsInvalid where the password cannot be read."""
        options = cls(
            is_tls=address.is_tls,
            database=address.database,
            username=address.username,
            password=address.password,
            password_path=settings.password_path,
            ca_path=settings.ca_path,
            timeout_s=settings.call_timeout_ms / 1_000,
        )
        options.current_password()
        return options

    def current_password(self) -> str | None:
        """Return the password, read from its file where there is one. Raises SettingsInvalid."""
        if self.password_path is None:
            return self.password
        data = read_file_of_settings(Path(self.password_path), bytes_max=_PASSWORD_BYTES_MAX, place="store.password_path")
        return data.decode().removesuffix("\n") or None


class StoreConnection:
    """An open connection. After StoreUnreachable it is closed and cannot be used any more."""

    def __init__(self, node: Node, options: StoreOptions) -> None:
        """Connect and authenticate. Raises StoreUnreachable or StoreRefusal."""
        self.node: Final = node
        self._timeout_s = options.timeout_s
        self._is_closed = False
        # redis-py has no types for its connections.
        self._connection: Any = _new_connection(node, options)
        try:
            self._connection.connect()
        except AuthenticationError as error:
            raise StoreRefusal(f"NOAUTH {error}") from error
        except ResponseError as error:
            raise StoreRefusal(str(error)) from error
        except (RedisError, OSError) as error:
            self.close()
            raise StoreUnreachable(f"{node_label(node)}: {error}") from error

    def call(self, *command: str | bytes | int) -> Reply:
        """Send one command and return its reply. Raises StoreRefusal or StoreUnreachable."""
        [reply] = self.run([command])
        if isinstance(reply, StoreRefusal):
            raise reply
        return reply

    def run(self, commands: Sequence[Command], *, extra_s: float = 0.0) -> list[Reply]:
        """Send commands in one write and return their replies in order; an error reply is a StoreRefusal in the list.

        ``extra_s``: time that commands are expected to block the server, in addition to the time limit. Raises StoreUnreachable.
        """
        self.send(commands)
        return self.receive(len(commands), extra_s=extra_s)

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands in one write. Raises StoreUnreachable."""
        if self._is_closed:
            # redis-py would connect again, to a server that has not been prepared.
            raise StoreUnreachable(f"{node_label(self.node)}: the connection is closed")
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        except (RedisError, OSError) as error:
            self.close()
            raise StoreUnreachable(f"{node_label(self.node)}: {error}") from error

    def receive(self, count: int, *, extra_s: float = 0.0) -> list[Reply]:
        """Return the replies of commands that were sent. Raises StoreUnreachable."""
        replies: list[Reply] = []
        limit = {"timeout": self._timeout_s + extra_s} if extra_s else {}
        try:
            for _ in range(count):
                try:
                    replies.append(self._connection.read_response(**limit))
                except ResponseError as error:
                    replies.append(_refusal_of(error))
        except BaseException as error:
            # A reply that was read half must not be taken for that of the next command.
            self.close()
            if isinstance(error, RedisError | OSError):
                raise StoreUnreachable(f"{node_label(self.node)}: {error}") from error
            raise
        return replies

    def close(self) -> None:
        """Close. Idempotent."""
        self._is_closed = True
        with suppress(RedisError, OSError):
            self._connection.disconnect()


def _new_connection(node: Node, options: StoreOptions) -> Any:
    host, port = node
    arguments: dict[str, Any] = {
        "host": host,
        "port": port,
        "db": options.database,
        "username": options.username,
        "password": options.current_password(),
        "socket_timeout": options.timeout_s,
        "socket_connect_timeout": options.timeout_s,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "client_name": _CLIENT_NAME,
        "driver_info": None,
        "protocol": 2,
    }
    if options.is_tls:
        arguments |= {"ssl_ca_certs": options.ca_path, "ssl_check_hostname": True}
    kind: Any = SSLConnection if options.is_tls else Connection
    return kind(**arguments)


def _refusal_of(error: ResponseError) -> StoreRefusal:
    # redis-py removes the code from the message of the errors for which it has a class.
    code = getattr(error, "status_code", None)
    return StoreRefusal(f"{code} {error}" if code else str(error))


__all__ = ["StoreConnection", "StoreError", "StoreRefusal", "StoreUnreachable", "StoreOptions", "Command", "Reply"]
