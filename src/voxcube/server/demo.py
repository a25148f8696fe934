"""The demo: an application with alice, bob and carol, the same at every start on one data directory."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxcube.server import tls
from voxcube.server.accounts import Accounts
from voxcube.server.config import Config

LOGINS = ("alice", "bob", "carol")
FILE = "demo.json"

Doors = dict[str, tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoUser:
    """One of the three."""

    id: int
    login: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What a client needs to know of the demo application."""

    app_id: int
    auth_key: str
    auth_secret: str
    admin_api_key: str | None  # None: made by an earlier version, which did not keep it
    users: tuple[DemoUser, ...]


async def prepare(config: Config) -> Demo:
    """Makes the demo application and users where they do not exist yet. Passwords are kept in `demo.json`."""
    path = config.data / FILE
    kept = _read(path)
    async with Accounts.open(config) as accounts:
        app = next((app for app in await accounts.apps.every() if app.auth_key == kept.get("auth_key")), None)
        if app is None:
            app = new = await accounts.apps.create("Demo")
            kept = {"admin_api_key": new.admin_api_key}
        admin_api_key = kept.get("admin_api_key")
        if admin_api_key is not None and not accounts.apps.is_admin_key(app, admin_api_key):
            admin_api_key = None  # replaced by `voxcube app rotate-keys`
        passwords: dict[str, str] = {user["login"]: user["password"] for user in kept.get("users", ())}
        users = []
        for login in LOGINS:
            password = passwords.get(login) or secrets.token_hex(6)
            user = await accounts.find_user(app.id, login)
            if user is None:
                user = await accounts.create_user(app.id, login, password, full_name=login.capitalize())
            users.append(DemoUser(id=user.id, login=login, password=password))
    made = Demo(
        app_id=app.id,
        auth_key=app.auth_key,
        auth_secret=app.auth_secret or "",
        admin_api_key=admin_api_key,
        users=tuple(users),
    )
    _write(path, kept | _credentials(made))
    return made


def card(config: Config, demo: Demo, doors: Doors) -> str:
    """The text for the person who started the demo; the same facts go to `demo.json` for the example programs."""
    path = config.data / FILE
    certificate = tls.certificate(config)
    urls = {
        "REST": [f"{scheme}://{_host(config)}:{doors[scheme][1]}" for scheme in ("http", "https") if scheme in doors],
        "WebSocket": [f"{scheme}://{_host(config)}:{doors[scheme][1]}" for scheme in ("ws", "wss") if scheme in doors],
        "XMPP (TLS)": [f"{_host(config)}:{doors['xmpps'][1]}"] if "xmpps" in doors else [],
        "XMPP" if config.plaintext else "STARTTLS": [f"{_host(config)}:{doors['xmpp'][1]}"] if "xmpp" in doors else [],
    }
    facts = {
        "api_url": next(iter(urls["REST"]), None),
        "chat_host": config.domain,
        "chat_address": _host(config),
        "chat_port": doors["xmpps"][1] if "xmpps" in doors else None,
        "chat_url": next(iter(urls["WebSocket"]), None),
        "certificate": str(certificate.cert.absolute()),
    }
    _write(path, _credentials(demo) | facts)
    lines = [
        "",
        "Voxcube demo",
        "",
        f"  application  id {demo.app_id}   auth_key {demo.auth_key}   auth_secret {demo.auth_secret}",
        f"  admin key    {demo.admin_api_key or f'a new one by: voxcube app rotate-keys {demo.app_id}'}",
        "",
        "  user         id      password",
        *(f"  {user.login:<12} {user.id:<7} {user.password}" for user in demo.users),
        "",
        *(f"  {name:<12} {'   '.join(found)}" for name, found in urls.items() if found),
        *([f"  API docs     {urls['REST'][0]}/docs"] if urls["REST"] else []),
        f"  chat host    {config.domain}",
        f"  certificate  {certificate.cert}{'  (self-signed)' if certificate.self_signed else ''}",
        f"               SHA-256 {certificate.fingerprint}",
        "",
        "  Next, in another terminal (both programs read the above from the file given):",
        f"    .venv/bin/python examples/first_chat.py {path}",
        f"    node examples/first_chat.mjs {path}       (first: cd examples && npm install)",
        "  Stop with Ctrl-C. Starting the demo again keeps users, passwords and messages.",
        "",
    ]
    return "\n".join(lines)


def _credentials(demo: Demo) -> dict[str, Any]:
    users = [{"id": user.id, "login": user.login, "password": user.password} for user in demo.users]
    facts = {"app_id": demo.app_id, "auth_key": demo.auth_key, "users": users}
    return facts if demo.admin_api_key is None else facts | {"admin_api_key": demo.admin_api_key}


def _host(config: Config) -> str:
    """The name clients on this machine connect to: one that the certificate covers."""
    first = config.hosts[0]
    return "localhost" if first in ("0.0.0.0", "::", "::1") else first


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _write(path: Path, facts: dict[str, Any]) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(facts, file, indent=2)
