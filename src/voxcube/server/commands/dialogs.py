"""`voxcube dialog …`: dialogs that only an administrator makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from voxcube.server.commands.running import group, show, with_accounts
from voxcube.server.config import Config, ConfigError
from voxcube.server.options import WHERE, configured

if TYPE_CHECKING:
    from voxcube.server.accounts import Accounts

commands = group("dialog", "Dialogs that only an administrator makes.")


@commands.command("create-broadcast")
@configured(*WHERE)
def create_broadcast(
    config: Config,
    app: int = typer.Option(..., "--app", help="id of the application", metavar="ID"),
    name: str = typer.Option(..., "--name", metavar="NAME"),
    owner: int = typer.Option(..., "--owner", help="id of the user who may write, and change everything", metavar="ID"),
    admins: str = typer.Option("", "--admins", help="ids of up to five users who may write too", metavar="ID,ID"),
    description: str | None = typer.Option(None, "--description", metavar="TEXT"),
    photo: str | None = typer.Option(None, "--photo", metavar="UID"),
    as_json: bool = typer.Option(False, "--json", help="print one JSON object"),
) -> None:
    """Make a dialog that all users of an application read, and print its id."""
    try:
        writers = [int(part) for part in admins.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(f"--admins {admins!r} is not a list of user ids") from None

    async def main(accounts: Accounts) -> None:
        from voxcube.server.features.dialogs.service import NewDialog

        new = NewDialog(type=1, name=name, admins=writers, description=description, photo=photo)
        dialog = await accounts.create_broadcast(app, owner, new)
        show({"id": dialog.id, "name": dialog.name}, as_json=as_json)

    with_accounts(config, main)
