"""What a service may refuse, independent of the door that asked.

The hierarchy (each door has one table from these classes to its own errors)::

    DomainError
    ├── BadRequest           the request has no readable structure                      HTTP 400
    ├── Unauthorized         wrong login, password or key                               HTTP 401
    │   └── SessionRequired  no session, or one that has ended                          HTTP 401
    ├── Forbidden            the caller is known and may not do this                    HTTP 403
    │   └── Blocked          one of the two has blocked the other                       HTTP 403
    ├── NotFound             it does not exist, or is hidden from the caller            HTTP 404
    ├── Invalid              readable, but a value is not acceptable                    HTTP 422
    │   └── Conflict         the value is acceptable, but taken                         HTTP 422
    ├── TooLong              a search that was ended after its time                     HTTP 503
    ├── TooManyRequests      a rate limit; ``retry_after`` seconds from now             HTTP 429
    └── Unavailable          the server cannot do it now (database away, disk full)     HTTP 503
        └── Uncertain        the same, and it may have been done all the same           HTTP 503
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Errors by field name; ``base`` holds those that concern no field (rest §1.6).
FieldErrors = Mapping[str, Sequence[str]]


class DomainError(Exception):
    """A refusal that the caller is told about. The class docstring's first line is the default text."""

    default = "The request was refused"

    def __init__(self, errors: str | FieldErrors | None = None) -> None:
        """``errors``: one text, or texts by field name; the class's default text when absent."""
        if errors is None:
            errors = self.default
        if isinstance(errors, str):
            errors = {"base": [errors]}
        self.errors: dict[str, list[str]] = {field: list(texts) for field, texts in errors.items()}
        super().__init__(self.text)

    @property
    def text(self) -> str:
        """All reasons in one line, for a door that has room for one text only (XMPP ``<text/>``)."""
        return "; ".join(
            text if field == "base" else f"{field} {text}" for field, texts in self.errors.items() for text in texts
        )


class BadRequest(DomainError):
    """The request cannot be read."""

    default = "Bad request"


class Unauthorized(DomainError):
    """Wrong login, password or key. Never says which of them (no enumeration of accounts)."""

    default = "Unauthorized"


class SessionRequired(Unauthorized):
    """No session, or one that has ended. The official JS SDK compares this text literally (quirks A4)."""

    default = "Required session does not exist"


class Forbidden(DomainError):
    """The caller is known and may not do this."""

    default = "Forbidden"


class Blocked(Forbidden):
    """One of the two users has blocked the other; which of them, and that it is this, is not told (realtime §15)."""

    default = "Service not available."


class NotFound(DomainError):
    """It does not exist, or is hidden from the caller: the two look the same on purpose."""

    default = "Not found"


class Invalid(DomainError):
    """Readable, but a value is not acceptable; texts by field name."""

    default = "Invalid value"


class Conflict(Invalid):
    """The value is acceptable but belongs to something else already (a login, a message id)."""

    default = "Conflict"


class TooManyRequests(DomainError):
    """A rate limit was reached; ``retry_after`` is in seconds."""

    default = "Too many requests"

    def __init__(self, retry_after: int, errors: str | FieldErrors | None = None) -> None:
        super().__init__(errors)
        self.retry_after = retry_after


class TooLong(DomainError):
    """The request takes more time than it may: asked more narrowly it can be answered."""

    default = "The request takes too long"


class Unavailable(DomainError):
    """The server cannot do it now: the database is away, the disk is full, a queue no longer takes.

    ``retry_after``: in seconds, where it is known.
    """

    default = "Service unavailable"

    def __init__(self, errors: str | FieldErrors | None = None, *, retry_after: int | None = None) -> None:
        super().__init__(errors)
        self.retry_after = retry_after


class Uncertain(Unavailable):
    """The server cannot work now, and lost the answer to a commit: the change is stored wholly or not at all."""

    default = "Service unavailable"
