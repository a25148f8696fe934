"""What can be wrong with a database URL, found without connecting; and the URL as it may be shown."""

from __future__ import annotations

import re

SCHEMES = ("sqlite:///", "postgresql://")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FORMS = "sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME"


def shown(url: str) -> str:
    """The URL without its password: it must not reach a terminal or a log."""
    url = re.sub(r"(?<=://)([^/@:?]*):.*@", r"\1:…@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1…", url)


def problem(url: str) -> str | None:
    """What is wrong with a database URL, without quoting its password; None when it looks usable."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        if not path or path.endswith("/"):
            return f"{url!r} names no file: sqlite:///relative/path or sqlite:////absolute/path"
        if "?" in path or "#" in path:
            return f"{url!r} must not contain '?' or '#': a SQLite file takes no parameters"
        return None
    if not url.startswith("postgresql://"):
        scheme = re.match(r"[a-z+]*", url.lower())
        found = f", not {scheme.group()}:" if scheme and scheme.group() and ":" in url else ""
        return f"must start with {' or '.join(SCHEMES)}{found} ({_FORMS})"
    return _postgres_problem(url.removeprefix("postgresql://"))


def _postgres_problem(rest: str) -> str | None:
    authority, path, query = _split(rest)
    user = authority.rpartition("@")[0]
    if (
        "@" in path
        or "#" in rest
        or "[" in user
        or "]" in user
        or ("@" in query and any("=" not in part for part in query.split("&")))
    ):
        return (
            "has a character in its user, password or name that must be written as %XX:"
            " '/' as %2F, '?' as %3F, '#' as %23, '@' as %40, '%' as %25, '[' as %5B, ']' as %5D"
        )
    if re.search(r"%(?![0-9A-Fa-f]{2})", authority + path):
        return "has a '%' that is not followed by two hexadecimal digits: write '%' as %25"
    for host in authority.rpartition("@")[2].split(","):
        bracketed = re.fullmatch(r"\[[0-9A-Fa-f:.%\w]*\](?::(.*))?", host)
        if not bracketed and (host.startswith("[") or host.count(":") > 1):
            return f"has the host {host!r}: an IPv6 address is written in brackets, as [::1]:5432"
        port = bracketed.group(1) if bracketed else host.partition(":")[2] if ":" in host else None
        if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= 65535):
            # What is no number may be a piece of a password: it is not quoted.
            found = f"the port {port}, which is not" if port.isdigit() else "a port that is not"
            return f"has {found} a number from 1 to 65535"
    mode = dict(part.partition("=")[::2] for part in query.split("&")).get("sslmode")
    if mode is not None and mode not in SSL_MODES:
        return f"has sslmode={mode}, which is none of {', '.join(SSL_MODES)}"
    return None


def _split(rest: str) -> tuple[str, str, str]:
    """(user:password@host:port, /name, parameters)"""
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    return authority, slash + path, query
