"""The rules of sessions: who gets one, how long it lives, and what passes for a password at the other door."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import (
    Conflict,
    Invalid,
    NotFound,
    SessionRequired,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from voxcube.server.core.ids import MAX_INTEGER_ID, Ids
from voxcube.server.core.models import Admission, App, Session, User
from voxcube.server.core.precis import comparison_key
from voxcube.server.features.apps.service import Transactions
from voxcube.server.features.sessions.signature import is_signed
from voxcube.server.features.users.doorkeeper import Doorkeeper
from voxcube.server.features.users.fields import is_too_long_for_a_password, name_problems
from voxcube.server.features.users.hash_queue import Lane
from voxcube.server.features.users.passwords import Match, Passwords
from voxcube.server.features.users.service import UserService
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.database import Tx
from voxcube.server.storage.tokens import Ended, TokenStore, token_hash
from voxcube.server.storage.users import UserStore

log = logging.getLogger(__name__)

LIFETIME = 2 * 3600  # seconds (rest §3.1)
GUEST_LIFETIME = 24 * 3600  # seconds, whatever the guest does (rest §3.1)
AT_ONCE = 500  # tokens of connected users extended in one transaction
EXTEND_AFTER = 60  # seconds a session's end must have to move before that is written
REPLAYED = "This signature has opened a session before: sign each request with a new nonce"
SIGNED_WITHIN = 3600  # seconds between a signed request's timestamp and now, either way


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who somebody says to be: by login, or by e-mail address."""

    login: str | None = None
    email: str | None = None
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Somebody who wants to be let in without an account."""

    full_name: str | None = None


class LogIn(NamedTuple):
    """What a chat session logged in with: a token, by its hash, or (None) the password of a version."""

    app_id: int
    user_id: int
    token_hash: str | None
    password_version: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """A session as its owner sees it: the only time the token is known. ``user`` None = application session."""

    session: Session
    token: str = field(repr=False)
    user: User | None


class SessionService:
    """Makes, extends and ends sessions."""

    def __init__(
        self,
        *,
        cache: Cache,
        users: UserStore,
        tokens: TokenStore,
        accounts: UserService,
        passwords: Passwords,
        transactions: Transactions,
        clock: Clock,
        ids: Ids,
        doorkeeper: Doorkeeper | None = None,
        lifetime: int = LIFETIME,
    ) -> None:
        """``lifetime`` in seconds, from the last request. Without a ``doorkeeper`` all may be tried at any rate."""
        self._cache = cache
        self._users = users
        self._tokens = tokens
        self._accounts = accounts
        self._passwords = passwords
        self._transactions = transactions
        self._clock = clock
        self._ids = ids
        self._doorkeeper = doorkeeper or Doorkeeper(clock, wrong_passwords=0, sign_ups=0)
        self._lifetime = lifetime

    # -- the session of a request --------------------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Session | None:
        """The live session of ``token``, its life extended to now + 2 h; None when there is none."""
        session = await self._tokens.find(token)
        now = self._clock.now()
        if session is None or session.expires_at <= now:
            return None
        return await self._extended(session, token, now)

    async def administered(self, key: str) -> int | None:
        """The application that an administration key stands for, or None."""
        app = await self._cache.app_by_admin_key(key)
        return None if app is None else app.id

    async def _extended(self, session: Session, token: str, now: int) -> Session:
        """Written only when it moves by a minute or more: not every request is worth a commit."""
        until = now + self._lifetime
        if session.fixed or until - session.expires_at < EXTEND_AFTER:
            return session

        async def extend(tx: Tx) -> None:
            # The account before its token, as wherever both are locked.
            if session.user_id is not None:
                await self._users.touch(tx, session.app_id, session.user_id, now)
            await self._tokens.extend(tx, token, until=until, now=now)

        try:
            await self._transactions.run(extend)
        except Unavailable:  # what can be read is still answered; the next request extends
            return session
        return dataclasses.replace(session, expires_at=until, updated_at=now)

    # -- making and ending ---------------------------------------------------------------------------------------------

    async def create(
        self,
        *,
        app_id: int,
        auth_key: str,
        credentials: Credentials | Guest | None,
        signature: str | None = None,
        nonce: str | None = None,
        timestamp: int | None = None,
        signed: Mapping[str, Any] | None = None,
        address: str = "",
    ) -> Opened:
        """A new session: of the user that ``credentials`` name, of a new guest, or of the application alone.

        ``signed`` is what ``signature`` covers; ``address`` is the client's. Raises Invalid for unknown keys, a wrong
        signature or fields that no user can have; Unauthorized for a wrong password; TooManyRequests.
        """
        app = await self._cache.app_by_auth_key(auth_key)
        if app is None or app.id != app_id:
            raise Invalid("Bad credentials")
        used = ""
        if signature and app.auth_secret:
            if not is_signed(app.auth_secret, signed or {}, signature):
                raise Invalid("Unexpected signature")
            # Only under a signature does the time say anything; a wrong clock alone keeps nobody out.
            if timestamp is not None and abs(_seconds(timestamp) - self._clock.now()) > SIGNED_WITHIN:
                raise Invalid("Unexpected timestamp")
            # A nonce makes each request another one, and the signature covers it: so it stands for the nonce.
            if nonce:
                used = signature.lower()
                if await self._tokens.is_used(app.id, used, self._clock.now()):
                    raise Invalid(REPLAYED)
        user: User | None
        if isinstance(credentials, Guest):
            self._doorkeeper.sign_up(address)
            user = await self._accounts.create_guest(app, credentials.full_name)
        else:
            user = None if credentials is None else await self._identify(app, credentials, address, create=True)
        return await self._open(app.id, user, used)

    async def login(
        self, session: Session, token: str, credentials: Credentials, *, address: str = ""
    ) -> tuple[Session, User]:
        """Makes the session that of a user, who must exist. Raises Unauthorized, TooManyRequests."""
        app = await self._cache.app(session.app_id)
        if app is None:
            raise SessionRequired
        user = await self._identify(app, credentials, address, create=False)
        return await self._set_user(session, token, user), user

    async def logout(self, session: Session, token: str) -> Session:
        """Makes the session one of the application alone."""
        return await self._set_user(session, token, None)

    async def describe(self, session: Session, token: str) -> Opened:
        """The session with its user."""
        user = None if session.user_id is None else await self._users.by_id(session.app_id, session.user_id)
        return Opened(session, token, user)

    async def end(self, token: str) -> None:
        """Ends the session of ``token``."""
        self._destroyed(await self._transactions.run(lambda tx: self._tokens.delete(tx, token)))

    async def end_one(self, session: Session, session_id: int) -> None:
        """Ends one session of the same user by its id. Raises NotFound."""
        user_id = session.user_id
        # Application sessions have no user in common: one must not end another's.
        ended: list[Ended] = []
        if user_id is not None:
            ended = await self._transactions.run(
                lambda tx: self._tokens.delete_one(tx, app_id=session.app_id, user_id=user_id, session_id=session_id)
            )
        if not ended:
            raise NotFound("Session does not exist")
        self._destroyed(ended)

    async def end_others(self, session: Session, token: str) -> None:
        """Ends every session of the same user but this one."""
        user_id = session.user_id
        if user_id is not None:
            self._destroyed(
                await self._transactions.run(
                    lambda tx: self._tokens.delete_others(tx, token, app_id=session.app_id, user_id=user_id)
                )
            )

    def _destroyed(self, ended: Iterable[Ended]) -> None:
        """Tells all nodes: chat sessions that got in with these tokens end (realtime §17)."""
        keys = [("token", user_id, token_hash) for user_id, token_hash in ended if user_id]
        if keys:
            self._cache.forget(*keys)

    async def forget_ended(self) -> int:
        """Removes sessions whose life is over; returns how many. For a job that runs on one node."""
        now = self._clock.now()
        return await self._transactions.run(lambda tx: self._tokens.delete_expired(tx, now))

    # -- passwords -----------------------------------------------------------------------------------------------------

    async def check_credentials(self, app_id: int, user_id: int, password: str, address: str = "") -> Admission | None:
        """Whether ``password`` lets ``user_id`` into the chat: the user's password, or any live token of that user.

        A token's life is extended by it (realtime §2.3). None = refused; wrong for whatever reason takes the same time.
        ``address`` is the client's. Raises TooManyRequests.
        """
        if not (0 < app_id <= MAX_INTEGER_ID and 0 < user_id <= MAX_INTEGER_ID):
            self._doorkeeper.knock("", address)
            await self._passwords.verify(None, password, address=address)
            return None
        session = await self._tokens.find(password)
        now = self._clock.now()
        if session is not None and session.expires_at > now and (session.app_id, session.user_id) == (app_id, user_id):
            await self._extended(session, password, now)
            log.info("login by token: user %d of application %d from %s", user_id, app_id, address)
            return Admission(token_hash(password))
        user = await self._users.by_id(app_id, user_id)
        right = await self._verify(user, password, (app_id, user_id), address)
        return Admission(password_version=user.password_version) if right and user is not None else None

    async def keep_alive(self, logins: Collection[LogIn]) -> set[LogIn]:
        """Extends the tokens that ``logins`` got into the chat with, as while they stay connected (realtime §2.3).

        Returns those that may stay no longer: their token has ended, their password was changed, or there is no such
        user any more.
        """
        tokens = sorted({login for login in logins if login.token_hash is not None})
        people: dict[int, set[LogIn]] = {}
        for login in logins:
            if login.token_hash is None:
                people.setdefault(login.app_id, set()).add(login)
        ended: set[LogIn] = set()
        for start in range(0, len(tokens), AT_ONCE):
            some = tokens[start : start + AT_ONCE]
            live = await self._keep(some)
            ended |= {login for login in some if (login.user_id, login.token_hash) not in live}
        for app_id, by_password in people.items():
            versions = await self._users.password_versions(app_id, sorted({login.user_id for login in by_password}))
            ended |= {login for login in by_password if versions.get(login.user_id) != login.password_version}
        return ended

    async def _keep(self, logins: Sequence[LogIn]) -> set[Ended]:
        """Extends tokens; returns those that live."""
        hashes = sorted(login.token_hash for login in logins if login.token_hash is not None)
        now = self._clock.now()

        async def keep(tx: Tx) -> set[Ended]:
            until = now + self._lifetime
            await self._tokens.extend_all(tx, hashes, before=until - EXTEND_AFTER, until=until, now=now)
            return await self._tokens.live(tx, hashes, now)

        return await self._transactions.run(keep)

    async def _verify(self, user: User | None, password: str, account: tuple[int, int | str], address: str) -> bool:
        """Whether it is the user's password; ``account`` is what wrong ones are counted under.

        A text too long for a password is no attempt to guess one, but a session token that has ended: whose client goes
        on with it is not kept waiting for that.
        """
        if is_too_long_for_a_password(password):
            log.info("login refused: unknown or ended token from %s", address)
            return False
        stored = None if user is None else user.password_hash
        # Names that clients made up are not logged: some people type their password there.
        who = (account[1] if user is not None else "unknown", account[0], address)
        try:
            attempt = self._doorkeeper.knock(account, address, remembered=self._passwords.remembers(stored, password))
        except TooManyRequests:
            log.warning("login refused after too many wrong passwords: user %s of application %d from %s", *who)
            raise
        lane = Lane.KNOWN if attempt.known else Lane.LOGIN
        try:
            verified = await self._passwords.verify(stored, password, address=address, lane=lane)
        except BaseException:  # nothing was tried
            attempt.undo()
            raise
        if verified:
            attempt.succeeded()
            log.info("login: user %s of application %d from %s", *who)
        else:
            log.info("login refused: wrong password for user %s of application %d from %s", *who)
        if verified is Match.AS_TYPED and user is not None:
            await self._prepare_hash(user, password, address)
        return bool(verified)

    async def _prepare_hash(self, user: User, password: str, address: str) -> None:
        """Replace a hash that an older version made of the text as typed: other Unicode forms then match too."""
        old = user.password_hash or ""
        try:
            new = await self._passwords.hash(password, address=address)
            await self._transactions.run(lambda tx: self._users.replace_hash(tx, user.app_id, user.id, old, new))
        except Unavailable:  # it is the right password all the same; the next login tries again
            log.debug("the password hash of user %d of application %d stays as it is for now", user.id, user.app_id)

    async def _identify(self, app: App, credentials: Credentials, address: str, *, create: bool) -> User:
        """The user that credentials name and prove; with ``create`` an unknown one is made, if the settings say so."""
        if wrong := name_problems(credentials.login, credentials.email):
            raise Invalid(wrong)
        user = await self._look_up(app.id, credentials)
        if user is None and create and app.settings.session_creates_user:
            self._doorkeeper.sign_up(address)
            fields = {"login": credentials.login, "email": credentials.email}
            try:
                return await self._accounts.create(app, fields, credentials.password, address=address)
            except Conflict:  # somebody else made it since we looked: then the password must be right
                user = await self._look_up(app.id, credentials)
        name = comparison_key(credentials.login or credentials.email or "")
        account = (app.id, name if user is None else user.id)
        if not await self._verify(user, credentials.password, account, address) or user is None:
            raise Unauthorized
        return user

    async def _look_up(self, app_id: int, credentials: Credentials) -> User | None:
        if credentials.login:
            return await self._users.by_login(app_id, credentials.login)
        return await self._users.by_email(app_id, credentials.email or "")

    async def _open(self, app_id: int, user: User | None, signature: str = "") -> Opened:
        """`signature`: that of the request, if it may open no other session. Raises Invalid."""
        token = self._ids.token()
        now = self._clock.now()
        guest = user is not None and user.is_guest
        session = Session(
            # Random rather than counted: sessions are made often, and a counter would be one row for all nodes.
            id=secrets.randbelow(MAX_INTEGER_ID) + 1,
            app_id=app_id,
            user_id=None if user is None else user.id,
            created_at=now,
            updated_at=now,
            expires_at=now + (GUEST_LIFETIME if guest else self._lifetime),
            fixed=guest,
        )

        async def open_(tx: Tx) -> None:
            await self._touch(tx, app_id, user, now)
            # Behind everything that may refuse the request, which may then be sent again as it is.
            until = now + 2 * SIGNED_WITHIN  # the timestamp may be an hour ahead
            if signature and not await self._tokens.use(tx, app_id, signature, now=now, until=until):
                raise Invalid(REPLAYED)
            await self._tokens.insert(tx, token, session)

        await self._transactions.run(open_)
        return Opened(session, token, None if user is None else dataclasses.replace(user, last_request_at=now))

    async def _set_user(self, session: Session, token: str, user: User | None) -> Session:
        now = self._clock.now()
        user_id = None if user is None else user.id

        async def change(tx: Tx) -> int:
            await self._touch(tx, session.app_id, user, now)
            return await self._tokens.set_user(tx, token, user_id, now=now)

        if not await self._transactions.run(change):  # ended by another request meanwhile
            raise SessionRequired
        if session.user_id is not None and session.user_id != user_id:
            self._destroyed([(session.user_id, token_hash(token))])
        return dataclasses.replace(session, user_id=user_id, updated_at=now, fixed=False)

    async def _touch(self, tx: Tx, app_id: int, user: User | None, now: int) -> None:
        """First in its transaction: the row stays locked, so that no session outlives a user deleted meanwhile, or
        a password changed since it was checked."""
        if user is None:
            return
        if not await self._users.touch(tx, app_id, user.id, now, version=user.password_version):
            raise Unauthorized


def _seconds(timestamp: int) -> int:
    """Dates come in seconds or milliseconds (rest §1.7)."""
    return timestamp // 1000 if timestamp > 10**11 else timestamp
