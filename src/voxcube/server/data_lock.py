"""Keeps a second server away from a data directory, and from a SQLite file: file locks held by the running process.

The kernel releases a lock when its process ends, however it ends, so nothing is left behind that could delay a restart.
The files stay; what is written in them, the process id, is for the person who reads the refusal.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from voxcube.server.config import Config, ConfigError
from voxcube.server.storage.migrate import is_sqlite, sqlite_path

FILE = "voxcube.lock"


class DataLock:
    """The locks of one server: on its data directory, and on its SQLite file wherever that is."""

    def __init__(self, config: Config) -> None:
        self._wanted = {config.data.resolve() / FILE: f"the data directory {config.data}"}
        if is_sqlite(config.database_url):
            path = sqlite_path(config.database_url)
            # Not the file itself: closing it would drop the locks that SQLite has on it (POSIX, fcntl(2)).
            beside = path.resolve().with_name(path.resolve().name.removesuffix(".db") + ".lock")
            self._wanted.setdefault(beside, f"the database {path}")
        self._held: list[int] = []

    def acquire(self) -> None:
        """Raises ConfigError when another server has one of them, or a file cannot be made."""
        try:
            for path, name in self._wanted.items():
                self._held.append(_locked(path, name))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Gives all back."""
        while self._held:
            os.close(self._held.pop())


def _locked(path: Path, name: str) -> int:
    """A descriptor that holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot use {name}: {path}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        owner = _owner(descriptor)
        os.close(descriptor)
        raise ConfigError(
            f"{name} is in use by another server{owner}: stop it, or give this server"
            f" {'its own with --data' if path.name == FILE else 'its own with --database'}"
        ) from None
    except OSError as error:  # a file system without locks
        os.close(descriptor)
        raise ConfigError(f"cannot lock {name}: {path}: {error.strerror}") from None
    return descriptor


def _owner(descriptor: int) -> str:
    with contextlib.suppress(OSError, ValueError):
        return f" (process {int(os.pread(descriptor, 32, 0))})"
    return ""
