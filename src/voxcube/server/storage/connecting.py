"""Opens connections to PostgreSQL, and says in one line why one cannot be opened."""

from __future__ import annotations

from typing import Any

import asyncpg

from voxcube.server.storage.database import Unreachable

CONNECT_SECONDS = 10.0


async def connect(url: str, *, application_name: str | None = None) -> Any:
    """A connection to the database at `url` (postgresql://user:password@host:port/name). Raises Unreachable."""
    settings = {"application_name": application_name} if application_name else None
    try:
        return await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=settings)
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unreachable(f"cannot use the database: {str(error) or type(error).__name__}") from None
