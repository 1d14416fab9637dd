"""The address of the store: the forms of ``store.url``."""

from enum import StrEnum
from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from router.model.errors import SettingsInvalid

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_DATABASE_MAX: Final = 1_000_000
_FORMS: Final = (
    "must be redis://host:6379/0, redis+sentinel://host:26379,host:26379/SERVICE/0 or redis+cluster://host:6379,host:6379, "
    "or one of these with rediss for TLS"
)

Node = tuple[str, int]


class StoreKind(StrEnum):
    """How the server is found."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class StoreAddress(Struct, frozen=True, kw_only=True):
    """A parsed address."""

    kind: StoreKind
    nodes: tuple[Node, ...]
    is_tls: bool = False
    database: int = 0
    service: str = ""
    username: str | None = None
    password: str | None = None

    @property
    def label(self) -> str:
        """Return the address without name and password of the user, for logs and errors."""
        scheme = "rediss" if self.is_tls else "redis"
        if self.kind is not StoreKind.SINGLE:
            scheme += f"+{self.kind}"
        path = "/".join(part for part in (self.service, str(self.database) if self.database else "") if part)
        return f"{scheme}://{','.join(node_label(node) for node in self.nodes)}{'/' + path if path else ''}"


def node_label(node: Node) -> str:
    """Return host and port as text."""
    host, port = node
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(url: str) -> StoreAddress:
    """Return the address. Raises SettingsInvalid, which does not repeat the value: it may hold a password."""
    scheme, separator, rest = url.partition("://")
    base, _, kind_name = scheme.partition("+")
    if not separator or base not in {"redis", "rediss"} or kind_name not in {"", "sentinel", "cluster"}:
        raise SettingsInvalid(f"store.url: {_FORMS}")
    kind = StoreKind(kind_name) if kind_name else StoreKind.SINGLE
    authority, _, path = rest.partition("/")
    if "?" in rest or "#" in rest:
        raise SettingsInvalid("store.url: must not contain ? or #; write %3F and %23 in a password")
    credentials, at, hosts = authority.rpartition("@")
    username, _, password = credentials.partition(":")
    nodes = tuple(_parse_node(text, _SENTINEL_PORT if kind is StoreKind.SENTINEL else _PORT) for text in hosts.split(","))
    if kind is StoreKind.SINGLE and len(nodes) > 1:
        raise SettingsInvalid("store.url: several hosts need redis+sentinel:// or redis+cluster://")
    service, database = _parse_path(kind, path)
    return StoreAddress(
        kind=kind,
        nodes=nodes,
        is_tls=base == "rediss",
        database=database,
        service=service,
        username=unquote(username) or None if at else None,
        password=unquote(password) or None if at else None,
    )


def _parse_node(text: str, default_port: int) -> Node:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0:
        raise SettingsInvalid(f"store.url: each host must be a name or an address and a port from 1 to 65,535; {_FORMS}")
    return host, default_port if port is None else port


def _parse_path(kind: StoreKind, path: str) -> tuple[str, int]:
    parts = path.split("/") if path else []
    service = ""
    if kind is StoreKind.SENTINEL:
        if not parts or not parts[0]:
            raise SettingsInvalid("store.url: redis+sentinel:// needs the name of the service: redis+sentinel://host:26379/SERVICE")
        service = unquote(parts.pop(0))
    text = parts.pop(0) if parts else ""
    if parts or (text and not (text.isascii() and text.isdigit() and int(text) <= _DATABASE_MAX)):
        raise SettingsInvalid(f"store.url: the part after the host must be the number of a database; {_FORMS}")
    database = int(text) if text else 0
    if kind is StoreKind.CLUSTER and database:
        raise SettingsInvalid("store.url: a cluster has only database 0")
    return service, database
