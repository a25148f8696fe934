"""``cube.users``: user accounts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from voxcube.client import query
from voxcube.client.errors import NotFound
from voxcube.client.filters import UserFilters
from voxcube.client.http import Http
from voxcube.client.models import Page, User
from voxcube.client.values import Clear, changed


class SignupFields(TypedDict, total=False):
    """Further fields of an account that ``users.signup`` takes."""

    phone: str
    website: str
    avatar: str
    custom_data: str
    external_id: str
    facebook_id: str
    twitter_id: str
    timezone: int


class Users:
    """Signs users up, changes and deletes the own account, and finds others."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def signup(
        self,
        *,
        password: str,
        login: str | None = None,
        email: str | None = None,
        full_name: str | None = None,
        tags: Iterable[str] = (),
        **fields: Unpack[SignupFields],
    ) -> User:
        """Creates a user account. No session is created; the current one, if any, stays as it is.

        Args:
            password: 8 to 40 characters unless the server is configured otherwise.
            login: 3 to 70 characters, unique in the application; or give ``email``, or both.
            email: unique in the application.
            full_name: the name shown to others.
            tags: at most five texts by which users are found.
            fields: further fields of the account: ``phone`` (10 to 15 digits), ``website``, ``avatar``,
                ``custom_data`` (text), ``external_id``, ``facebook_id``, ``twitter_id``, ``timezone`` (minutes from
                UTC).

        Returns:
            The new user.

        Raises:
            ValidationFailed: a refused value; ``errors`` names the field.
            Unauthorized: unknown auth key.
            TransportError: the network failed.
            ValueError: neither login nor email, or an unknown field.

        Source: ConnectyCube REST API, "User sign up".

        Example:
            >>> ann = await cube.users.signup(login="ann", password="s3cret-pass", full_name="Ann Lee", tags=["vip"])
            >>> ann.user_tags
            ('vip',)
        """
        if login is None and email is None:
            raise ValueError("give login or email")
        named = {"login": login, "email": email, "full_name": full_name, "password": password}
        unknown = fields.keys() - SignupFields.__annotations__.keys()
        if unknown:
            raise ValueError(f"a user has no field {', '.join(map(repr, sorted(unknown)))}")
        user = {**fields, **changed(named | {"tag_list": _tags(tags) or None})}
        reply = await self._http.request("POST", "users", json={"user": user}, anonymous=True)
        return reply.read(_user)

    async def update(
        self,
        *,
        login: str | Clear | None = None,
        email: str | Clear | None = None,
        full_name: str | Clear | None = None,
        phone: str | Clear | None = None,
        website: str | Clear | None = None,
        avatar: str | Clear | None = None,
        custom_data: str | Clear | None = None,
        external_id: str | Clear | None = None,
        facebook_id: str | Clear | None = None,
        twitter_id: str | Clear | None = None,
        timezone: int | Clear | None = None,
        tags: Iterable[str] | Clear | None = None,
        password: str | None = None,
        old_password: str | None = None,
    ) -> User:
        """Changes the account of the session's user. What is not given stays; ``CLEAR`` empties a field.

        Args:
            login: 3 to 70 characters, unique in the application.
            email: unique in the application.
            full_name: the name shown to others.
            phone: 10 to 15 digits, with or without a leading ``+``.
            website: an address.
            avatar: usually the uid of an uploaded file.
            custom_data: any text, often JSON.
            external_id: the user's id in another system, unique in the application.
            facebook_id: the user's id there.
            twitter_id: the user's id there.
            timezone: minutes from UTC.
            tags: the new tags in place of the old ones, at most five; an empty list removes all.
            password: the new password, together with ``old_password``.
            old_password: the password until now; also for another login, email or phone where the application
                requires it (``require_password_for_account_changes``).

        Returns:
            The user as it is now; ``cube.session.user`` is replaced by it.

        Raises:
            ValidationFailed: a refused value, a taken login, or a wrong old password; ``errors`` names the field.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: a new password without the old one, or nothing to change.

        Source: ConnectyCube REST API, "Update user".

        Example:
            >>> ann = await cube.users.update(full_name="Ann Ray", phone=CLEAR)
            >>> await cube.users.update(password="n3w-secret", old_password="s3cret-pass")
        """
        if password is not None and old_password is None:
            raise ValueError("a new password needs the old one: give password and old_password")
        user = changed(
            {
                "login": login,
                "email": email,
                "full_name": full_name,
                "phone": phone,
                "website": website,
                "avatar": avatar,
                "custom_data": custom_data,
                "external_id": external_id,
                "facebook_id": facebook_id,
                "twitter_id": twitter_id,
                "timezone": timezone,
                "tag_list": tags if tags is None or isinstance(tags, Clear) else _tags(tags),
                "password": password,
            }
        )
        if not user:
            raise ValueError("give what to change")
        if old_password is not None:
            user["old_password"] = old_password
        reply = await self._http.request("PUT", f"users/{self._http.user_id}", json={"user": user})
        updated = reply.read(_user)
        session = self._http.session
        if session is not None and session.user_id == updated.id:
            self._http.set_session(replace(session, user=updated))
        return updated

    async def delete(self) -> None:
        """Deletes the account of the session's user for good.

        Its sessions and chat connections end, and it leaves its dialogs; its messages stay. Afterwards this client
        has no session.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Delete user".

        Example:
            >>> await cube.users.delete()
        """
        # Never with a session made anew meanwhile: an application that signs unknown logins up would make, and we
        # delete, another account.
        await self._http.request("DELETE", f"users/{self._http.user_id}", restore=False)
        self._http.set_session(None)

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

    async def list(
        self, *, limit: int = 100, skip: int = 0, sort: str | None = None, **filters: Unpack[UserFilters]
    ) -> Page[User]:
        """Fetches the users that fit all filters.

        Args:
            limit: the most users to return, at most 100.
            skip: how many to pass over.
            sort: one of the filters' fields, descending with a leading ``-``.
            filters: ``field=value`` or ``field__operator=value``, all of which must fit. At least one of ``id``,
                ``login``, ``email``, ``full_name``, ``phone``, ``external_id``, ``facebook_id``, ``twitter_id``,
                ``user_tags`` is needed, plain, with ``__in`` (a list) or with ``__start_with`` (4 characters or more;
                at most five users are returned then). ``__nin`` (a list) excludes. ``created_at``, ``updated_at`` and
                ``last_request_at`` take ``__gt``, ``__gte``, ``__lt``, ``__lte`` with aware datetimes or unix
                seconds.

        Returns:
            A page of users; ``total`` counts all that fit.

        Raises:
            ValidationFailed: the server does not accept this combination of filters.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: an unknown filter, operator or sort, a limit above 100, or an empty list.

        Source: ConnectyCube REST API, "Retrieve users V2".

        Example:
            >>> page = await cube.users.list(id__in=[77, 88])
            >>> [user.login for user in page]
            ['ann', 'bob']
            >>> await cube.users.list(user_tags__in=["vip"], created_at__gt=yesterday, sort="-created_at")
            >>> await cube.users.list(full_name__start_with="Anna", id__nin=[77])
        """
        params = query.page(limit, skip, sort, sorts=_SORTS, skip_name="offset")
        params += query.filters(filters, UserFilters)
        reply = await self._http.request("GET", "users/v2", params=params)
        return reply.read(lambda data: Page.from_json(data, User.from_json))

    async def by_login(self, login: str) -> User:
        """Fetches the user with this login, compared without case.

        Raises:
            NotFound: there is none in this application.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Retrieve user by login".

        Example:
            >>> bob = await cube.users.by_login("bob")
        """
        return await self._look_up("login", login)

    async def by_email(self, email: str) -> User:
        """Fetches the user with this e-mail address, compared without case; errors as ``by_login``.

        Source: ConnectyCube REST API, "Retrieve user by email".

        Example:
            >>> bob = await cube.users.by_email("bob@example.org")
        """
        return await self._look_up("email", email)

    async def by_phone(self, phone: str) -> User:
        """Fetches the user with this phone number, with or without its leading ``+``; errors as ``by_login``.

        Source: ConnectyCube REST API, "Retrieve users by phone".

        Example:
            >>> bob = await cube.users.by_phone("+4722334455")
        """
        return await self._look_up("phone", phone)

    async def by_facebook_id(self, facebook_id: str) -> User:
        """Fetches the user with this Facebook id; errors as ``by_login``.

        Source: ConnectyCube REST API, "Retrieve user by Facebook id".

        Example:
            >>> bob = await cube.users.by_facebook_id("100004")
        """
        return await self._look_up("facebook_id", facebook_id)

    async def by_twitter_id(self, twitter_id: str) -> User:
        """Fetches the user with this Twitter id; errors as ``by_login``.

        Source: ConnectyCube REST API, "Retrieve user by Twitter id".

        Example:
            >>> bob = await cube.users.by_twitter_id("200008")
        """
        return await self._look_up("twitter_id", twitter_id)

    async def by_external_id(self, external_id: str) -> User:
        """Fetches the user with this id in another system; errors as ``by_login``.

        Source: ConnectyCube REST API, "Retrieve users V2" by ``external_id``.

        Example:
            >>> bob = await cube.users.by_external_id("crm-88")
        """
        # Not GET /users/external/…, which looks among the numbers of the old field external_user_id first.
        for user in await self.list(external_id=external_id, limit=1):
            return user
        raise NotFound(404, {"base": [f"there is no user with the external id {external_id}"]})

    async def by_full_name(self, full_name: str, *, page: int = 1, per_page: int = 10) -> Page[User]:
        """Finds users whose full name contains a text, compared without case.

        Args:
            full_name: the text.
            page: which page of the result, from 1.
            per_page: the most users to return, at most 100.

        Returns:
            A page of users; ``total`` counts all that fit.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            ValidationFailed: an empty text.
            TransportError: the network failed.
            ValueError: a page or size below 1.

        Source: ConnectyCube REST API, "Retrieve users by full name".

        Example:
            >>> [user.full_name for user in await cube.users.by_full_name("lee")]
            ['Ann Lee', 'Lee Roy']
        """
        return await self._search("full_name", [("full_name", full_name)], page, per_page)

    async def by_tags(self, tags: Iterable[str], *, page: int = 1, per_page: int = 10) -> Page[User]:
        """Finds users who have any of the tags; further arguments, result and errors as ``by_full_name``.

        Source: ConnectyCube REST API, "Retrieve users by tags".

        Example:
            >>> page = await cube.users.by_tags(["vip", "early"])
            >>> page.total
            12
        """
        return await self._search("tags", [("tags", ",".join(_tags(tags)))], page, per_page)

    async def online(self, *, limit: int = 100, skip: int = 0) -> Page[User]:
        """Fetches users who are connected to the chat now.

        Args:
            limit: the most users to return, at most 100.
            skip: how many to pass over.

        Returns:
            A page of users; ``total`` is None, see ``online_count``.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Retrieve online users".

        Example:
            >>> [user.login for user in await cube.users.online()]
            ['ann', 'bob']
        """
        params = query.page(limit, skip, None, skip_name="offset")
        reply = await self._http.request("GET", "users/online", params=params)
        return reply.read(lambda data: Page(tuple(User.from_json(user) for user in data["users"]), skip, limit))

    async def online_count(self) -> int:
        """Counts the users who are connected to the chat now; errors as ``online``.

        Source: ConnectyCube REST API, "Retrieve online users count".

        Example:
            >>> await cube.users.online_count()
            12
        """
        reply = await self._http.request("GET", "users/online", params=[("count", "1")])
        return reply.read(lambda data: int(data["count"]))

    async def _look_up(self, field: str, value: str) -> User:
        reply = await self._http.request("GET", f"users/by_{field}", params=[(field, value)])
        return reply.read(_user)

    async def _search(self, field: str, params: query.Params, page: int, per_page: int) -> Page[User]:
        if page < 1 or per_page < 1:
            raise ValueError("page and per_page begin at 1")
        if per_page > 100:
            raise ValueError("per_page must be at most 100")
        params = [*params, ("page", str(page)), ("per_page", str(per_page))]
        reply = await self._http.request("GET", f"users/by_{field}", params=params)
        return reply.read(lambda data: Page.from_numbered(data, _user))


_SORTS = tuple(dict.fromkeys(name.partition("__")[0] for name in UserFilters.__annotations__))


def _user(data: Any) -> User:
    return User.from_json(data["user"])


def _tags(tags: Iterable[str]) -> list[str]:
    """Tags one by one. Raises ValueError for a comma, which the server takes for the end of a tag."""
    given = [tags] if isinstance(tags, str) else [*tags]
    for tag in given:
        if "," in tag:
            raise ValueError(f"a tag cannot contain a comma: {tag!r}")
    return given
