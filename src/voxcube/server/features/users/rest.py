"""Accounts over HTTP (rest §4)."""

from __future__ import annotations

import msgspec

from voxcube.server.features.users.fields import WRITABLE
from voxcube.server.features.users.service import STAND_ALONE, UserService
from voxcube.server.rest.bodies import UserBody, user_body
from voxcube.server.rest.filters import Kind, conditions
from voxcube.server.rest.paging import Paged, listing
from voxcube.server.rest.route import Call, Caller, Nothing, Route


class UserFields(msgspec.Struct):
    """What clients may write of an account; other keys of their models are ignored."""

    login: str | None = None
    email: str | None = None
    password: str | None = None
    full_name: str | None = None
    phone: str | None = None
    website: str | None = None
    custom_data: str | None = None
    avatar: str | None = None
    external_user_id: int | None = None
    external_id: str | None = None
    facebook_id: str | None = None
    twitter_id: str | None = None
    blob_id: int | None = None
    user_tags: list[str] | None = None
    tag_list: list[str] | None = None
    timezone: int | None = None


class SignUp(msgspec.Struct):
    user: UserFields


class UserAnswer(msgspec.Struct):
    user: UserBody


class UsersAnswer(msgspec.Struct):
    limit: int
    skip: int
    total_entries: int
    items: list[UserBody]


_FILTERS = {name: Kind.INTEGER if name == "id" else Kind.TEXT for name in STAND_ALONE}
_DATES = ("last_request_at", "created_at", "updated_at")


def routes(service: UserService) -> list[Route]:
    """The routes of this feature."""

    async def sign_up(call: Call[SignUp]) -> UserAnswer:
        given = call.params.user
        fields = {name: getattr(given, name) for name in WRITABLE}
        if given.tag_list is not None:
            fields["user_tags"] = given.tag_list
        carried = call.carried
        user = await service.sign_up(
            app_id=None if carried.session is None else carried.session.app_id,
            # A token that has ended is answered as such, whatever key comes with it: the SDK then renews its session.
            auth_key="" if carried.sent else call.headers.get("CB-AuthKey", "").strip(),
            fields=fields,
            password=given.password,
        )
        return UserAnswer(user_body(user))

    async def get(call: Call[Nothing]) -> UserAnswer:
        return UserAnswer(user_body(await service.get(call.app_id, call.integer("id"))))

    async def page(call: Call[Paged]) -> UsersAnswer:
        wanted = conditions(call.tree, _FILTERS, operators=("eq", "in", "start_with"))
        wanted += conditions(call.tree, dict.fromkeys(_DATES, Kind.SECONDS), operators=("gt", "lt", "gte", "lte"))
        asked = listing(call.params, wanted, sortable=(*STAND_ALONE, *_DATES))
        asked, total, users = await service.page(call.app_id, asked)
        return UsersAnswer(asked.limit, asked.skip, total, [user_body(user) for user in users])

    user = Caller.USER
    return [
        Route(
            method="POST",
            path="/users",
            handler=sign_up,
            caller=Caller.NOBODY,
            request=SignUp,
            response=UserAnswer,
            status=201,
        ),
        Route(method="GET", path="/users/v2", handler=page, caller=user, request=Paged, response=UsersAnswer),
        Route(method="GET", path="/users/{id:int}", handler=get, caller=user, response=UserAnswer),
    ]
