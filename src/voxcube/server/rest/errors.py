"""Domain error → HTTP status: the one table, and the one shape of an error body (rest §1.6)."""

from __future__ import annotations

import msgspec
import structlog
from starlette.responses import Response
from starlette.types import Scope

from voxcube.server.core import errors

log = structlog.get_logger(__name__)

#: Only codes whose body the Flutter SDK shows (quirks A3). The most specific class of an error decides.
STATUS: dict[type[errors.DomainError], int] = {
    errors.BadRequest: 400,
    errors.Unauthorized: 401,
    errors.SessionRequired: 401,
    errors.Forbidden: 403,
    errors.Blocked: 403,
    errors.NotFound: 404,
    errors.Invalid: 422,
    errors.Conflict: 422,
    errors.TooManyRequests: 429,
    errors.TooLong: 503,
    errors.Unavailable: 503,
    errors.Uncertain: 503,
    errors.DomainError: 500,
}

JSON = "application/json; charset=utf-8"
#: Answers are private: no cache keeps them, and no browser takes them for anything but JSON.
PRIVATE = {"Content-Type": JSON, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def json_response(body: object, status: int = 200) -> Response:
    """``body`` (a struct, dict or list) as JSON."""
    return Response(msgspec.json.encode(body), status, media_type=None, headers=PRIVATE)


def status_of(error: errors.DomainError) -> int:
    """The HTTP status for ``error``."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def error_response(error: errors.DomainError) -> Response:
    """``error`` as the caller sees it."""
    response = json_response({"errors": error.errors}, status_of(error))
    if isinstance(error, errors.TooManyRequests | errors.Unavailable) and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


class Failures:
    """Answers to whatever went wrong, and the one place where our own mistakes are logged."""

    def __init__(self, unavailable: tuple[type[Exception], ...] = ()) -> None:
        """``unavailable``: errors of what stands below us that mean "try again later" (the database is away)."""
        self._unavailable = unavailable

    def response(self, error: Exception, scope: Scope) -> Response:
        """The answer to ``error``; of a mistake of ours the caller learns nothing but that."""
        if isinstance(error, errors.DomainError):
            return error_response(error)
        # The path and no more: query and body may hold tokens, passwords and messages.
        where = {"method": scope.get("method"), "path": scope.get("path")}
        if isinstance(error, self._unavailable):
            log.warning("rest.unavailable", reason=type(error).__name__, **where)
            return error_response(errors.Unavailable())
        log.error("rest.failed", exc_info=error, **where)
        return json_response({"errors": {"base": ["Internal server error"]}}, 500)
