"""The pages of `/docs`: the OpenAPI document, and the same for people, whole in one page without any script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from voxcube.server.rest.errors import JSON
from voxcube.server.rest.openapi import REFERENCE, Json

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --link: light-dark(#0550ae, #79b8ff); }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; display: grid; grid-template-columns: 17rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.5rem 1rem; font-size: .8rem;
  border-right: 1px solid var(--line); }
nav ul { list-style: none; margin: 0 0 1rem; padding: 0; }
nav li a { display: block; padding: .1rem 0; overflow-wrap: anywhere; }
main { padding: 1.5rem 2rem 6rem; max-width: 62rem; }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
h1 { margin: 0 0 .5rem; } h2 { margin: 3rem 0 1rem; text-transform: capitalize; }
h3 { margin: 0; font-size: 1.05rem; } h4 { margin: 1rem 0 .25rem; font-size: .9rem; }
code, .path { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
p code, td code { background: var(--soft); padding: 0 .25em; border-radius: 3px; }
article { border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.25rem; margin: 0 0 1rem; }
article:target { border-color: var(--link); }
article p { margin: .25rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } td:first-child { width: 12rem; } .wide td:last-child { width: 60%; }
.method { display: inline-block; min-width: 4.2em; font: 600 .75rem ui-monospace, monospace; padding: .1em .5em;
  border-radius: 4px; background: var(--soft); text-align: center; }
nav .method { min-width: 0; padding: 0 .3em; font-size: .65rem; }
.get { color: light-dark(#116329, #7ee787); } .post { color: light-dark(#0550ae, #79b8ff); }
.put { color: light-dark(#7a4b00, #f2cc60); } .delete { color: light-dark(#a40e26, #ff7b72); }
@media (max-width: 50rem) {
  body { display: block; } nav { position: static; height: auto; border: 0; } main { padding: 1rem; }
}
"""
#: Nothing from anywhere: the one style that is in the page, by its hash, and links.
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def pages(document: Json) -> list[BaseRoute]:
    """The routes of `/docs` and `/docs/openapi.json` for an OpenAPI document; both are made once."""
    encoded, page = msgspec.json.encode(document), render(document).encode()

    async def openapi(request: Request) -> Response:
        return Response(encoded, headers={**HEADERS, "Content-Type": JSON})

    async def docs(request: Request) -> Response:
        return Response(page, headers={**HEADERS, "Content-Type": "text/html; charset=utf-8"})

    # The door takes ``.json`` off every path before it is routed.
    return [Route("/docs", docs, methods=["GET"]), Route("/docs/openapi", openapi, methods=["GET"])]


def render(document: Json) -> str:
    """The document as one HTML page."""
    info = document["info"]
    by_tag: dict[str, list[tuple[str, str, Json]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            by_tag[operation["tags"][0]].append((method, path, operation))
    components = document["components"]
    rows = [
        (_code(name.removeprefix("Failure")), _inline(f["description"])) for name, f in components["responses"].items()
    ]
    links = ['<ul><li><a href="#failures">Failures</a></li></ul>']
    body = ['<h2 id="failures">Failures</h2>', _table(("status", "when"), rows)]
    for tag, found in by_tag.items():
        links.append(f"<strong>{escape(tag.capitalize())}</strong><ul>")
        body.append(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>')
        for method, path, operation in found:
            links.append(f'<li><a href="#{operation["operationId"]}">{_method(method)} {escape(path)}</a></li>')
            body.append(_operation(method, path, operation))
        links.append("</ul>")
    links.append("<strong>Objects</strong><ul>")
    body.append("<h2>Objects</h2>")
    for name, schema in components["schemas"].items():
        links.append(f'<li><a href="#{escape(name)}">{escape(name)}</a></li>')
        body.append(_object(name, schema))
    links.append("</ul>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>"
        f"<nav>{''.join(links)}</nav><main><h1>{escape(info['title'])}</h1>"
        f'<p>Version {escape(info["version"])} · <a href="/docs/openapi.json">OpenAPI document</a></p>'
        f"{_text(info['description'])}{''.join(body)}</main></body></html>"
    )


def _text(markdown: str) -> str:
    """The little of Markdown that our own texts use: paragraphs, `code` and **bold**."""
    text = escape(markdown, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))


def _method(method: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span>'


def _operation(method: str, path: str, operation: Json) -> str:
    parts = [
        f'<article id="{operation["operationId"]}"><h3>{_method(method)} <span class="path">{escape(path)}</span></h3>',
        _text(operation["summary"]),
        _text(operation["description"]),
    ]
    if parameters := operation.get("parameters"):
        listed = (
            (
                _code(p["name"]),
                p["in"] + (", required" if p["required"] else ""),
                _type(p["schema"]) + (" – " + _inline(p["description"]) if "description" in p else ""),
            )
            for p in parameters
        )
        parts.append("<h4>Parameters</h4>" + _table(("name", "in", "type"), listed))
    if body := operation.get("requestBody"):
        parts.append(f"<h4>Body</h4><p>{_type(next(iter(body['content'].values()))['schema'])}</p>")
    rows, failed = [], []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            failed.append(f'<a href="#failures">{_code(status)}</a>')
        else:
            schema = answer["content"]["application/json"]["schema"]
            rows.append((_code(status), _type(schema), _inline(answer["description"])))
    rows.append((" ".join(failed), _type({"$ref": REFERENCE + "Errors"}), "It has failed"))
    parts.append("<h4>Answers</h4>" + _table(("status", "body", "when"), rows, "wide"))
    parts.append("</article>")
    return "".join(parts)


def _object(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = [
        (_code(key), _type(field) + (" – required" if key in required else ""))
        for key, field in schema.get("properties", {}).items()
    ]
    more = "<p>Further keys may stand beside these.</p>" if schema.get("additionalProperties") is True else ""
    table = _table(("key", "value"), rows, "wide") if rows else ""
    text = _text(schema["description"].replace("``", "`")) if "description" in schema else ""
    return f'<article id="{escape(name)}"><h3>{escape(name)}</h3>{text}{table}{more}</article>'


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "anything"
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(REFERENCE))
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "const" in schema:
        return _code(msgspec.json.encode(schema["const"]).decode())
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(_type({**schema, "type": one}) for one in kind)
    text = str(kind)
    if kind == "array":
        text = f"list of {_type(schema.get('items'))}"
    elif kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        text = f"object of {_type(schema['additionalProperties'])}"
    if "default" in schema:
        text += f", default {_code(msgspec.json.encode(schema['default']).decode())}"
    return text


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], style: str = "") -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="{style}"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'
