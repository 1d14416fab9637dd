"""HTML pages of the WebSocket API, generated from the AsyncAPI document, and of all errors, from their catalogue.

Each endpoint lists the frames that its clients send and receive. A frame has an example and a table of its fields; the type of
a field is written out, with a link where it is a schema of its own. A search field at the top hides every entry without the
words that are typed. Without scripts the page is complete, only not searchable; it loads nothing from another host.
"""

import html
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from router.protocol.close_codes import CloseCode
from router.protocol.problem_types import by_status
from router.protocol.schemas import field_docs

# Served as a file of its own: the Content-Security-Policy of the page forbids inline scripts.
SEARCH_SCRIPT: Final = """"use strict";
const field = document.getElementById("search");
const entries = Array.from(document.querySelectorAll("details.entry"));
const texts = entries.map((entry) => entry.textContent.toLowerCase());
const count = document.getElementById("count");

function filter() {
  const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  entries.forEach((entry, i) => {
    const matches = words.every((word) => texts[i].includes(word));
    entry.hidden = !matches;
    shown += matches;
  });
  for (const section of document.querySelectorAll("section")) {
    section.hidden = words.length > 0 && !section.querySelector("details.entry:not([hidden])");
  }
  count.textContent = words.length ? `${shown} of ${entries.length}` : "";
}

function openTarget() {
  const entry = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (entry instanceof HTMLDetailsElement) {
    if (entry.hidden) { field.value = ""; filter(); }
    entry.open = true;
    entry.scrollIntoView();
  }
}

field.hidden = false;
field.addEventListener("input", filter);
window.addEventListener("hashchange", openTarget);
openTarget();
"""
_STYLE: Final = """
body{font-family:system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;line-height:1.45;color:#222}
pre{background:#f4f4f4;padding:.7em;overflow:auto;font-size:.9em}code,pre{font-family:ui-monospace,monospace,monospace}
code{font-size:.92em}
summary{cursor:pointer;padding:.15em 0}details.entry{border-bottom:1px solid #eee}details.entry>div{margin:.3em 0 1.2em 1.2em}
table{border-collapse:collapse;width:100%;font-size:.92em}td,th{text-align:left;vertical-align:top;padding:.25em .6em;
border-top:1px solid #e4e4e4}th{font-weight:600;background:#fafafa}td:nth-child(2){white-space:normal;min-width:9em}
#search{width:100%;font:inherit;padding:.4em;box-sizing:border-box}h3{margin:1.4em 0 .3em}.mark{color:#a40000;font-size:.85em}
nav a{margin-right:1em}"""
_CODE: Final = re.compile(r"`+([^`]+)`+")
_PREFIX: Final = "#/components/schemas/"


def sockets_page(document: dict[str, Any]) -> str:
    """Render the AsyncAPI document as HTML."""
    info = document["info"]
    schemas: dict[str, Any] = document["components"]["schemas"]
    payloads = {message["payload"]["$ref"].removeprefix(_PREFIX) for message in document["components"]["messages"].values()}
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Contact Router – WebSockets</title><style>{_STYLE}</style></head><body>",
        "<nav><a href='/'>Start</a><a href='/docs'>HTTP API</a><a href='/asyncapi.json'>asyncapi.json</a></nav>",
        f"<h1>{_escaped(info['title'])}</h1>",
        "<input id='search' type='search' placeholder='Search frames, fields and events' aria-label='Search' hidden>",
        "<p id='count' role='status'></p>",
        _block_html(info["description"]),
    ]
    for name, channel in document["channels"].items():
        parts.append(f"<h2>{_escaped(channel['title'])} <code>{_escaped(channel['address'])}</code></h2>")
        parts.append(_block_html(channel["description"]))
        for verb, heading in (("receive", "Frames from the client"), ("send", "Frames from the router")):
            references = document["operations"][f"{verb}_{name}"]["messages"]
            names = [reference["$ref"].rpartition("/")[2] for reference in references]
            parts.append(f"<section><h3>{heading}</h3>")
            parts += (_message(name, verb, one, document) for one in names)
            parts.append("</section>")
    parts.append("<section><h2 id='schemas'>Types</h2>")
    parts += (_schema(name, schema) for name, schema in schemas.items() if name not in payloads)
    parts.append("</section><script src='/docs/assets/sockets.js'></script></body></html>")
    return "".join(parts)


def _message(channel: str, verb: str, name: str, document: dict[str, Any]) -> str:
    message = document["components"]["messages"][name]
    schema = document["components"]["schemas"][message["payload"]["$ref"].removeprefix(_PREFIX)]
    example = json.dumps(message["examples"][0]["payload"], indent=2, ensure_ascii=False)
    _, _, rest = message["description"].partition(f"{message['summary']}.")
    body = f"{_block_html(rest.strip())}<pre>{_escaped(example)}</pre>{_fields(schema)}"
    return _entry(f"{channel}-{verb}-{name}", name, message["summary"], body)


def _schema(name: str, schema: dict[str, Any]) -> str:
    lines = schema.get("description", "").split("\n", 1)
    body = _block_html("\n\n".join(line.strip() for line in lines))
    if "properties" in schema:
        body += _fields(schema)
    elif "enum" not in schema:
        body += f"<p>{_type_html(schema)}</p>"
    return _entry(f"schema-{name}", name, lines[0], body)


def _entry(anchor: str, name: str, summary: str, body: str) -> str:
    return (
        f"<details class='entry' id='{_escaped(anchor)}'><summary><code>{_escaped(name)}</code> {_inline_html(summary)}</summary>"
        f"<div>{body}</div></details>"
    )


def _fields(schema: dict[str, Any]) -> str:
    """Return the table of a schema's fields."""
    required = schema.get("required", ())
    rows = []
    for name, field in schema.get("properties", {}).items():
        mark = " <span class='mark'>required</span>" if name in required else ""
        text = _inline_html(field.get("description", ""))
        rows.append(f"<tr><td><code>{_escaped(name)}</code>{mark}</td><td>{_type_html(field)}</td><td>{text}</td></tr>")
    return f"<table><tr><th>field</th><th>type</th><th></th></tr>{''.join(rows)}</table>" if rows else "<p>No fields.</p>"


def _type_html(schema: dict[str, Any]) -> str:
    """Return the type of a field in words, with links to the schemas that it names."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_PREFIX)
        return f"<a href='#schema-{_escaped(name)}'>{_escaped(name)}</a>"
    for key, joined in (("allOf", " and "), ("anyOf", " or "), ("oneOf", " or ")):
        if key in schema:
            return joined.join(dict.fromkeys(_type_html(one) for one in schema[key]))
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return ", ".join(f"<code>{_escaped(value)}</code>" for value in values)
    kind = schema.get("type", "any value")
    if kind == "array":
        items = schema.get("items")
        return f"list of {_type_html(items)}" if isinstance(items, dict) else "list"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"object of {_type_html(values)}" if isinstance(values, dict) else "object"
    limits = ", ".join(_limits(schema))
    return _escaped(f"{kind} ({limits})" if limits else kind)


def _limits(schema: dict[str, Any]) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        yield f"{'' if low is None else f'{low:,}'} … {'' if high is None else f'{high:,}'}".strip()
    short, long = schema.get("minLength"), schema.get("maxLength")
    if short is not None or long is not None:
        if long is None:
            yield f"at least {short} characters"
        else:
            yield f"{short} to {long} characters" if short else f"up to {long} characters"
    if "default" in schema and schema["default"] not in (None, {}, []):
        yield f"default {schema['default']}"


def errors_page() -> str:
    """Render the catalogue of errors; each code has an anchor of its name, to which the ``type`` of a problem refers."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Contact Router – Errors</title><style>{_STYLE}tr:target{{background:#fff6d5}}</style></head><body>",
        "<nav><a href='/'>Start</a><a href='/docs'>HTTP API</a><a href='/docs/sockets'>WebSockets</a></nav>",
        "<h1>Errors</h1><p>Codes of the problem documents of HTTP and of the <code>error</code> frames of the WebSockets. "
        "<code>applied</code> says whether the command took effect; a temporary error may be gone after the time in "
        "<code>Retry-After</code> or <code>retry_after_ms</code>.</p>",
        "<table><tr><th>code</th><th>status</th><th>meaning</th><th>what to do</th><th>temporary</th><th>applied</th></tr>",
    ]
    for code, kind in by_status():
        cells = (f"<code>{code}</code>", str(kind.status), _inline_html(kind.meaning), _inline_html(kind.action))
        row = "".join(f"<td>{cell}</td>" for cell in (*cells, "yes" if kind.temporary else "", kind.applied))
        parts.append(f"<tr id='{code}'>{row}</tr>")
    parts.append("</table><h2>Close codes of the WebSockets</h2><table><tr><th>code</th><th>meaning</th><th>reconnect</th></tr>")
    texts = field_docs(CloseCode)
    for close in CloseCode:
        reconnect = "yes" if close.may_reconnect else "no"
        parts.append(
            f"<tr id='{close.value}'><td>{close.value}</td><td>{_inline_html(texts[close.name])}</td><td>{reconnect}</td></tr>"
        )
    return "".join((*parts, "</table></body></html>"))


def _escaped(value: object) -> str:
    return html.escape(str(value))


def _block_html(text: str) -> str:
    """Render paragraphs and bullet lists."""
    parts: list[str] = []
    for block in text.split("\n\n"):
        lines = block.strip().splitlines()
        items = [f"<li>{_inline_html(line[2:])}</li>" for line in lines if line.startswith("* ")]
        summary = " ".join(line for line in lines if not line.startswith("* "))
        if summary:
            parts.append(f"<p>{_inline_html(summary)}</p>")
        if items:
            parts.append(f"<ul>{''.join(items)}</ul>")
    return "".join(parts)


def _inline_html(text: str) -> str:
    """Escape a text and render the parts between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", _escaped(text))
