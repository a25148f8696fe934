"""What can go wrong in the SDK, as one tree of exceptions.

    CubeError
    ├── ApiError                  the REST server refused (status, errors, body)
    │   ├── BadRequest            400
    │   ├── SessionExpired        401, the session token is missing, unknown or too old
    │   ├── Unauthorized          401, wrong login or password
    │   ├── Forbidden             403
    │   ├── NotFound              404
    │   ├── ValidationFailed      422
    │   ├── RateLimited           429 (retry_after)
    │   └── ServerError           5xx
    ├── TransportError            the network failed, or took too long
    ├── ChatError
    │   ├── NotConnected          there is no ready chat connection
    │   │   └── ClientClosed      the client was closed; REST calls raise it too
    │   ├── AuthenticationFailed  the chat server refused the password (condition, text)
    │   ├── StanzaError           the chat server refused one stanza (type, code, condition, text, stanza_id)
    │   ├── ChatTimeout           no answer in time
    │   ├── MessageLost           the connection ended before the server confirmed the message
    │   ├── SessionReplaced       another connection under the same resource took this one's place
    │   └── ChatClosed            an iterator ended because the chat was given up (reason)
    └── EventsLost                events were dropped because nobody read them in time (count)

Mistakes in arguments are plain ``ValueError``.
"""

from __future__ import annotations

from typing import Any

SESSION_EXPIRED_TEXT = "Required session does not exist"


class CubeError(Exception):
    """The base of everything the SDK raises about the outside world."""


class ApiError(CubeError):
    """The REST server answered with an error.

    Attributes:
        status: the HTTP status code.
        errors: reasons by field; what concerns no field is under ``"base"``.
        body: the decoded JSON body, or its text when it was not JSON.
        method: the HTTP method of the request; empty when unknown.
        url: the address of the request without its query, which can hold secrets; empty when unknown.
    """

    method: str = ""
    url: str = ""

    def __init__(self, status: int, errors: dict[str, list[str]], body: Any = None) -> None:
        super().__init__(status, errors, body)
        self.status = status
        self.errors = errors
        self.body = body

    def __str__(self) -> str:
        reasons = [
            reason if field == "base" else f"{field} {reason}"
            for field, texts in self.errors.items()
            for reason in texts
        ]
        said = f"{self.status}: {'; '.join(reasons) or 'no reason given'}"
        return f"{said} ({self.method} {self.url})" if self.url else said


class BadRequest(ApiError):
    """400: the server could not read the request."""


class SessionExpired(ApiError):
    """401: the session token is missing, unknown or expired; create a new session."""


class Unauthorized(ApiError):
    """401: the login, e-mail or password is wrong."""


class Forbidden(ApiError):
    """403: this session may not do that."""


class NotFound(ApiError):
    """404: no such object, or it is hidden from this session."""


class ValidationFailed(ApiError):
    """422: a value was refused; ``errors`` says which field and why."""


class RateLimited(ApiError):
    """429: too many requests.

    Attributes:
        retry_after: seconds to wait, when the server said so.
    """

    def __init__(
        self, status: int, errors: dict[str, list[str]], body: Any = None, retry_after: float | None = None
    ) -> None:
        super().__init__(status, errors, body)
        self.retry_after = retry_after


class ServerError(ApiError):
    """5xx: the server failed; the request may be tried again later."""


class TransportError(CubeError):
    """The network failed, the certificate was refused, or the connection took too long.

    Attributes:
        host: the host of the connection, when known.
        port: its port.
        url: the address of the REST request without its query, for these; None for the chat.
    """

    def __init__(
        self, reason: str, *, host: str | None = None, port: int | None = None, url: str | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.host = host
        self.port = port
        self.url = url

    def __str__(self) -> str:
        if self.host is None or self.url is not None:
            return self.reason
        where = f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        return self.reason if where in self.reason else f"{self.reason} ({where})"


class ChatError(CubeError):
    """The base of what goes wrong in the chat connection."""


class NotConnected(ChatError):
    """There is no ready chat connection; call ``chat.connect()`` first."""


class ClientClosed(NotConnected):
    """The client was closed; make a new ``Client``. REST calls of a closed client raise it too."""

    def __str__(self) -> str:
        return "this client is closed; make a new Client"


class AuthenticationFailed(ChatError):
    """The chat server refused the credentials (RFC 6120 §6.5).

    Attributes:
        condition: the SASL condition, usually ``"not-authorized"``.
        text: the server's explanation, possibly empty.
    """

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(condition, text)
        self.condition = condition
        self.text = text

    @property
    def is_temporary(self) -> bool:
        """Whether the same credentials may be accepted later: the server is overloaded, or limits logins."""
        return self.condition == "temporary-auth-failure"  # RFC 6120 §6.5.11

    def __str__(self) -> str:
        return f"{self.condition}: {self.text}" if self.text else self.condition


class StanzaError(ChatError):
    """The chat server refused one stanza (RFC 6120 §8.3).

    Attributes:
        type: ``"cancel"``, ``"auth"``, ``"modify"``, ``"wait"`` or ``"continue"``.
        code: the number of the condition, e.g. 503 when the recipient blocks you; 0 when absent.
        condition: the defined condition, e.g. ``"service-unavailable"``.
        text: the server's explanation, possibly empty.
        stanza_id: the id of the refused stanza; for a message its message id.
    """

    def __init__(
        self,
        type: str,  # noqa: A002
        code: int,
        condition: str,
        text: str = "",
        stanza_id: str | None = None,
    ) -> None:
        super().__init__(type, code, condition, text, stanza_id)
        self.type = type
        self.code = code
        self.condition = condition
        self.text = text
        self.stanza_id = stanza_id

    def __str__(self) -> str:
        said = f"{self.code} {self.condition}"
        return f"{said}: {self.text}" if self.text else said


class ChatTimeout(ChatError):
    """The chat server did not answer in time."""


class MessageLost(ChatError):
    """The connection ended before the server confirmed the message.

    It may or may not have arrived: sending it again with the same ``id`` is safe, the server stores it once.

    Attributes:
        message_id: the id to send again with.
    """

    def __init__(self, message_id: str) -> None:
        super().__init__(message_id)
        self.message_id = message_id

    def __str__(self) -> str:
        return f"the connection ended before message {self.message_id} was confirmed"


class SessionReplaced(ChatError):
    """Another connection of this user under the same resource took this one's place (RFC 6120 §4.9.3.3).

    The chat does not connect again by itself: that would only end the other connection.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        reason = "another connection under the same resource took the place of this one"
        return f"{reason}: {self.text}" if self.text else reason


class ChatClosed(ChatError):
    """The chat was closed for good while an iterator waited; ``connect()`` or ``reconnect()`` begins again.

    Attributes:
        reason: why: ``TransportError`` when the reconnect policy gave up, ``AuthenticationFailed``,
            ``SessionReplaced``, or what ``on_session_expired`` raised.
    """

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the chat is closed: {self.reason}"


class EventsLost(CubeError):
    """Events were dropped: an iterator was read too slowly, or too many came before the first listener existed.

    Raised once by the iterator, which may then be iterated further. The messages are in the history.

    Attributes:
        count: how many events were dropped.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count

    def __str__(self) -> str:
        return f"{self.count} events were dropped because they were not read in time"


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    422: ValidationFailed,
}


def api_error(status: int, body: Any, retry_after: float | None = None) -> ApiError:
    """The exception for an HTTP status and its decoded body ``{"errors": {field: [text, …]}}``."""
    errors = _error_lists(body)
    if status == 429:
        return RateLimited(status, errors, body, retry_after)
    if status == 401 and SESSION_EXPIRED_TEXT in errors.get("base", ()):
        return SessionExpired(status, errors, body)
    if status >= 500:
        return ServerError(status, errors, body)
    return _BY_STATUS.get(status, ApiError)(status, errors, body)


def _error_lists(body: Any) -> dict[str, list[str]]:
    """Brings every form of an error body (also a proxy's HTML page) to lists of texts by field."""
    found = body.get("errors", body) if isinstance(body, dict) else body
    if isinstance(found, dict):
        return {
            str(field): [str(text) for text in texts] if isinstance(texts, list) else [str(texts)]
            for field, texts in found.items()
        }
    if isinstance(found, list):
        return {"base": [str(text) for text in found]}
    return {"base": [str(found)[:200]]} if found else {}
