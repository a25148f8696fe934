"""``cube.auth``: sessions of the REST API."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import replace
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
        self, *, login: str | None = None, email: str | None = None, password: str | None = None
    ) -> Session:
        """Creates a session of a user, or of the application itself when called without arguments.

        It becomes the current session of this client. A session of the application may only sign users up and log
        in. Depending on the application's settings, an unknown login or e-mail is signed up with that password.

        Args:
            login: the user's login; or give ``email``.
            email: the user's e-mail address.
            password: the user's password.

        Returns:
            The new session; its ``token`` also serves as chat password.

        Raises:
            Unauthorized: wrong login or password.
            ValidationFailed: unknown application id or auth key, or a refused value.
            TransportError: the network failed.
            ValueError: login and email together, or one of them without password.

        Source: ConnectyCube REST API, "Create session".

        Example:
            >>> session = await cube.auth.create_session(login="ann", password="s3cret-pass")
            >>> session.user_id
            77
        """
        body: dict[str, Any] = {"application_id": self._app_id, "auth_key": self._auth_key}
        user = _credentials(login, email, password, optional=True)
        if user:
            body["user"] = user
        if self._auth_secret is not None:
            body |= {"nonce": str(secrets.randbelow(10**9)), "timestamp": str(int(time.time()))}
            body["signature"] = sign(body, self._auth_secret)
        reply = await self._http.request("POST", "session", json=body, anonymous=True)
        session = reply.read(lambda data: Session.from_json(data["session"]))
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

    async def destroy_session(self) -> None:
        """Ends the current session: its token dies, also as chat password.

        Raises:
            SessionExpired: it had ended already.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Destroy session".

        Example:
            >>> await cube.auth.destroy_session()
        """
        await self._http.request("DELETE", "session", restore=False)
        self._http.set_session(None)

    async def login(self, *, login: str | None = None, email: str | None = None, password: str | None = None) -> User:
        """Turns the current session into a session of this user; its token stays the same.

        Args:
            login: the user's login; or give ``email``.
            email: the user's e-mail address.
            password: the user's password.

        Returns:
            The user.

        Raises:
            Unauthorized: wrong login or password.
            SessionExpired: there is no current session.
            TransportError: the network failed.
            ValueError: not exactly one of login and email, or no password.

        Source: ConnectyCube REST API, "User login".

        Example:
            >>> await cube.auth.create_session()
            >>> user = await cube.auth.login(login="ann", password="s3cret-pass")
        """
        body = _credentials(login, email, password, optional=False)
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
