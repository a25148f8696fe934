"""Keeps what the server stores unreadable to other users of the machine: keys, password hashes, messages.

Every command runs with umask 077. Directories and files that were made otherwise (by `mkdir`, a copy, an earlier
version) are repaired before they are used, and what cannot be repaired is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from voxcube.server.config import Config, ConfigError

UMASK = 0o077
_OTHERS = 0o077
#: In the data directory; other files there are the operator's, and the directory itself keeps others out of them.
_NAMES = ("voxcube.db*", "*.lock", "*.log", "demo.json", "tls.key*", "tls.crt*")


def repair(config: Config) -> list[str]:
    """Take away the access of other users to the data directory, the database, keys and logs.

    Returns a line for each path that was repaired, and a warning for a TLS key elsewhere that everybody can read.
    Raises ConfigError for a path that belongs to somebody else, or that is shared on purpose, like /tmp.
    """
    if os.name != "posix":
        return []
    lines = [line for path in _paths(config) if (line := _closed(path))]
    if config.tls_key is not None and (mode := _mode(config.tls_key)) is not None and mode & 0o007:
        # Maybe mounted by a container's runtime, so that its mode is not for us to change.
        lines.append(f"warning: every user of this machine can read tls_key {config.tls_key} (mode {mode:o})")
    return lines


def _paths(config: Config) -> Iterator[Path]:
    data = config.data.resolve()
    mode = _mode(data)
    if mode is not None and mode & stat.S_ISVTX:
        raise ConfigError(f"the data directory {config.data} is shared by all users: name a directory below it")
    if data.is_dir():
        yield data
        for name in _NAMES:
            yield from sorted(data.glob(name))
    if config.sqlite_file is not None:
        database = config.sqlite_file.resolve()
        if database.parent != data:
            for suffix in ("", "-wal", "-shm", "-journal"):
                yield database.with_name(database.name + suffix)


def _mode(path: Path) -> int | None:
    """The permissions of a file or directory; None when there is none."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _closed(path: Path) -> str:
    """What was repaired; "" when nothing had to be."""
    mode = _mode(path)
    if mode is None or path.is_symlink() or not mode & _OTHERS:
        return ""
    try:
        path.chmod(mode & ~_OTHERS)
    except OSError as error:
        raise ConfigError(
            f"other users can read {path} (mode {mode:o}), and it cannot be changed: {error.strerror}"
        ) from None
    return f"other users could read {path}: mode changed from {mode:o} to {mode & ~_OTHERS:o}"
