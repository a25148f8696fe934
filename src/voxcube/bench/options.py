"""What a load run can be told: one dataclass from which the command line flags derive."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TRANSPORTS = ("tcp", "starttls", "tls", "ws", "wss")
_PORTS = {"tcp": 5222, "starttls": 5222, "tls": 5223, "ws": 5280, "wss": 5291}
#: Loopback has about 28,000 ports to connect from.
MOST_USERS = 25_000
LONGEST = 3600.0  # seconds


class OptionError(Exception):
    """Options that cannot be used; the text is one line for the person who gave them."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to connect, as whom, and what to do then. Times are seconds."""

    host: str = _option("127.0.0.1", "where the server is")
    port: int = _option(0, "its port; 0: the usual one of the transport")
    domain: str = _option("localhost", "domain of stream and addresses")
    transport: str = _option("tcp", "one of " + ", ".join(TRANSPORTS))
    ca_file: Path | None = _option(None, "certificates to trust (PEM); loopback is trusted without")
    user: str = _option("user{}", "local part of the users' addresses, {} is the number")
    password: str = _option("pass{}", "their passwords, {} is the number")
    first: int = _option(1, "number of the first user")
    count: int = _option(2, "how many users")
    resource: str = _option("load", "resource to bind")
    session: bool = _option(False, "send the legacy session request (RFC 3921) after the bind")
    sm: bool = _option(False, "stream management: ask for an acknowledgement after every message")
    concurrency: int = _option(64, "handshakes under way at once")
    connect_timeout: float = _option(120.0, "limit for all logins together")
    settle: float = _option(1.0, "pause after the logins")
    hold: float = _option(5.0, "how long idle connections are held")
    window: int = _option(1, "messages under way per sender")
    rate: float = _option(0.0, "messages a second in all, instead of a window; latency counts from when one was due")
    seconds: float = _option(10.0, "measured time")
    warmup: float = _option(1.0, "time before it")
    drain: float = _option(5.0, "time after it to wait for what is under way")
    size: int = _option(48, "bytes of a message's text")
    stored: bool = _option(True, "whether messages ask to be stored (save_to_history)")
    both: bool = _option(True, "both of a pair send, or the first only")
    room: str = _option("room{}@conference.localhost", "address of the rooms, {} is the number from 1")
    rooms: int = _option(1, "how many rooms; the users are split evenly")
    senders: int = _option(1, "how many users of each room send")
    nick: str = _option("{}", "nickname in a room, {} is the user's number")
    pid: str = _option("", "server processes, comma-separated; their children count as well")
    label: str = _option("", "copied into the figures")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port in force."""
        return self.host, self.port or _PORTS[self.transport]

    @property
    def pids(self) -> tuple[int, ...]:
        """The server processes."""
        return tuple(int(pid) for pid in self.pid.split(",") if pid)

    @property
    def websocket(self) -> bool:
        """Whether stanzas travel in WebSocket frames."""
        return self.transport in ("ws", "wss")

    def check(self, mode: str) -> None:
        """Raises OptionError when a value, or a combination of values, cannot be used."""
        if self.transport not in TRANSPORTS:
            raise OptionError(f"transport {self.transport!r} is none of {', '.join(TRANSPORTS)}")
        if not all(pid.strip().isdigit() for pid in self.pid.split(",") if pid):
            raise OptionError(f"pid {self.pid!r} is not a list of process ids")
        for name, least, most in (
            *(("port", 0, 65535), ("count", 1, MOST_USERS), ("concurrency", 1, 10_000), ("window", 1, 100_000)),
            *(("rooms", 1, self.count), ("senders", 1, self.count), ("size", 32, 100_000), ("rate", 0, 1_000_000)),
            *((name, 0, LONGEST) for name in ("connect_timeout", "settle", "hold", "seconds", "warmup", "drain")),
        ):
            if not least <= getattr(self, name) <= most:
                raise OptionError(f"{name} {getattr(self, name)} is not between {least} and {most:.0f}")
        if mode == "chat" and self.count % 2:
            raise OptionError("count must be even: users chat in pairs")
        if mode != "login" and self.seconds == 0:
            raise OptionError("seconds must not be 0")
