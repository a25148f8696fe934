"""Session tokens: statements and row → model. Only a token's SHA-256 is ever stored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import bindparam, delete, false, insert, not_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert  # SQLite's compiler renders its ON CONFLICT as well

from voxcube.server.core.models import Session
from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.schema import tokens, used_signatures
from voxcube.server.storage.sql import Query, in_list

_COLUMNS = (
    tokens.c.id,
    tokens.c.app_id,
    tokens.c.user_id,
    tokens.c.created_at,
    tokens.c.updated_at,
    tokens.c.expires_at,
    tokens.c.fixed,
)
_HASH = tokens.c.token_hash == bindparam("hash")
_OF_USER = (tokens.c.app_id == bindparam("app"), tokens.c.user_id == bindparam("user"))
_FIND = Query(select(*_COLUMNS).where(_HASH), "hash")
_NAMES = ("token_hash", "id", "app_id", "user_id", "created_at", "updated_at", "expires_at", "fixed")
_INSERT = Query(insert(tokens).values({name: bindparam(name) for name in _NAMES}), *_NAMES)
_EXTEND = Query(
    update(tokens)
    .where(_HASH, tokens.c.expires_at < bindparam("until"))
    .values(expires_at=bindparam("until"), updated_at=bindparam("now")),
    "hash",
    "until",
    "now",
)
_SET_USER = Query(
    update(tokens).where(_HASH).values(user_id=bindparam("user"), updated_at=bindparam("now"), fixed=false()),
    *("hash", "user", "now"),
)
_ENDED = (tokens.c.user_id, tokens.c.token_hash)
_DELETE = Query(delete(tokens).where(_HASH).returning(*_ENDED), "hash")
_DELETE_ONE = Query(
    delete(tokens).where(*_OF_USER, tokens.c.id == bindparam("id")).returning(*_ENDED), "app", "user", "id"
)
_DELETE_OTHERS = Query(
    delete(tokens).where(*_OF_USER, tokens.c.token_hash != bindparam("hash")).returning(*_ENDED), "app", "user", "hash"
)
_DELETE_ALL = Query(delete(tokens).where(*_OF_USER).returning(*_ENDED), "app", "user")
_DELETE_EXPIRED = Query(delete(tokens).where(tokens.c.expires_at <= bindparam("now")), "now")
_LIVE = (in_list(tokens.c.token_hash, "hashes"), tokens.c.expires_at > bindparam("now"))
_EXTEND_LIVE = Query(
    update(tokens)
    .where(*_LIVE, tokens.c.expires_at < bindparam("before"), not_(tokens.c.fixed))
    .values(expires_at=bindparam("until"), updated_at=bindparam("now")),
    *("hashes", "now", "before", "until"),
)
_WHICH_LIVE = Query(select(*_ENDED).where(*_LIVE), "hashes", "now")

_OF_SIGNATURE = (
    used_signatures.c.app_id == bindparam("app"),
    used_signatures.c.signature == bindparam("signature"),
)
_IS_USED = Query(
    select(used_signatures.c.expires_at).where(*_OF_SIGNATURE, used_signatures.c.expires_at > bindparam("now")),
    *("app", "signature", "now"),
)
_FORGET = Query(
    delete(used_signatures).where(*_OF_SIGNATURE, used_signatures.c.expires_at <= bindparam("now")),
    *("app", "signature", "now"),
)
_USE = Query(
    upsert(used_signatures)
    .values(app_id=bindparam("app"), signature=bindparam("signature"), expires_at=bindparam("until"))
    .on_conflict_do_nothing(index_elements=["app_id", "signature"]),
    *("app", "signature", "until"),
)
_DELETE_USED = Query(delete(used_signatures).where(used_signatures.c.expires_at <= bindparam("now")), "now")

Ended = tuple[int, str]  # user (0 = none) and hash of a token that was destroyed


def token_hash(token: str) -> str:
    """What is stored of a token. A plain hash is enough: a token has 256 random bits."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


class TokenStore:
    """Reads and writes session tokens; every method takes the token itself and hashes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, token: str) -> Session | None:
        """The session of a token, live or expired."""
        row = await self._database.row(_FIND, token_hash(token))
        return None if row is None else _session(row)

    async def insert(self, tx: Tx, token: str, session: Session) -> None:
        times = (session.created_at, session.updated_at, session.expires_at)
        await tx.execute(
            _INSERT, token_hash(token), session.id, session.app_id, session.user_id or 0, *times, session.fixed
        )

    async def extend(self, tx: Tx, token: str, *, until: int, now: int) -> None:
        """Moves the end of a session's life to ``until``, never back."""
        await tx.execute(_EXTEND, token_hash(token), until, now)

    async def set_user(self, tx: Tx, token: str, user_id: int | None, *, now: int) -> int:
        """Makes it a session of ``user_id`` (no guest), or of no user; returns the number of sessions changed."""
        return await tx.execute(_SET_USER, token_hash(token), user_id or 0, now)

    async def delete(self, tx: Tx, token: str) -> list[Ended]:
        """Ends the session of a token. This and the other deletions return whose tokens they destroyed."""
        return _ended(await tx.fetch(_DELETE, token_hash(token)))

    async def delete_one(self, tx: Tx, *, app_id: int, user_id: int, session_id: int) -> list[Ended]:
        """Ends one session of a user by its id."""
        return _ended(await tx.fetch(_DELETE_ONE, app_id, user_id, session_id))

    async def delete_others(self, tx: Tx, token: str, *, app_id: int, user_id: int) -> list[Ended]:
        """Ends every session of a user but that of ``token``."""
        return _ended(await tx.fetch(_DELETE_OTHERS, app_id, user_id, token_hash(token)))

    async def delete_all(self, tx: Tx, *, app_id: int, user_id: int) -> list[Ended]:
        """Ends every session of a user."""
        return _ended(await tx.fetch(_DELETE_ALL, app_id, user_id))

    async def extend_all(self, tx: Tx, hashes: Sequence[str], *, before: int, until: int, now: int) -> None:
        """Moves the ends of sessions to ``until``, by the hashes of their tokens.

        Left out are those that are over, are fixed, or end at ``before`` or later.
        """
        await tx.execute(_EXTEND_LIVE, list(hashes), now, before, until)

    async def live(self, tx: Tx, hashes: Sequence[str], now: int) -> set[Ended]:
        """Those of the sessions that live: user and hash."""
        return set(_ended(await tx.fetch(_WHICH_LIVE, list(hashes), now)))

    async def delete_expired(self, tx: Tx, now: int) -> int:
        """Removes sessions whose life is over, and signatures whose time is."""
        await tx.execute(_DELETE_USED, now)
        return await tx.execute(_DELETE_EXPIRED, now)

    async def is_used(self, app_id: int, signature: str, now: int) -> bool:
        """Whether a signature has opened a session before."""
        return await self._database.row(_IS_USED, app_id, signature, now) is not None

    async def use(self, tx: Tx, app_id: int, signature: str, *, now: int, until: int) -> bool:
        """Remember a signature; False when it is remembered already."""
        await tx.execute(_FORGET, app_id, signature, now)
        return await tx.execute(_USE, app_id, signature, until) == 1


def _session(row: Row) -> Session:
    return Session(
        id=row[0],
        app_id=row[1],
        user_id=row[2] or None,
        created_at=row[3],
        updated_at=row[4],
        expires_at=row[5],
        fixed=bool(row[6]),
    )


def _ended(rows: Sequence[Row]) -> list[Ended]:
    return [(row[0], row[1]) for row in rows]
