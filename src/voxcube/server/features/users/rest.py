"""Accounts over HTTP (rest §4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from voxcube.server.core.errors import Forbidden
from voxcube.server.core.listing import Listing
from voxcube.server.core.models import User, Viewer
from voxcube.server.features.users.directory import Directory
from voxcube.server.features.users.doorkeeper import Doorkeeper
from voxcube.server.features.users.fields import WRITABLE
from voxcube.server.features.users.removal import Removal
from voxcube.server.features.users.service import LOOK_UPS, STAND_ALONE, UserService
from voxcube.server.rest.bodies import UserAnswer, UserBody, user_body
from voxcube.server.rest.filters import Kind, conditions, refuse_unknown
from voxcube.server.rest.filters_v1 import conditions_v1, order_v1
from voxcube.server.rest.paging import Numbered, Paged, listing, numbered
from voxcube.server.rest.route import Call, Caller, Nothing, Route


class UserFields(msgspec.Struct):
    """What clients may write of an account; other keys of their models are ignored. ``null`` clears a field."""

    login: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    password: str | None = None
    full_name: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    website: str | UnsetType | None = UNSET
    custom_data: str | UnsetType | None = UNSET
    avatar: str | UnsetType | None = UNSET
    external_user_id: int | UnsetType | None = UNSET
    external_id: str | UnsetType | None = UNSET
    facebook_id: str | UnsetType | None = UNSET
    twitter_id: str | UnsetType | None = UNSET
    blob_id: int | UnsetType | None = UNSET
    user_tags: list[str] | UnsetType | None = UNSET
    tag_list: list[str] | UnsetType | None = UNSET
    timezone: int | UnsetType | None = UNSET


class ChangedFields(UserFields):
    """A new password needs the old one."""

    old_password: str | None = None
    oldPassword: str | None = None  # as Flutter's model spells it (rest §4.1)


class SignUp(msgspec.Struct):
    user: UserFields


class Change(msgspec.Struct):
    user: ChangedFields


class UsersAnswer(msgspec.Struct):
    limit: int
    skip: int
    total_entries: int
    items: list[UserBody]


class NumberedUsers(Numbered):
    order: str | None = None


class NumberedUsersAnswer(msgspec.Struct):
    current_page: int
    per_page: int
    total_entries: int
    items: list[UserAnswer]


class ByFullName(Numbered):
    full_name: str = ""


class ByTags(Numbered):
    tags: list[str] = msgspec.field(default_factory=list)


class Online(msgspec.Struct):
    limit: int | None = None
    offset: int | None = None
    count: bool | None = None


class OnlineUsers(msgspec.Struct):
    users: list[UserBody]


class OnlineCount(msgspec.Struct):
    count: int


#: Field → the request that looks a user up by it.
_BY = {field: msgspec.defstruct(f"By_{field}", [(field, str, "")]) for field in LOOK_UPS}

_FILTERS = {name: Kind.INTEGER if name == "id" else Kind.TEXT for name in STAND_ALONE}
_DATES = dict.fromkeys(("last_request_at", "created_at", "updated_at"), Kind.SECONDS)
#: By version 2 (rest §4.3).
_OPERATORS = {
    **dict.fromkeys(_FILTERS, ("eq", "in", "start_with", "nin")),
    **dict.fromkeys(_DATES, ("gt", "lt", "gte", "lte")),
}
_FILTERS_V1 = {
    **_FILTERS,
    **_DATES,
    "website": Kind.TEXT,
    "external_user_id": Kind.INTEGER,
}
del _FILTERS_V1["user_tags"]


async def _nothing_to_write() -> None:
    pass


def routes(
    service: UserService,
    directory: Directory,
    removal: Removal,
    doorkeeper: Doorkeeper,
    *,
    written: Callable[[], Awaitable[None]] = _nothing_to_write,
) -> list[Route]:
    """The routes of this feature. `written()` waits until it is stored who is online."""

    async def sign_up(call: Call[SignUp]) -> UserAnswer:
        given = call.params.user
        carried = call.carried
        doorkeeper.sign_up(call.address)
        user = await service.sign_up(
            app_id=None if carried.session is None else carried.session.app_id,
            # A token that has ended is answered as such, whatever key comes with it: the SDK then renews its session.
            auth_key="" if carried.sent else call.headers.get("CB-AuthKey", "").strip(),
            fields=_written(given),
            password=given.password,
            address=call.address,
        )
        return _one(user)

    async def change(call: Call[Change]) -> UserAnswer:
        if call.integer("id") != call.user_id:
            raise Forbidden
        given = call.params.user
        account = (call.app_id, call.user_id)
        attempt = None
        if given.password:
            doorkeeper.change(account, call.address)
        if given.password or given.old_password or given.oldPassword:
            # A session alone shall not find out the password: a change that is refused counts as a wrong one.
            attempt = doorkeeper.knock(account, call.address)
        user = await service.update(
            call.app_id,
            call.user_id,
            _written(given),
            password=given.password,
            old_password=given.old_password or given.oldPassword,
            token=call.carried.token,
            address=call.address,
        )
        if attempt is not None:
            attempt.undo()
        if given.password:
            doorkeeper.changed(account, call.address)
        return _one(user)

    async def remove(call: Call[Nothing]) -> Nothing:
        await removal.remove_own(call.app_id, call.user_id, call.integer("id"))
        return Nothing()

    async def remove_external(call: Call[Nothing]) -> Nothing:
        found = await service.by_external(call.app_id, str(call.path["external"]))
        await removal.remove_own(call.app_id, call.user_id, found.id)
        return Nothing()

    async def get(call: Call[Nothing]) -> UserAnswer:
        return _one(await directory.get(Viewer.of(call.session), call.integer("id")))

    async def get_external(call: Call[Nothing]) -> UserAnswer:
        return _one(await directory.by_external(Viewer.of(call.session), str(call.path["external"])))

    def look_up(path: str, field: str) -> Route:
        async def found(call: Call[Any]) -> UserAnswer:
            return _one(await directory.look_up(Viewer.of(call.session), field, getattr(call.params, field)))

        return Route(
            method="GET",
            path=path,
            handler=found,
            caller=user,
            request=_BY[field],
            response=UserAnswer,
            summary=f"One user, by {field}",
        )

    async def page(call: Call[Paged]) -> UsersAnswer:
        wanted = conditions(call.tree, {**_FILTERS, **_DATES}, parameters=Paged, operators=_OPERATORS)
        asked = listing(call.params, wanted, sortable=(*STAND_ALONE, *_DATES), asker=call.user_id)
        asked, total, users = await directory.page(Viewer.of(call.session), asked)
        return UsersAnswer(asked.limit, asked.skip, total, [user_body(user) for user in users])

    async def walk(call: Call[NumberedUsers]) -> NumberedUsersAnswer:
        refuse_unknown(call.tree, NumberedUsers, "filter")
        number, asked = numbered(call.params, asker=call.user_id)
        asked = dataclasses.replace(
            asked,
            conditions=conditions_v1(call.tree, _FILTERS_V1),
            order=order_v1(call.params.order, _FILTERS_V1),
        )
        return _numbered(number, asked, *await directory.walk(Viewer.of(call.session), asked))

    async def by_full_name(call: Call[ByFullName]) -> NumberedUsersAnswer:
        refuse_unknown(call.tree, ByFullName)
        number, asked = numbered(call.params, asker=call.user_id)
        return _numbered(
            number, asked, *await directory.by_full_name(Viewer.of(call.session), call.params.full_name, asked)
        )

    async def by_tags(call: Call[ByTags]) -> NumberedUsersAnswer:
        refuse_unknown(call.tree, ByTags)
        number, asked = numbered(call.params, asker=call.user_id)
        return _numbered(number, asked, *await directory.by_tags(Viewer.of(call.session), call.params.tags, asked))

    async def online(call: Call[Online]) -> OnlineUsers | OnlineCount:
        refuse_unknown(call.tree, Online)
        await written()
        if call.params.count:
            return OnlineCount(await directory.count_online(Viewer.of(call.session)))
        asked = listing(Paged(limit=call.params.limit, offset=call.params.offset), [], sortable=())
        users = await directory.online(Viewer.of(call.session), limit=asked.limit, skip=asked.skip)
        return OnlineUsers([user_body(user) for user in users])

    user = Caller.USER
    external = "/users/external/{external}"
    return [
        Route(
            method="POST",
            path="/users",
            handler=sign_up,
            caller=Caller.KEY,
            request=SignUp,
            response=UserAnswer,
            status=201,
            summary="A new account",
        ),
        _list("/users", walk, NumberedUsers, "All users by pages (version 1)"),
        Route(
            method="GET",
            path="/users/v2",
            handler=page,
            caller=user,
            request=Paged,
            response=UsersAnswer,
            summary="Users by fields; at least one stand-alone field is needed",
            filters=(*_FILTERS, *_DATES),
        ),
        Route(
            method="GET",
            path="/users/online",
            handler=online,
            caller=user,
            request=Online,
            response=OnlineUsers | OnlineCount,
            summary="Users who are connected to the chat; count=1: how many they are",
        ),
        *(look_up(f"/users/by_{field}", field) for field in LOOK_UPS),
        look_up("/users/phone", "phone"),  # as JS asks (rest §4.4)
        _list("/users/by_full_name", by_full_name, ByFullName, "Users whose full name has these words"),
        _list("/users/by_tags", by_tags, ByTags, "Users with one of these tags"),
        Route(
            method="GET",
            path=external,
            handler=get_external,
            caller=user,
            response=UserAnswer,
            summary="One user, by the external id",
        ),
        Route(
            method="DELETE",
            path=external,
            handler=remove_external,
            caller=user,
            summary="Delete the caller's own account, by its external id",
        ),
        Route(method="GET", path="/users/{id:int}", handler=get, caller=user, response=UserAnswer, summary="One user"),
        Route(
            method="PUT",
            path="/users/{id:int}",
            handler=change,
            caller=user,
            request=Change,
            response=UserAnswer,
            summary="Change the caller's own account",
        ),
        Route(
            method="DELETE",
            path="/users/{id:int}",
            handler=remove,
            caller=user,
            summary="Delete the caller's own account",
        ),
    ]


def _list(path: str, handler: Any, request: type[Numbered], summary: str) -> Route:
    return Route(
        method="GET",
        path=path,
        handler=handler,
        caller=Caller.USER,
        request=request,
        response=NumberedUsersAnswer,
        summary=summary,
    )


def _written(given: UserFields) -> Mapping[str, Any]:
    """The fields that the request names."""
    fields = {name: value for name in WRITABLE if (value := getattr(given, name)) is not UNSET}
    if given.tag_list is not UNSET:
        fields["user_tags"] = given.tag_list
    return fields


def _one(user: User) -> UserAnswer:
    return UserAnswer(user_body(user))


def _numbered(number: int, asked: Listing, total: int, users: Sequence[User]) -> NumberedUsersAnswer:
    return NumberedUsersAnswer(number, asked.limit, total, [_one(user) for user in users])
