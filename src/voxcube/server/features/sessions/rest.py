"""Sessions over HTTP (rest §3)."""

from __future__ import annotations

import msgspec

from voxcube.server.core.errors import Invalid, SessionRequired
from voxcube.server.features.sessions.service import Credentials, Guest, Opened, SessionService
from voxcube.server.rest.bodies import UserAnswer, UserBody, iso, user_body
from voxcube.server.rest.route import Call, Caller, Nothing, Route

#: The ways of login that the protocol knows and that no application can switch on yet (rest §3.2).
PROVIDERS = ("facebook", "twitter", "firebase_phone", "firebase_email")


class UserCredentials(msgspec.Struct):
    login: str | None = None
    email: str | None = None
    password: str | None = None
    guest: str | None = None
    full_name: str | None = None


class CreateSession(msgspec.Struct):
    application_id: int | None = None
    auth_key: str | None = None
    timestamp: int | None = None
    nonce: str | None = None
    signature: str | None = None
    user: UserCredentials | None = None
    provider: str | None = None


class Login(msgspec.Struct):
    login: str | None = None
    email: str | None = None
    password: str | None = None
    provider: str | None = None
    user: UserCredentials | None = None


class SessionBody(msgspec.Struct):
    id: int
    user_id: int
    application_id: int
    token: str
    ts: int
    created_at: str
    updated_at: str
    user: UserBody | None


class SessionAnswer(msgspec.Struct):
    session: SessionBody


def routes(service: SessionService) -> list[Route]:
    """The routes of this feature."""

    async def create(call: Call[CreateSession]) -> SessionAnswer:
        params = call.params
        opened = await service.create(
            app_id=params.application_id or 0,
            auth_key=params.auth_key or "",
            credentials=_credentials(params.user, params.provider),
            signature=params.signature,
            nonce=params.nonce,
            timestamp=params.timestamp,
            signed=call.body,
            address=call.address,
        )
        call.carried.session = opened.session
        return _answer(opened)

    async def show(call: Call[Nothing]) -> SessionAnswer:
        return _answer(await service.describe(call.session, call.carried.token))

    async def end(call: Call[Nothing]) -> Nothing:
        await service.end(call.carried.token)
        return Nothing()

    async def end_one(call: Call[Nothing]) -> Nothing:
        await service.end_one(call.session, call.integer("id"))
        return Nothing()

    async def end_others(call: Call[Nothing]) -> Nothing:
        await service.end_others(call.session, call.carried.token)
        return Nothing()

    async def login(call: Call[Login]) -> UserAnswer:
        params = call.params
        given = params.user or UserCredentials(login=params.login, email=params.email, password=params.password)
        if given.login and not given.password and not params.provider:
            raise Invalid(
                {
                    "password": ["can't be blank"],
                    "base": ["Login by an external token needs an identity provider; this application has none"],
                }
            )
        credentials = _credentials(given, params.provider)
        if not isinstance(credentials, Credentials):
            raise Invalid("Login or email is required" if credentials is None else "Guests get in by POST /session")
        call.carried.session, user = await service.login(
            call.session, call.carried.token, credentials, address=call.address
        )
        return UserAnswer(user_body(user))

    async def logout(call: Call[Nothing]) -> Nothing:
        call.carried.session = await service.logout(call.session, call.carried.token)
        return Nothing()

    app = Caller.APP
    return [
        Route(
            method="POST",
            path="/session",
            handler=create,
            caller=Caller.NOBODY,
            request=CreateSession,
            response=SessionAnswer,
            status=201,
            summary="A session: of an application, or of the user named",
        ),
        Route(method="GET", path="/session", handler=show, caller=app, response=SessionAnswer, summary="This session"),
        Route(method="DELETE", path="/session", handler=end, caller=app, summary="End this session"),
        Route(
            method="DELETE",
            path="/session/list",
            handler=end_others,
            caller=app,
            summary="End all other sessions of this user",
        ),
        Route(
            method="DELETE",
            path="/session/{id:int}",
            handler=end_one,
            caller=app,
            summary="End one session of this user",
        ),
        Route(
            method="POST",
            path="/login",
            handler=login,
            caller=app,
            request=Login,
            response=UserAnswer,
            status=202,
            summary="Make this a session of the user named",
        ),
        Route(
            method="DELETE",
            path="/login",
            handler=logout,
            caller=app,
            summary="Make this a session of the application alone",
        ),
    ]


def _credentials(user: UserCredentials | None, provider: str | None) -> Credentials | Guest | None:
    """What identifies the user; None for an application session. Raises Invalid for ways that are not offered."""
    if provider:
        known = provider in PROVIDERS
        raise Invalid(
            f"Login by {provider} is not configured for this application"
            if known
            else "Unknown provider; these exist: " + ", ".join(PROVIDERS)
        )
    if user is None:
        return None
    if user.guest is not None and user.guest.strip().lower() not in ("", "0", "false"):
        return Guest(full_name=user.full_name)
    if not user.login and not user.email:
        raise Invalid("Login or email is required")
    if not user.password:
        raise Invalid({"password": ["can't be blank"]})
    return Credentials(login=user.login or None, email=user.email or None, password=user.password)


def _answer(opened: Opened) -> SessionAnswer:
    session = opened.session
    if session.user_id is not None and opened.user is None:
        raise SessionRequired  # the account is gone, and its sessions with it
    return SessionAnswer(
        SessionBody(
            id=session.id,
            user_id=session.user_id or 0,
            application_id=session.app_id,
            token=opened.token,
            ts=session.created_at,
            created_at=iso(session.created_at),
            updated_at=iso(session.updated_at),
            user=None if opened.user is None else user_body(opened.user),
        )
    )
