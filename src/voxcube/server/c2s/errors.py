"""Domain error → stanza error condition: the one table."""

from __future__ import annotations

from voxcube.server.core import errors
from voxcube.server.core.errors import DomainError
from voxcube.server.storage.database import DatabaseError, DataError

# realtime §7.2 and §9.1; RFC 6120 §8.3.3
CONDITIONS: dict[type[DomainError], str] = {
    errors.BadRequest: "bad-request",
    errors.Unauthorized: "not-authorized",
    errors.SessionRequired: "not-authorized",
    errors.Forbidden: "forbidden",
    errors.Blocked: "service-unavailable",
    errors.NotFound: "item-not-found",
    errors.Invalid: "not-acceptable",
    errors.Conflict: "conflict",
    errors.TooManyRequests: "policy-violation",
    errors.TooLong: "resource-constraint",
    errors.Unavailable: "internal-server-error",
}


def condition_of(error: DomainError) -> str:
    """The condition of an error, by its class or the nearest base class in the table."""
    for kind in type(error).__mro__:
        if (found := CONDITIONS.get(kind)) is not None:
            return found
    return "internal-server-error"


def is_outage(error: Exception) -> bool:
    """Whether this is no answer to the request but a server that cannot do its work: never counted, the stream ends."""
    # A value that the database does not take is refused for good: uncounted, the client would send it for ever.
    return isinstance(error, errors.Unavailable | DatabaseError) and not isinstance(error, DataError)
