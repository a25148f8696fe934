"""A REST route as one value: method, path, what goes in, what comes out, who may call (OpenAPI is made from these)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec

from voxcube.server.core.errors import Forbidden, NotFound, SessionRequired, Unauthorized
from voxcube.server.core.ids import MAX_INTEGER_ID, is_object_id
from voxcube.server.core.models import Session
from voxcube.server.rest.normalise import Tree

P = TypeVar("P", bound=msgspec.Struct)


class Caller(Enum):
    """Who may call a route (rest §3.5)."""

    NOBODY = "nobody"  # no session needed; one that is sent is known to the handler
    KEY = "key"  # any live session, or the application's key in CB-AuthKey, which the handler looks at
    APP = "app"  # any live session
    USER = "user"  # a user session
    ADMIN = "admin"  # the application's key in CB-Administration-API-Key; no session


class Open(msgspec.Struct):
    """An object of an answer that may have further keys, which no struct can name."""


class Nothing(msgspec.Struct):
    """No parameters, or an empty object as the answer."""


@dataclass(slots=True)
class Carried:
    """The session of a request, shared by the authentication and the handler.

    A handler that makes or changes the session puts the new one here: the expiry header follows it (rest §1.3).
    ``sent`` is whether a token came at all, valid or not. ``administered`` is the application that the request's
    administration key stands for, None without one.
    """

    session: Session | None = None
    token: str = field(default="", repr=False)
    administered: int | None = None

    @property
    def sent(self) -> bool:
        return self.token != ""


@dataclass(frozen=True, slots=True)
class Call(Generic[P]):
    """One request as its handler sees it."""

    params: P
    carried: Carried
    path: Mapping[str, Any]
    headers: Mapping[str, str]
    tree: Tree  # the whole normalised request: filters and custom keys, which no struct can name
    body: Tree  # the body's part of it
    address: str = ""  # the client's IP address

    @property
    def session(self) -> Session:
        """The caller's session, of an application or of a user."""
        if self.carried.session is None:
            raise SessionRequired
        return self.carried.session

    @property
    def app_id(self) -> int:
        return self.session.app_id

    @property
    def administered(self) -> int:
        """The application that the caller administers."""
        if self.carried.administered is None:
            raise Unauthorized
        return self.carried.administered

    @property
    def user_id(self) -> int:
        """The calling user; an application session is refused (rest §1.6)."""
        user_id = self.session.user_id
        if user_id is None:
            raise Forbidden("Forbidden. Need user.")
        return user_id

    def integer(self, name: str) -> int:
        """An integer id from the path. One that no object can have is the same as one that none has."""
        value = int(self.path[name])
        if not 0 < value <= MAX_INTEGER_ID:
            raise NotFound
        return value

    def object_id(self, name: str) -> str:
        """A dialog or message id from the path."""
        value = str(self.path[name]).strip()
        if not is_object_id(value):
            raise NotFound
        return value


Handler = Callable[[Call[Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a feature offers over HTTP.

    ``response`` documents the body: a struct, several joined by ``|``, or a dict. ``status`` is 200, 201 or 202
    (quirks A2). ``summary`` is one line for the reader of the documentation; ``filters`` names the fields that a list
    can be filtered by (`rest.filters`).
    """

    method: str
    path: str
    handler: Handler
    caller: Caller
    request: type[msgspec.Struct] = Nothing
    response: Any = Nothing
    status: int = 200
    summary: str = ""
    filters: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.status not in (200, 201, 202):
            raise ValueError(
                f"{self.method} {self.path}: the Flutter SDK takes any status but 200, 201, 202 as a failure"
            )
