"""Domain error → HTTP status: the one table, and the one shape of an error body (rest §1.6)."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from voxcube.server.core import errors

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
    errors.Unavailable: 503,
    errors.DomainError: 500,
}

JSON = "application/json; charset=utf-8"


def json_response(body: object, status: int = 200) -> Response:
    """``body`` (a struct, dict or list) as JSON."""
    return Response(msgspec.json.encode(body), status, media_type=None, headers={"Content-Type": JSON})


def status_of(error: errors.DomainError) -> int:
    """The HTTP status for ``error``."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def error_response(error: errors.DomainError) -> Response:
    """``error`` as the caller sees it."""
    response = json_response({"errors": error.errors}, status_of(error))
    if isinstance(error, errors.TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def unexpected_response() -> Response:
    """What a caller is told about a mistake of ours: nothing of its inside."""
    return json_response({"errors": {"base": ["Internal server error"]}}, 500)
