"""The options of the server: one dataclass from which flags, environment variables, TOML keys and the reference derive.

A flag beats an environment variable, which beats the TOML file. An unknown flag or key is an error: a typing mistake in
an option must not silently leave a default in force. An unknown variable is a warning, because other programs put
variables of this prefix into the environment: Kubernetes does for each Service whose name begins with `voxcube`.
"""

import ipaddress
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from voxcube.server import database_url
from voxcube.server.net.addresses import split_hosts

ENV_PREFIX = "VOXCUBE_"
CONFIG_VARIABLE = "VOXCUBE_CONFIG"
LOG_LEVELS = ("debug", "info", "warning", "error")
METRICS = ("loopback", "all", "off")
SMALLEST_BODY = 4096
LOG_FORMATS = ("console", "json")

_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s,]+")  # RFC 6454 §6.2; of apps in a web view also other schemes
_RATES = ("requests_per_second", "stanzas_per_second", "wrong_passwords", "sign_ups_per_minute")
# What Kubernetes injects for a Service, and Docker for a link: NAME_SERVICE_HOST, NAME_SERVICE_PORT[_PORTNAME],
# NAME_PORT=tcp://address:port, NAME_PORT_8080_TCP[_PROTO|_PORT|_ADDR]. Of a Service `voxcube-http` the third is
# VOXCUBE_HTTP_PORT, which is an option as well.
_SERVICE_NAME = re.compile(
    r"VOXCUBE(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)", re.ASCII
)
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://\S+")
_MOST = 10**9  # of any number
_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


class ConfigError(Exception):
    """A configuration that cannot be used; the text is one line for the person who wrote it."""


def _option(default: Any, text: str, *, metavar: str) -> Any:
    return field(default=default, metadata={"help": text, "metavar": metavar})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All options of a server. Each is a flag, a variable `VOXCUBE_…` and a TOML key of the same name."""

    data: Path = _option(
        Path("voxcube-data"), "directory for the database, certificate and demo credentials", metavar="DIR"
    )
    domain: str = _option("localhost", "domain of the user addresses (the chat host)", metavar="DOMAIN")
    host: str = _option(
        "127.0.0.1", "addresses to listen on, comma-separated; 0.0.0.0 for all of IPv4, :: for all", metavar="ADDRESS"
    )
    http_port: int = _option(8080, "REST, /docs, /health, /metrics; 0 turns it off", metavar="PORT")
    https_port: int = _option(8443, "the same over TLS; 0 turns it off", metavar="PORT")
    xmpp_port: int = _option(
        5222, "XMPP over TCP with STARTTLS (in clear with --plaintext); 0 turns it off", metavar="PORT"
    )
    xmpps_port: int = _option(5223, "XMPP over TCP with TLS from the first byte; 0 turns it off", metavar="PORT")
    ws_port: int = _option(
        5280, "XMPP over WebSocket in clear, for loopback and behind a TLS proxy; 0 turns it off", metavar="PORT"
    )
    wss_port: int = _option(5291, "XMPP over WebSocket with TLS; 0 turns it off", metavar="PORT")
    tls_cert: Path | None = _option(
        None, "certificate chain (PEM); without it a self-signed one is made in the data directory", metavar="FILE"
    )
    tls_key: Path | None = _option(None, "private key of the certificate (PEM)", metavar="FILE")
    trusted_proxies: str = _option(
        "", "addresses or networks of TLS proxies: logins on --ws-port, X-Forwarded-For", metavar="LIST"
    )
    max_half_open: int = _option(
        100, "chat connections of one address that have not logged in; 0: any number", metavar="NUMBER"
    )
    http_connections: int = _option(256, "HTTP connections of one address at once; 0: any number", metavar="NUMBER")
    request_seconds: int = _option(
        20, "for a TLS handshake and a request head; slow bodies and readers are measured over it", metavar="SECONDS"
    )
    keep_alive_seconds: int = _option(
        75, "how long an idle HTTP connection is kept; longer than a proxy keeps it", metavar="SECONDS"
    )
    sessions_per_user: int = _option(
        50, "chat sessions of a user on this node; beyond it the oldest one ends; 0: any number", metavar="NUMBER"
    )
    resume_seconds: int = _option(
        300, "how long a chat session whose connection broke waits to be resumed (XEP-0198); 0: not", metavar="SECONDS"
    )
    ping_seconds: int = _option(
        45, "silence after which a chat client is pinged, to find dead connections; 0: never", metavar="SECONDS"
    )
    requests_per_second: int = _option(
        20,
        "REST requests of a user, ten seconds' worth at once; ten times that of an address; 0: any",
        metavar="NUMBER",
    )
    stanzas_per_second: int = _option(
        50, "stanzas of a chat user, ten seconds' worth at once; ten times that of an address; 0: any", metavar="NUMBER"
    )
    wrong_passwords: int = _option(
        10, "wrong passwords that an account may get from one address before it must wait; 0: any", metavar="NUMBER"
    )
    sign_ups_per_minute: int = _option(
        60, "new accounts of an address, ten minutes' worth at once; 0: any number", metavar="NUMBER"
    )
    cors_origins: str = _option(
        "*", "origins of pages that may use REST and WebSocket, as https://app.example.org; * for all", metavar="LIST"
    )
    body_limit: int = _option(1024 * 1024, "largest body of a REST request, in bytes", metavar="BYTES")
    insecure_http_credentials: bool = _option(
        False, "take passwords and tokens over clear HTTP from other hosts: on trusted networks only", metavar="BOOL"
    )
    metrics: str = _option("loopback", "who may read /metrics: " + ", ".join(METRICS), metavar="WHO")
    plaintext: bool = _option(False, "XMPP without TLS on --xmpp-port; loopback only", metavar="BOOL")
    unlimited: bool = _option(False, "switch rate limits and login throttling off; loopback only", metavar="BOOL")
    database: str = _option(
        "", "sqlite:///PATH or postgresql://…; default: voxcube.db in the data directory", metavar="URL"
    )
    node: str = _option("", "name of this node, unique on one database; default: the host name", metavar="NAME")
    log_level: str = _option("info", "least severe events to log: " + ", ".join(LOG_LEVELS), metavar="LEVEL")
    log_format: str = _option("console", "log to standard error as: " + ", ".join(LOG_FORMATS), metavar="FORMAT")

    @classmethod
    def load(
        cls,
        path: Path | None,
        environ: Mapping[str, str],
        overrides: Mapping[str, object],
        *,
        warn: Callable[[str], None] = lambda text: None,
    ) -> Self:
        """Reads the options from the TOML file at `path`, the variables in `environ`, and `overrides` (flags).

        An override of None counts as not given. `warn` gets a line for each unknown variable. Raises ConfigError.
        """
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for source, given in (
            (str(path), _read_toml(path) if path is not None else {}),
            ("environment", _from_environ(environ)),
            ("command line", {name: value for name, value in overrides.items() if value is not None}),
        ):
            for name, value in given.items():
                if name not in known:
                    unknown = f"{source}: there is no option {_spelled(source, name)}{_similar(source, name, known)}"
                    if source != "environment":
                        raise ConfigError(unknown)
                    warn(f"{unknown}; it is ignored")
                    continue
                try:
                    values[name] = _convert(known[name], value)
                except ValueError as error:
                    raise ConfigError(f"{source}: {_spelled(source, name)} {error}") from None
        config = cls(**values)
        config.check()
        return config

    @property
    def database_url(self) -> str:
        """The database in force: the `database` option, or the SQLite file in the data directory."""
        return self.database or f"sqlite:///{self.data.absolute() / 'voxcube.db'}"

    @property
    def shown_database(self) -> str:
        """`database_url` without the password."""
        return database_url.shown(self.database_url)

    @property
    def sqlite_file(self) -> Path | None:
        """The database file; None on PostgreSQL."""
        url = self.database_url
        return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None

    @property
    def node_name(self) -> str:
        """The name this node goes by in presence and job leases."""
        return self.node or socket.gethostname()

    @property
    def ports(self) -> dict[str, int]:
        """Door name → port, for the doors that are not turned off."""
        doors = {f.name.removesuffix("_port"): getattr(self, f.name) for f in fields(self) if f.name.endswith("_port")}
        return {door: port for door, port in doors.items() if port}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses and names of `host`. Raises ValueError."""
        return split_hosts(self.host)

    @property
    def proxies(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of `trusted_proxies`. Raises ValueError."""
        return tuple(ipaddress.ip_network(part.strip()) for part in self.trusted_proxies.split(",") if part.strip())

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of `cors_origins`."""
        return tuple(part.strip() for part in self.cors_origins.split(",") if part.strip())

    def check(self) -> None:
        """Raises ConfigError when a value, or a combination of values, cannot be used."""
        if not _DOMAIN.fullmatch(self.domain) or len(self.domain) > 253:
            raise ConfigError(f"domain {self.domain!r} is not a host name")
        if "muc" in self.domain:
            # Official SDKs tell a room from a user by this substring.
            raise ConfigError(f"domain {self.domain!r} must not contain 'muc': clients take such addresses for rooms")
        for f in fields(self):
            if f.name.endswith("_port") and not 0 <= getattr(self, f.name) <= 65535:
                raise ConfigError(f"{f.name} {getattr(self, f.name)} is not between 0 and 65535")
        for origin in self.origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigError(f"cors_origins: {origin!r} is not an origin like https://app.example.org")
        if self.body_limit < SMALLEST_BODY:
            raise ConfigError(f"body_limit {self.body_limit} is too small: a login may need {SMALLEST_BODY} bytes")
        if self.metrics not in METRICS:
            raise ConfigError(f"metrics {self.metrics!r} is none of {', '.join(METRICS)}")
        for f in fields(self):
            if f.type is int and not 0 <= getattr(self, f.name) <= _MOST:
                raise ConfigError(f"{f.name} {getattr(self, f.name)} is not between 0 and {_MOST}")
        for name in ("request_seconds", "keep_alive_seconds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1")
        taken: dict[int, str] = {}
        for door, port in self.ports.items():
            if port in taken:
                raise ConfigError(f"{taken[port]}_port and {door}_port are both {port}")
            taken[port] = door
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("tls_cert and tls_key belong together: give both or neither")
        try:
            hosts = self.hosts
        except ValueError as error:
            raise ConfigError(f"host: {error}") from None
        try:
            _ = self.proxies
        except ValueError as error:
            raise ConfigError(f"trusted_proxies: {error}") from None
        for name in ("plaintext", "unlimited"):
            if getattr(self, name) and not all(map(is_loopback, hosts)):
                raise ConfigError(f"{name} is for loopback only, but the server would listen on {self.host}")
        if self.database and (wrong := database_url.problem(self.database)):
            raise ConfigError(f"database {wrong}")
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"log_level {self.log_level!r} is none of {', '.join(LOG_LEVELS)}")
        if self.log_format not in LOG_FORMATS:
            raise ConfigError(f"log_format {self.log_format!r} is none of {', '.join(LOG_FORMATS)}")


def flag(name: str) -> str:
    """The command line flag of an option: `http_port` → `--http-port`."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment variable of an option: `http_port` → `VOXCUBE_HTTP_PORT`."""
    return ENV_PREFIX + name.upper()


def is_loopback(host: str) -> bool:
    """Whether listening on `host` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None


def _from_environ(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENV_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(ENV_PREFIX) and name != CONFIG_VARIABLE and not _is_injected(name, value)
    }


def _is_injected(name: str, value: str) -> bool:
    """Whether a variable describes a Kubernetes Service, or a Docker link, rather than being an option."""
    is_url = name.endswith("_PORT") and _SERVICE_URL.fullmatch(value)
    return bool(is_url or _SERVICE_NAME.fullmatch(name))


def _similar(source: str, name: str, known: Mapping[str, object]) -> str:
    import difflib  # only for who has mistyped something

    found = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {_spelled(source, found[0])}?)" if found else ""


def _spelled(source: str, name: str) -> str:
    if source == "environment":
        return variable(name)
    return flag(name) if source == "command line" else repr(name)


def _convert(option: Field[Any], value: object) -> object:
    """`value` in the type of the option. Text is read (variables, flags); TOML values must have the right type."""
    annotation = option.type
    if isinstance(value, str) and re.search(r"[\0-\x1f\x7f]", value):
        raise ValueError(f"must not contain control characters, as {value!r} does")
    if annotation is int:
        if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value.strip()):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValueError(f"must be a whole number of 0 or more, not {value!r}")
    if annotation is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE:
            return value.strip().lower() in _TRUE
        raise ValueError(f"must be true or false, not {value!r}")
    if annotation is str:
        if isinstance(value, str):
            return value.strip().lower() if option.name == "domain" else value.strip()
        raise ValueError(f"must be a text, not {value!r}")
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"must be a path, not {value!r}")
    return Path(value)
