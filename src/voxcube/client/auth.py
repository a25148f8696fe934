"""``cube.auth``: sessions of the REST API."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from voxcube.client.http import Http
from voxcube.client.models import Session, User


class Auth:
    """Creates, reads, changes and ends the session that all REST calls of this client use."""

    def __init__(self, http: Http, app_id: int, auth_key: str, auth_secret: str | None) -> None:
        self._http = http
        self._app_id = app_id
        self._auth_key = auth_key
        self._auth_secret = auth_secret

    async def create_session(
        self,
        *,
        login: str | None = None,
        email: str | None = None,
        password: str | None = None,
        guest: bool = False,
        full_name: str | None = None,
        external_token: str | None = None,
    ) -> Session:
        """Creates a session of a user, of a new guest, or of the application itself when called without arguments.

        It becomes the current session of this client. A session of the application may only sign users up and log
        in. Depending on the application's settings, an unknown login or e-mail is signed up with that password.

        A guest is a user without login and password, who enters the chat with the session's token
        (``chat.connect(session.user_id)``) and is deleted with the session, a day after it was made.

        Args:
            login: the user's login; or give ``email``.
            email: the user's e-mail address.
            password: the user's password.
            guest: make a new guest.
            full_name: the guest's name, shown to others.
            external_token: what the application's own identity provider gave the user. Such users, too, enter the
                chat with the session's token.

        Returns:
            The new session; its ``token`` also serves as chat password.

        Raises:
            Unauthorized: wrong login or password, or the identity provider does not know the token.
            ValidationFailed: unknown application id or auth key, a refused value, or an application without identity
                provider.
            ServerError: the identity provider did not answer.
            TransportError: the network failed.
            ValueError: more than one way to log in, or half of one.

        Source: ConnectyCube REST API, "Create session".

        Example:
            >>> session = await cube.auth.create_session(login="ann", password="s3cret-pass")
            >>> session.user_id
            77
            >>> guest = await cube.auth.create_session(guest=True, full_name="Passer-by")
            >>> guest.user.is_guest
            True
        """
        if external_token is not None:
            if guest or full_name is not None or (login, email, password) != (None, None, None):
                raise ValueError("an external token comes alone")
            return await self._create_external(external_token)
        user: dict[str, str]
        if guest:
            if (login, email, password) != (None, None, None):
                raise ValueError("a guest has neither login nor e-mail nor password")
            user = {"guest": "1"} | ({} if full_name is None else {"full_name": full_name})
        elif full_name is not None:
            raise ValueError("full_name is for guests; others give theirs to users.signup() or users.update()")
        else:
            user = _credentials(login, email, password, optional=True)
        session, expires_at = await self._new_session(user)
        self._http.set_session(session, expires_at)
        return session

    async def _new_session(self, user: dict[str, str]) -> tuple[Session, datetime | None]:
        body: dict[str, Any] = {"application_id": self._app_id, "auth_key": self._auth_key}
        if user:
            body["user"] = user
        if self._auth_secret is not None:
            body |= {"nonce": str(secrets.randbelow(10**9)), "timestamp": str(int(time.time()))}
            body["signature"] = sign(body, self._auth_secret)
        reply = await self._http.request("POST", "session", json=body, anonymous=True)
        return reply.read(lambda data: Session.from_json(data["session"])), reply.expires_at

    async def _create_external(self, token: str) -> Session:
        """A session of the application, made one of the user: external tokens are for ``POST /login`` only."""
        session, _ = await self._new_session({})
        reply = await self._http.request("POST", "login", json={"login": token}, token=session.token)
        user = reply.read(lambda data: User.from_json(data["user"]))
        session = replace(session, user=user, user_id=user.id)
        self._http.set_session(session, reply.expires_at)
        return session

    async def get_session(self, token: str | None = None) -> Session:
        """Reads the current session anew, or takes up an earlier one by its token.

        Args:
            token: a token kept from an earlier run; its session becomes the current one of this client.

        Returns:
            The session with its user.

        Raises:
            SessionExpired: the token is unknown or has ended.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Retrieve session".

        Example:
            >>> session = await cube.auth.get_session(token=kept)
        """
        reply = await self._http.request("GET", "session", token=token, restore=False)
        session = reply.read(lambda data: Session.from_json(data["session"]))
        self._http.set_session(session, reply.expires_at)
        return session

    async def destroy_session(self, session_id: int | None = None) -> None:
        """Ends the current session, or another one of the same user: its token dies, also as chat password.

        Chat connections that logged in with that token end.

        Args:
            session_id: the ``id`` of another session; None is the current one.

        Raises:
            NotFound: this user has no such session.
            SessionExpired: the current session had ended already.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Destroy session".

        Example:
            >>> await cube.auth.destroy_session()
        """
        current = self._http.session
        if session_id is None or (current is not None and session_id == current.id):
            await self._http.request("DELETE", "session", restore=False)
            self._http.set_session(None)
        else:
            await self._http.request("DELETE", f"session/{int(session_id)}")

    async def destroy_other_sessions(self) -> None:
        """Ends all sessions of the user except the current one, e.g. after a device was lost.

        Chat connections that logged in with their tokens end.

        Raises:
            SessionExpired: the session has ended.
            TransportError: the network failed.

        Source: Flutter SDK ``deleteSessionsExceptCurrent``, ``DELETE /session/list``.

        Example:
            >>> await cube.auth.destroy_other_sessions()
        """
        await self._http.request("DELETE", "session/list")

    async def login(
        self,
        *,
        login: str | None = None,
        email: str | None = None,
        password: str | None = None,
        external_token: str | None = None,
    ) -> User:
        """Turns the current session into a session of this user; its token stays the same.

        Args:
            login: the user's login; or give ``email``.
            email: the user's e-mail address.
            password: the user's password.
            external_token: in place of these, what the application's own identity provider gave the user.

        Returns:
            The user.

        Raises:
            Unauthorized: wrong login or password, or the identity provider does not know the token.
            ValidationFailed: an external token, and the application has no identity provider.
            SessionExpired: there is no current session.
            TransportError: the network failed.
            ValueError: not exactly one of login, email and external token, or no password.

        Source: ConnectyCube REST API, "User login".

        Example:
            >>> await cube.auth.create_session()
            >>> user = await cube.auth.login(login="ann", password="s3cret-pass")
        """
        if external_token is None:
            body = _credentials(login, email, password, optional=False)
        elif (login, email, password) != (None, None, None):
            raise ValueError("an external token comes alone")
        else:
            body = {"login": external_token}
        reply = await self._http.request("POST", "login", json=body, restore=False)
        user = reply.read(lambda data: User.from_json(data["user"]))
        self._upgrade(user)
        return user

    async def logout(self) -> None:
        """Takes the user out of the current session, which goes on as a session of the application.

        Raises:
            SessionExpired: there is no current session.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "User logout".

        Example:
            >>> await cube.auth.logout()
        """
        await self._http.request("DELETE", "login", restore=False)
        self._upgrade(None)

    def _upgrade(self, user: User | None) -> None:
        session = self._http.session
        if session is not None:
            self._http.set_session(replace(session, user=user, user_id=user.id if user else 0))


def _credentials(login: str | None, email: str | None, password: str | None, *, optional: bool) -> dict[str, str]:
    if optional and login is None and email is None and password is None:
        return {}
    if (login is None) == (email is None):
        raise ValueError("give either login or email")
    if password is None:
        raise ValueError("give the password")
    return {"login": login, "password": password} if login is not None else {"email": str(email), "password": password}


def sign(body: dict[str, Any], secret: str) -> str:
    """The signature of a session request: HMAC-SHA1 over its parameters in bracket form, sorted by name."""
    flat = sorted(_flatten("", body))
    text = "&".join(f"{name}={value}" for name, value in flat)
    return hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest()


def _flatten(prefix: str, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(prefix, str(value))]
    return [pair for key, item in value.items() for pair in _flatten(f"{prefix}[{key}]" if prefix else key, item)]
