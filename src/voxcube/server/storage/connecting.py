"""Opens connections to PostgreSQL, and says in one line why one cannot be opened."""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import asyncpg

from voxcube.server.storage.database import DatabaseError, Unreachable

CONNECT_SECONDS = 10.0


async def connect(url: str, *, application_name: str | None = None) -> Any:
    """A connection to the database at `url` (postgresql://user:password@host:port/name). Raises Unreachable."""
    settings = {"application_name": application_name} if application_name else None
    try:
        return await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=settings)
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise explained(url, error) from None


def explained(url: str, error: Exception) -> DatabaseError:
    """A driver's error while connecting, in one line that names the server and never the password."""
    return Unreachable(f"{_explanation(url, error)} (option database)")


def _explanation(url: str, error: Exception) -> str:
    address, name, user = _target(url)
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, asyncpg.InvalidPasswordError):
        return f"PostgreSQL at {address} refuses the password of the user {user}"
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"PostgreSQL at {address} has no database {name}: create it (createdb {name}), or name another one"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return f"PostgreSQL at {address} refuses the user {user}: {text}"
    if isinstance(error, asyncpg.PostgresError):
        return f"PostgreSQL at {address} refuses the connection: {text}"
    if isinstance(error, TimeoutError):
        return f"PostgreSQL at {address} does not answer within {CONNECT_SECONDS:.0f} seconds"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of PostgreSQL at {address} is not accepted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return f"the host of PostgreSQL at {address} is not known: {error.strerror}"
    if missing := [path for name, path in _files(url) if not Path(path).is_file()]:
        return f"cannot read the file {missing[0]} that a parameter of the URL names"
    if isinstance(error, ConnectionError) and "SSL" in text:
        return f"PostgreSQL at {address} has no TLS, which sslmode asks for"
    if isinstance(error, OSError):
        # Of several addresses asyncio joins the errors into one text.
        refused = "refused" in text.lower()
        reason = "Connection refused: is it running there?" if refused else error.strerror or text
        return f"cannot connect to PostgreSQL at {address}: {reason}"
    # What is left is about the URL's parameters, and may quote any part of it.
    return f"cannot connect to PostgreSQL at {address}: {_without_password(url, text) or type(error).__name__}"


def _files(url: str) -> list[tuple[str, str]]:
    """The parameters that name files for TLS."""
    query = [part.partition("=")[::2] for part in url.partition("?")[2].split("&")]
    return [(name, unquote(value)) for name, value in query if name in ("sslrootcert", "sslcert", "sslkey", "sslcrl")]


def _target(url: str) -> tuple[str, str, str]:
    """(host:port, database, user) as they may be shown."""
    match = re.match(r"postgresql://(?:(?P<user>[^:/@?]*)[^@/?]*@)?(?P<hosts>[^/?]*)(?:/(?P<name>[^?]*))?", url)
    user, hosts, name = (unquote(match[part] or "") for part in ("user", "hosts", "name")) if match else ("", "", "")
    query = dict(part.partition("=")[::2] for part in url.partition("?")[2].split("&"))
    host = hosts or unquote(query.get("host", "")) or "the default address"
    if not re.search(r":\d+$", host) and not host.startswith(("/", "the ")):
        host = f"{host}:{query.get('port', '5432')}"
    user = user or query.get("user", "") or "of this process"
    return host, name or query.get("dbname", "") or query.get("database", "") or user, user


def _without_password(url: str, text: str) -> str:
    match = re.search(r"://[^:/@?]*:(.+)@", url)
    return text.replace(match[1], "…").replace(unquote(match[1]), "…") if match else text
