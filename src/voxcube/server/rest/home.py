"""The page of `/`: it leads to the other pages of this server. No script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

STYLE = """
:root { color-scheme: light dark; --line: #8884; --link: light-dark(#0550ae, #79b8ff); }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 36rem; margin: 0 auto; padding: 12vh 1.25rem 3rem; }
h1 { margin: 0 0 .25rem; font-size: 1.75rem; }
p { margin: 0 0 1.5rem; opacity: .8; }
ul { list-style: none; margin: 0; padding: 0; border-top: 1px solid var(--line); }
li { border-bottom: 1px solid var(--line); }
li a { display: block; padding: .75rem 0; color: inherit; text-decoration: none; }
li strong { display: block; color: var(--link); }
li a:hover strong, li a:focus strong { text-decoration: underline; }
footer { margin-top: 1.5rem; font-size: .8rem; opacity: .7; }
"""
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Link(NamedTuple):
    """A page of this server: its path, its name, and what is there."""

    path: str
    name: str
    text: str


LINKS = (
    Link("/docs", "API reference", "Every request of the REST API, for people and, as OpenAPI, for programs"),
    Link("/health", "Health", "Whether the server and its database work"),
)


def page(version: str, links: Sequence[Link] = LINKS) -> BaseRoute:
    """The route of `/`; the page is made once."""
    content = render(version, links).encode()

    async def home(request: Request) -> Response:
        return Response(content, headers=HEADERS)

    return Route("/", home, methods=["GET"])


def render(version: str, links: Sequence[Link]) -> str:
    """The page as HTML."""
    items = "".join(
        f'<li><a href="{escape(link.path)}"><strong>{escape(link.name)}</strong>{escape(link.text)}</a></li>'
        for link in links
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Voxcube</title><style>{STYLE}</style></head><body><main><h1>Voxcube</h1>"
        "<p>This is a chat server. Apps and chat clients connect to it.</p>"
        f"<ul>{items}</ul><footer>Version {escape(version)}</footer></main></body></html>"
    )
