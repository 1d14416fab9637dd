"""Generate the settings page and example file, the tables of the HTTP API, the state machine page and the types
of the JavaScript client (``make docs``).

Everything comes from the code, so the pages cannot contradict the program; a test fails when a page is out of date.
"""

import runpy
import textwrap
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from router import settings as module
from router.protocol.close_codes import CloseCode
from router.protocol.problem_types import by_status
from router.protocol.schemas import field_docs, markdown
from router.server.api.routes import ROUTES
from router.server.auth.credentials import PERMISSIONS, Role
from router.settings import Settings

DOCS: Final = Path(__file__).parent
API_PAGE: Final = DOCS / "reference" / "http-api.md"
EXAMPLE: Final = DOCS.parent / "config" / "router.yaml"
# What `router init` writes: part of the package, as a wheel has no config/.
TEMPLATES: Final = DOCS.parent / "src" / "router" / "cli" / "templates"
POLICY_EXAMPLE: Final = DOCS.parent / "config" / "policy.yaml"
_LINE_WIDTH: Final = 118


def settings_page() -> str:
    """Return the text of ``docs/reference/settings.md``."""
    parts = [_PAGE_HEAD]
    parts += _table("", Settings, groups=False)
    for field in msgspec.structs.fields(Settings):
        if _is_struct(field.type):
            parts.append(f"\n## `{field.name}`\n\n{_title(field.type)}\n")
            parts += _table(f"{field.name}.", field.type, groups=True)
    for name in ("IssuerSettings", "KeySettings"):
        kind = getattr(module, name)
        parts.append(f"\n### {_NESTED[name]}\n\n{_title(kind)}\n")
        parts += _table("", kind, groups=True)
    return "\n".join(parts) + "\n"


def settings_example() -> str:
    """Return the text of ``config/router.yaml``, which ``router init`` writes too: every setting with its default, disabled."""
    lines = [_EXAMPLE_HEAD]
    for field in msgspec.structs.fields(Settings):
        if not _is_struct(field.type):
            lines += ["", *_comment(field_docs(Settings)[field.name], "")]
            lines.append(f"#{field.name}: {_plain(field)}")
    for section in msgspec.structs.fields(Settings):
        if not _is_struct(section.type):
            continue
        lines += ["", *_comment(_title(section.type), ""), f"{section.name}:"]
        docs = field_docs(section.type)
        for field in msgspec.structs.fields(section.type):
            lines += _comment(docs[field.name], "  ")
            lines.append(f"  #{field.name}: {_plain(field)}")
    return "\n".join(lines) + "\n"


def api_page() -> str:
    """Return the text of ``docs/reference/http-api.md`` with its tables regenerated; its prose is kept."""
    page = API_PAGE.read_text()
    for name, lines in (("operations", _operations()),):
        begin, end = f"<!-- {name}: made by docs/generate.py -->", "<!-- end -->"
        head, rest = page.split(begin)
        _, tail = rest.split(end, 1)
        page = "\n".join((f"{head}{begin}", *lines, f"{end}{tail}"))
    return page


def errors_page() -> str:
    """Return the text of ``docs/reference/errors.md``."""
    rows = [_ERRORS_HEAD]
    for code, kind in by_status():
        temporary = "yes" if kind.temporary else ""
        cells = (f'<a id="{code}"></a>`{code}`', str(kind.status), kind.meaning, kind.action, temporary, kind.applied)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    rows.append(_CLOSE_CODES_HEAD)
    texts = field_docs(CloseCode)
    rows.extend(f"| {one.value} | {markdown(texts[one.name])} | {'yes' if one.may_reconnect else 'no'} |" for one in CloseCode)
    return "\n".join(rows) + "\n"


def _operations() -> list[str]:
    rows = ["", "| operation | roles | what it does |", "|---|---|---|"]
    for route in ROUTES:
        roles = ", ".join(role for role in Role if role in PERMISSIONS.get(route.name, ()))
        rows.append(f"| `{route.method} {route.path}` | {roles or 'public'} | {route.summary} |")
    return [*rows, ""]


def _table(prefix: str, kind: type, *, groups: bool) -> list[str]:
    docs = field_docs(kind)
    rows = ["", "| setting | default | limits | what it is |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        if groups or not _is_struct(field.type):
            default = "(needed)" if field.required else f"`{_plain(field)}`"
            limits, text = _limits(field.type), docs[field.name].replace("|", "\\|")
            rows.append(f"| `{prefix}{field.name}` | {default} | {limits} | {text} |")
    return rows


def _limits(kind: Any) -> str:
    """Return the range or the choices of a setting, from its type."""
    (schema,), components = msgspec.json.schema_components([kind])
    for one in (schema, *schema.get("anyOf", ())):
        if "$ref" in one:
            one = components[one["$ref"].rsplit("/", 1)[1]]
        if "enum" in one:
            return ", ".join(f"`{value}`" for value in one["enum"])
        if "minimum" in one and "maximum" in one:
            return f"{one['minimum']:,} – {one['maximum']:,}"
    return ""


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _title(kind: type) -> str:
    return (kind.__doc__ or "").strip().split("\n")[0]


def _plain(field: Any) -> str:
    if field.required:
        return ""
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    text = yaml.safe_dump(msgspec.to_builtins(default), default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...").replace("''", '""')


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width=_LINE_WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False
    )


_NESTED: Final = {"IssuerSettings": "One of `auth.issuers`", "KeySettings": "One of an issuer's `keys`"}
_PAGE_HEAD: Final = """\
# Settings

Settings say how the process runs; they never influence a routing decision. Routing is configured by the [policy](policy.md).

Sources, in increasing order of precedence: the defaults below, the file (`router serve --config FILE`, or `ROUTER_CONFIG`, or
`config/router.yaml` in the working directory, if it exists), environment variables (`ROUTER__SERVER__PORT=8080` for `server.port`;
lists as YAML: `ROUTER__WORKSPACES='[sales, support]'`), and command-line options. An unknown setting, or a value out of range, is
an error that names its path (`server.port`), and the process does not start. `router init` writes a `config/router.yaml` that
lists all settings with their defaults.

This page is generated from `src/router/settings.py` by `docs/generate.py`; change the code, not the page."""
_ERRORS_HEAD: Final = """\
# Errors

Every error of the HTTP API is a problem document (RFC 9457), every error of a WebSocket an `error` frame; both have the same
codes. `detail` says which condition was not met and what would be valid, `field` names the invalid field, `action` is the column
*what to do* below. The `type` of a problem document is `/docs/errors#<code>`: the same table, served by the router that answered.

`applied: unknown` means that the command may have taken effect: repeat it with the same idempotency key, or read the state first.
A *temporary* error is accompanied by `Retry-After` (`retry_after_ms` on a socket); the same request may succeed then. Other errors
stay until the request or the state changes.

This page is generated from `src/router/protocol/problem_types.py` and `close_codes.py` by `docs/generate.py`; change the code, not
the page.

| code | status | meaning | what to do | temporary | applied |
|---|---|---|---|---|---|"""
_CLOSE_CODES_HEAD: Final = """
## Close codes of the WebSockets

After 4000–4499 a client should reconnect with a jittered delay; after 4500–4999 it must not until the cause is fixed.

| code | meaning | reconnect |
|---|---|---|"""
_EXAMPLE_HEAD: Final = """\
# Settings of the router: how the process runs. Every setting stands here with its default; remove the # of those that you change.
# `router serve` reads config/router.yaml in its working directory, or the file of --config or ROUTER_CONFIG. Environment variables
# (ROUTER__SERVER__PORT=8080) and options take precedence. Generated by docs/generate.py from src/router/settings.py."""


def main() -> None:
    """Write all generated files."""
    (DOCS / "reference" / "settings.md").write_text(settings_page())
    EXAMPLE.write_text(settings_example())
    (TEMPLATES / "router.yaml").write_text(settings_example())
    POLICY_EXAMPLE.write_bytes((TEMPLATES / "policy.yaml").read_bytes())
    API_PAGE.write_text(api_page())
    (DOCS / "reference" / "errors.md").write_text(errors_page())
    for name in ("generate_state_machines.py", "generate_wire_types.py"):
        runpy.run_path(str(DOCS / name), run_name="__main__")


if __name__ == "__main__":
    main()
