"""The HTTP door as one ASGI application: routes, and the middleware in the order in which a request meets it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voxcube.server.core.clock import SystemClock
from voxcube.server.core.errors import BadRequest, Forbidden, NotFound, SessionRequired, Unauthorized
from voxcube.server.core.rates import Rate
from voxcube.server.rest.auth import CARRIED, EXPIRATION, Authenticate, Authenticator
from voxcube.server.rest.budget import Budget, Holding
from voxcube.server.rest.errors import Failures, error_response, json_response
from voxcube.server.rest.normalise import Limits, Parameters, check_query, normalise
from voxcube.server.rest.peer import PUBLIC_FOLDERS, Confidential, is_public
from voxcube.server.rest.route import Call, Caller, Carried, Route
from voxcube.server.rest.shape import fit
from voxcube.server.rest.throttle import Throttle, address_of

DOWNLOADS = "/blobs/"  # official SDKs put the session token into URLs of private files (rest §8.4)
SMALL_BODY = 16 * 1024  # bytes that every request may hold, however many others there are
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
REQUEST_HEADERS = (
    "Content-Type",
    "CB-Token",
    "CB-AuthKey",
    "CB-SDK",
    "CB-Administration-API-Key",
    "ConnectyCube-REST-API-Version",
    "Authorization",
)
#: In the ASGI scope: whether the path came with ``.json``; it means something for blobs (rest §8.4).
JSON_SUFFIX = "voxcube.json_suffix"
#: In the ASGI scope: a list whose one item is the path of the route that was met.
ROUTE = "voxcube.route"


def create_app(
    routes: Iterable[Route],
    *,
    sessions: Authenticator,
    health: Callable[[], Awaitable[dict[str, object]]] | None = None,
    origins: Sequence[str] = ("*",),
    limits: Limits | None = None,
    unavailable: tuple[type[Exception], ...] = (),
    more: Sequence[BaseRoute] = (),
    requests: dict[tuple[str, str, int], int] | None = None,
    user_rate: Rate | None = None,
    address_rate: Rate | None = None,
    unfinished: Budget | None = None,
    insecure_credentials: bool = False,
) -> ASGIApp:
    """The application for ``routes``.

    ``health`` raises a ``DomainError`` when the server cannot do its work; what it returns is told by ``GET /health``.
    ``origins`` are those that browsers may call from. ``more`` are routes that are no API calls (pages, metrics).
    ``unavailable`` are the errors that mean "try again later" (the database is away): answered 503.
    ``requests`` is where requests are counted, by method, route and status. ``user_rate`` and ``address_rate`` are how
    many requests each user and each address may make; without them any number. ``unfinished`` is what bodies that are
    not complete may hold. ``insecure_credentials`` permits passwords and tokens in clear from other hosts.
    """
    limits = limits or Limits()
    unfinished = unfinished or bodies_budget(limits)
    failures = Failures(unavailable)
    endless = Rate(SystemClock(), 0, 0)
    app = Starlette(
        routes=[
            StarletteRoute("/health", _health(health, failures), methods=["GET"]),
            *(
                StarletteRoute(route.path, _endpoint(route, limits, failures, unfinished), methods=[route.method])
                for route in routes
            ),
            *more,
        ],
        middleware=[
            Middleware(Counted, requests={} if requests is None else requests),
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=list(METHODS),
                allow_headers=list(REQUEST_HEADERS),
                expose_headers=[EXPIRATION, "Retry-After"],
                max_age=86400,
            ),
            Middleware(CatchAll, failures=failures),
            Middleware(CanonicalPath),
            Middleware(Confidential, failures=failures, insecure=insecure_credentials),
            Middleware(Authenticate, sessions=sessions, failures=failures),
            Middleware(Throttle, users=user_rate or endless, addresses=address_rate or endless, failures=failures),
        ],
        # 405 would hide the body from Flutter (quirks A3): what is not routed does not exist.
        exception_handlers={404: _unknown_path, 405: _unknown_path},
    )
    app.router.redirect_slashes = False
    return app


def target_path(scope: Scope) -> str:
    """The path of a request target in origin form, absolute form or asterisk form (RFC 9112 §3.2).

    Raises BadRequest.
    """
    path: str = scope["path"]
    if not path.startswith("/"):
        raw: bytes = scope.get("raw_path") or path.encode()
        absolute = re.match(rb"(?i)https?://[^/?#]+(/[^?#]*)?$", raw)
        if absolute is not None:
            path = unquote((absolute[1] or b"/").decode("ascii", "replace"))
        elif path != "*" or scope["method"] != "OPTIONS":
            raise BadRequest("Malformed request target")
    if any(character < " " or character in "\x7f\ufffd" for character in path):
        raise BadRequest("The path contains a control character, or is not valid UTF-8")
    return re.sub("/{2,}", "/", path)


def canonical(path: str) -> tuple[str, bool]:
    """``path`` as routes spell it, and whether it had the suffix ``.json`` (rest §1.1)."""
    path = path.rstrip("/") or "/"
    suffixed = path.endswith(".json")
    if suffixed:
        path = path[: -len(".json")].rstrip("/") or "/"
    return re.sub(r"^/chat/(dialog|message)(?=/|$)", _capitalised, path, flags=re.IGNORECASE), suffixed


def _capitalised(segments: re.Match[str]) -> str:
    return "/chat/" + segments[1].capitalize()


class CanonicalPath:
    """Middleware: gives the router the one spelling of each path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                path, suffixed = canonical(target_path(scope))
            except BadRequest as error:
                await error_response(error)(scope, receive, send)
                return
            scope = {**scope, "path": path, JSON_SUFFIX: suffixed}
        await self._app(scope, receive, send)


class Counted:
    """Middleware: counts the requests. Strangers choose paths and methods: those of no route count together."""

    def __init__(self, app: ASGIApp, requests: dict[tuple[str, str, int], int]) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = ["other"]
        method = scope["method"] if scope["method"] in METHODS else "other"

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                key = (method, route[0], message["status"])
                self._requests[key] = self._requests.get(key, 0) + 1
            await send(message)

        await self._app({**scope, ROUTE: route}, receive, counting)


class CatchAll:
    """Middleware: what no other place has caught is a JSON answer too, with the CORS headers of any other."""

    def __init__(self, app: ASGIApp, failures: Failures) -> None:
        self._app = app
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            await self._failures.response(error, scope)(scope, receive, send)


def bodies_budget(limits: Limits) -> Budget:
    """At least four of the largest bodies of one address, and four times as much of all."""
    of_address = max(16 * 1024 * 1024, 4 * limits.body)
    return Budget(4 * of_address, of_address, free=SMALL_BODY)


def _endpoint(
    route: Route, limits: Limits, failures: Failures, unfinished: Budget
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        request.scope[ROUTE][0] = route.path
        try:
            return json_response(await _answer(route, request, limits, unfinished), route.status)
        except Exception as error:
            return failures.response(error, request.scope)

    return endpoint


async def _answer(route: Route, request: Request, limits: Limits, unfinished: Budget) -> object:
    carried: Carried = request.scope[CARRIED]
    admit(route.caller, carried)  # before the body: a stranger has no work done for them
    with unfinished.hold(address_of(request.scope)) as holding:
        parameters = await _parameters(request, limits, holding)
    call = Call(
        params=fit(route.request, parameters.tree),
        carried=carried,
        path=request.path_params,
        headers=request.headers,
        tree=parameters.tree,
        body=parameters.body,
        address=address_of(request.scope),
    )
    return await route.handler(call)


def admit(caller: Caller, carried: Carried) -> None:
    """Whether the session or the key of a request is enough for a route.

    Raises ``SessionRequired``, ``Unauthorized`` or ``Forbidden``.
    """
    if caller in (Caller.NOBODY, Caller.KEY):
        return
    if caller is Caller.ADMIN:
        if carried.administered is None:
            raise Unauthorized
        return
    if carried.session is None:
        raise SessionRequired
    if caller is Caller.USER and carried.session.user_id is None:
        raise Forbidden("Forbidden. Need user.")


async def _parameters(request: Request, limits: Limits, holding: Holding) -> Parameters:
    """Reads the body, which may come with any method (rest §1.4), but never more of it than the limit."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limits.body:
                raise BadRequest(f"Request body is too large (maximum is {limits.body} bytes)")
            holding.grow_to(len(body))
    except ClientDisconnect:
        raise BadRequest("Request body is incomplete") from None
    if query := request.scope["query_string"]:
        check_query(query, limits, token=request.scope["path"].startswith(DOWNLOADS))
    return normalise(request.scope["query_string"], request.headers.get("content-type", ""), bytes(body), limits)


def _health(
    check: Callable[[], Awaitable[dict[str, object]]] | None, failures: Failures
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        request.scope[ROUTE][0] = "/health"
        try:
            details = await check() if check is not None else {}
        except Exception as error:
            return failures.response(error, request.scope)
        return json_response({"status": "ok", **details})

    return endpoint


async def _unknown_path(request: Request, error: Exception) -> Response:
    """No such path, or not with this method: of an API route 404 all the same (quirks A3), with what it allows."""
    allowed: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            allowed |= getattr(route, "methods", None) or set()
    if request.scope["path"] == "*":
        allowed = set(METHODS)
    if not allowed:
        return error_response(NotFound("The requested resource does not exist"))
    headers = {"Allow": ", ".join(sorted(allowed | {"OPTIONS"}))}
    if request.method == "OPTIONS":
        response = json_response({})
    elif is_public(request.scope["path"], PUBLIC_FOLDERS):
        response = json_response({"errors": {"base": ["Method not allowed"]}}, 405)
    else:
        response = error_response(NotFound("The requested resource does not exist"))
    response.headers.update(headers)
    return response
