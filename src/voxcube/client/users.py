"""``cube.users``: user accounts."""

from __future__ import annotations

from typing import Any

from voxcube.client import query
from voxcube.client.http import Http
from voxcube.client.models import Page, User


class Users:
    """Signs users up and finds them."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def signup(
        self,
        *,
        password: str,
        login: str | None = None,
        email: str | None = None,
        full_name: str | None = None,
        **fields: Any,
    ) -> User:
        """Creates a user account. No session is created; the current one, if any, stays as it is.

        Args:
            password: 8 to 40 characters unless the server is configured otherwise.
            login: 3 to 70 characters, unique in the application; or give ``email``, or both.
            email: unique in the application.
            full_name: the name shown to others.
            fields: further fields of the account, e.g. ``phone``, ``website``, ``avatar``, ``custom_data``,
                ``external_id``, ``tag_list`` (a list of tags), ``timezone`` (minutes from UTC).

        Returns:
            The new user.

        Raises:
            ValidationFailed: a refused value; ``errors`` names the field.
            Unauthorized: unknown auth key.
            TransportError: the network failed.
            ValueError: neither login nor email.

        Source: ConnectyCube REST API, "User sign up".

        Example:
            >>> ann = await cube.users.signup(login="ann", password="s3cret-pass", full_name="Ann Lee")
        """
        if login is None and email is None:
            raise ValueError("give login or email")
        named = {"login": login, "email": email, "full_name": full_name, "password": password}
        user = fields | {name: value for name, value in named.items() if value is not None}
        reply = await self._http.request("POST", "users", json={"user": user}, anonymous=True)
        return reply.read(_user)

    async def get(self, user_id: int) -> User:
        """Fetches one user.

        Raises:
            NotFound: there is no such user in this application.
            SessionExpired: the session has ended.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Retrieve user by identifier".

        Example:
            >>> (await cube.users.get(88)).full_name
            'Bob Ray'
        """
        reply = await self._http.request("GET", f"users/{int(user_id)}")
        return reply.read(_user)

    async def list(self, *, limit: int = 100, skip: int = 0, sort: str | None = None, **filters: Any) -> Page[User]:
        """Fetches the users that fit all filters.

        Args:
            limit: the most users to return, at most 100.
            skip: how many to pass over.
            sort: a field name, descending with a leading ``-``.
            filters: ``field=value`` or ``field__operator=value``. At least one of ``id``, ``login``, ``email``,
                ``full_name``, ``phone``, ``external_id``, ``user_tags`` is needed, plain, with ``__in`` (a list) or
                ``__start_with`` (4 characters or more). Times: datetimes or unix seconds, with
                ``__gt``, ``__gte``, ``__lt``, ``__lte``.

        Returns:
            A page of users; ``total`` counts all that fit.

        Raises:
            ValidationFailed: the server does not accept this combination of filters.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: an unknown operator, or an empty list.

        Source: ConnectyCube REST API, "Retrieve users V2".

        Example:
            >>> page = await cube.users.list(id__in=[77, 88])
            >>> [user.login for user in page]
            ['ann', 'bob']
        """
        params = query.page(limit, skip, sort, skip_name="offset") + query.filters(filters)
        reply = await self._http.request("GET", "users/v2", params=params)
        return reply.read(lambda data: Page.from_json(data, User.from_json))


def _user(data: Any) -> User:
    return User.from_json(data["user"])
