"""`voxcube app …`: applications and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from voxcube.server.commands.running import group, show, spell, with_accounts
from voxcube.server.config import Config, ConfigError
from voxcube.server.options import WHERE, configured

if TYPE_CHECKING:
    from voxcube.server.accounts import Accounts

commands = group("app", "Applications: worlds of users that see nothing of each other.")


@commands.command("create")
@configured(*WHERE)
def create(
    config: Config,
    name: str = typer.Argument(help="what the application is called"),
    as_json: bool = typer.Option(False, "--json", help="print one JSON object"),
) -> None:
    """Make an application and print its keys."""

    async def main(accounts: Accounts) -> None:
        app = await accounts.apps.create(name)
        created = {
            "app_id": app.id,
            "auth_key": app.auth_key,
            "auth_secret": app.auth_secret,
            "admin_api_key": app.admin_api_key,
        }
        show(created, as_json=as_json)

    with_accounts(config, main, creates=True)


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
