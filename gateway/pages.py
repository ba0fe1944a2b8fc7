"""The two pages for people: the editor, and the contract made readable. Nothing comes from outside.

The front page is three files of ``gateway/page`` put together once; its policy allows exactly that style and script,
and connections to where it came from.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from aiohttp import web

from gateway import openapi

_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}


def front() -> web.Response:
    html, policy = _front()
    return _page(html, policy)


def docs() -> web.Response:
    html, policy = _docs()
    return _page(html, policy)


def _page(html: bytes, policy: str) -> web.Response:
    headers = {**_SAFE, "Content-Security-Policy": policy}
    return web.Response(body=html, headers=headers, content_type="text/html", charset="utf-8")


def _part(name: str) -> str:
    return files("gateway").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _front() -> tuple[bytes, str]:
    style, script = _part("page.css"), _part("page.js")
    html = _part("index.html").replace("/*style*/", style).replace("/*script*/", script)
    return html.encode(), _policy(style, script)


def _policy(style: str, script: str = "") -> str:
    scripts = f"'sha256-{_hash(script)}'" if script else "'none'"
    return (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src {scripts}; "
        "connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# -- the contract ------------------------------------------------------------------------------------------------


@cache
def _docs() -> tuple[bytes, str]:
    contract, style = openapi.contract(), _part("page.css")
    calls = "".join(
        _call(method, path, operation)
        for path, operations in contract["paths"].items()
        for method, operation in operations.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in contract["components"]["schemas"].items())
    problems = "".join(
        f'<tr id="{slug}"><td>{status}</td><td><code>/docs#{slug}</code></td><td>{escape(title)}</td></tr>'
        for slug, status, title in openapi.problems()
    )
    html = (
        _part("docs.html")
        .replace("/*style*/", style)
        .replace("<!--about-->", escape(contract["info"]["description"]))
        .replace("<!--calls-->", calls)
        .replace("<!--schemas-->", schemas)
        .replace("<!--problems-->", problems)
    )
    return html.encode(), _policy(style)


def _call(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}</td><td>{escape(each['description'])}</td></tr>"
        for each in operation["parameters"]
    )
    answers = ", ".join(
        f"<b>{status}</b> {escape(answer['description'])}"
        for status, answer in operation["responses"].items()
        if status != "default"
    )
    table = f"<table>{parameters}</table>" if parameters else ""
    return (
        f'<section class="call"><h3><span class="verb {method}">{method.upper()}</span> '
        f"<code>{escape(path)}</code></h3>"
        f"<p>{escape(operation['summary'])}</p>{table}<p class=muted>Answers: {answers}</p></section>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = "".join(_row(field, part) for field, part in schema["properties"].items())
    return f'<h3 id="{name}">{name}</h3><p>{escape(schema["description"])}</p><table>{rows}</table>'


def _row(name: str, schema: dict[str, Any], depth: int = 0) -> str:
    inner = schema.get("items") or next(
        (part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema
    )
    inner = inner.get("items", inner)
    described = escape(schema.get("description") or inner.get("description", ""))
    row = (
        f'<tr><td class="depth{depth}"><code>{escape(name)}</code></td><td>{_type(schema)}</td>'
        f"<td>{described}{_bounds(inner)}</td></tr>"
    )
    return row + "".join(_row(field, part, depth + 1) for field, part in inner.get("properties", {}).items())


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    return str(schema.get("type", ""))


def _bounds(schema: dict[str, Any]) -> str:
    words = []
    if "enum" in schema:
        words.append(" | ".join(schema["enum"]))
    if "minimum" in schema:
        words.append(f"{schema['minimum']:,} to {schema['maximum']:,}")
    if schema.get("default") not in (None, ""):
        words.append(f"default {schema['default']}")
    return f" <span class=muted>({escape('; '.join(words))})</span>" if words else ""
