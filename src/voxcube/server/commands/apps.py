"""`voxcube app …`: applications and their settings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from voxcube.server.commands.running import group, show, spell, with_accounts
from voxcube.server.config import Config, ConfigError
from voxcube.server.core.models import AppSettings
from voxcube.server.options import WHERE, configured

if TYPE_CHECKING:
    from voxcube.server.accounts import Accounts

commands = group("app", "Applications: worlds of users that see nothing of each other.")


@commands.command("create")
@configured(*WHERE)
def create(
    config: Config,
    name: str = typer.Argument(help="what the application is called"),
    session_creates_user: bool | None = typer.Option(
        None,
        "--session-creates-user/--no-session-creates-user",
        help="whether a login with an unknown name makes an account [default: asked on a terminal, otherwise yes]",
        show_default=False,
    ),
    as_json: bool = typer.Option(False, "--json", help="print one JSON object"),
) -> None:
    """Make an application and print its keys; the administration key is not shown again."""
    if session_creates_user is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        question = "Shall a login with an unknown name make an account, as at ConnectyCube? (a typo makes one, too)"
        session_creates_user = typer.confirm(question, default=True)

    async def main(accounts: Accounts) -> None:
        app = await accounts.apps.create(name, AppSettings(session_creates_user=session_creates_user is not False))
        created = {
            "app_id": app.id,
            "auth_key": app.auth_key,
            "auth_secret": app.auth_secret,
            "admin_api_key": app.admin_api_key,
        }
        show(created, as_json=as_json)
        if session_creates_user is None:
            typer.echo(
                "voxcube: a login with an unknown name makes an account, as at ConnectyCube; to refuse it instead:"
                f" voxcube app set {app.id} session_creates_user=off",
                err=True,
            )

    with_accounts(config, main, creates=True)


@commands.command("rotate-keys")
@configured(*WHERE)
def rotate_keys(
    config: Config,
    app: int = typer.Argument(help="id of the application"),
    keys: str = typer.Option(
        "admin_api_key",
        "--keys",
        help="keys to replace: auth_key, auth_secret, admin_api_key, comma-separated",
        metavar="LIST",
    ),
    as_json: bool = typer.Option(False, "--json", help="print one JSON object"),
) -> None:
    """Replace keys of an application, and print the new ones once; the old ones stop working within a second."""

    async def main(accounts: Accounts) -> None:
        new = await accounts.apps.rotate_keys(app, [key.strip() for key in keys.split(",") if key.strip()])
        show({"app_id": app, **new}, as_json=as_json)

    with_accounts(config, main)


@commands.command("list")
@configured(*WHERE)
def list_(config: Config, as_json: bool = typer.Option(False, "--json", help="print one JSON object a line")) -> None:
    """List the applications and their settings."""

    async def main(accounts: Accounts) -> None:
        for app in await accounts.apps.every():
            settings = {key: getattr(app.settings, key) for key in app.settings.__slots__}
            if as_json:
                show({"app_id": app.id, "name": app.name, "auth_key": app.auth_key, **settings}, as_json=True)
            else:
                typer.echo(f"{app.id}  {app.name}  auth_key={app.auth_key}")
                for key, value in settings.items():
                    typer.echo(f"    {key}={spell(value)}")

    with_accounts(config, main)


@commands.command("set")
@configured(*WHERE)
def set_(
    config: Config,
    app: int = typer.Argument(help="id of the application"),
    settings: list[str] = typer.Argument(help="KEY=VALUE; a list value is comma-separated"),
) -> None:
    """Change settings of an application; a running server follows within a second."""
    texts: dict[str, str] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"{setting!r} is not KEY=VALUE")
        texts[key.strip()] = text

    async def main(accounts: Accounts) -> None:
        changed = await accounts.apps.change(app, texts)
        for key in texts:
            typer.echo(f"{key}={spell(getattr(changed.settings, key))}")

    with_accounts(config, main)


@commands.command("delete")
@configured(*WHERE)
def delete(
    config: Config,
    app: int = typer.Argument(help="id of the application"),
    yes: bool = typer.Option(False, "--yes", help="do not ask"),
) -> None:
    """Delete an application with its users, dialogs and messages; a running server may go on beside it."""

    async def main(accounts: Accounts) -> None:
        found = await accounts.apps.get(app)
        users = await accounts.count_users(app)
        if not yes:
            typer.confirm(
                f"Delete application {app} ({found.name}) with {users} users and all their messages?",
                abort=True,
                err=True,
            )
        await accounts.delete_app(app)
        typer.echo(f"application {app} is deleted")

    with_accounts(config, main)
