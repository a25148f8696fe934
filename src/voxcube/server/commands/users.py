"""`voxcube user …`: users of an application."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from voxcube.server.commands.running import group, show, with_accounts
from voxcube.server.config import Config, ConfigError
from voxcube.server.options import WHERE, configured

if TYPE_CHECKING:
    from voxcube.server.accounts import Accounts
    from voxcube.server.core.models import User

commands = group("user", "Users of an application.")

APP = typer.Option(..., "--app", help="id of the application", metavar="ID")
LOGIN = typer.Option(None, "--login", help="login of the user", metavar="NAME")
ID = typer.Option(None, "--id", help="id of the user, instead of a login", metavar="ID")
PASSWORD = typer.Option(None, "--password", help="visible to other users of this machine", metavar="PW")
PASSWORD_STDIN = typer.Option(False, "--password-stdin", help="read the password from the first line of standard input")
JSON = typer.Option(False, "--json", help="print one JSON object")


@commands.command("create")
@configured(*WHERE)
def create(
    config: Config,
    app: int = APP,
    login: str = typer.Option(..., "--login", metavar="NAME"),
    password: str | None = PASSWORD,
    password_stdin: bool = PASSWORD_STDIN,
    email: str | None = typer.Option(None, "--email", metavar="E"),
    full_name: str | None = typer.Option(None, "--full-name", metavar="N"),
    as_json: bool = JSON,
) -> None:
    """Make a user and print its id. Without --password or --password-stdin the password is asked for."""
    secret = _password(password, from_stdin=password_stdin)

    async def main(accounts: Accounts) -> None:
        user = await accounts.create_user(app, login, secret, email=email, full_name=full_name)
        show({"id": user.id, "login": user.login}, as_json=as_json)

    with_accounts(config, main)


@commands.command("list")
@configured(*WHERE)
def list_(
    config: Config,
    app: int = APP,
    limit: int = typer.Option(100, "--limit", help="how many at most, from 1 to 1000", metavar="NUMBER"),
    after: int = typer.Option(0, "--after", help="only ids above this one: the last of the page before", metavar="ID"),
    as_json: bool = typer.Option(False, "--json", help="print one JSON object a line"),
) -> None:
    """List users of an application by id, a page at a time."""
    if not 1 <= limit <= 1000:
        raise ConfigError(f"--limit {limit} is not between 1 and 1000")

    async def main(accounts: Accounts) -> None:
        users, more = await accounts.list_users(app, after=after, limit=limit)
        for user in users:
            if as_json:
                show(_facts(user), as_json=True)
            else:
                typer.echo("  ".join(f"{key}={value}" for key, value in _facts(user).items() if value is not None))
        if more:
            typer.echo(f"voxcube: there are more users: --after {users[-1].id}", err=True)

    with_accounts(config, main)


@commands.command("set-password")
@configured(*WHERE)
def set_password(
    config: Config,
    app: int = APP,
    login: str | None = LOGIN,
    user_id: int | None = ID,
    password: str | None = PASSWORD,
    password_stdin: bool = PASSWORD_STDIN,
) -> None:
    """Replace the password of a user; ends the user's sessions and tokens. Asks for it without --password."""
    _check_who(login, user_id)
    secret = _password(password, from_stdin=password_stdin)

    async def main(accounts: Accounts) -> None:
        user = await accounts.user(app, login=login, user_id=user_id)
        await accounts.set_password(user, secret)
        typer.echo(f"the password of user {user.id} is changed, and its sessions have ended")

    with_accounts(config, main)


@commands.command("delete")
@configured(*WHERE)
def delete(
    config: Config,
    app: int = APP,
    login: str | None = LOGIN,
    user_id: int | None = ID,
    yes: bool = typer.Option(False, "--yes", help="do not ask"),
) -> None:
    """Delete a user, as the user itself could; messages stay unless the application erases them."""
    _check_who(login, user_id)

    async def main(accounts: Accounts) -> None:
        user = await accounts.user(app, login=login, user_id=user_id)
        if not yes:
            typer.confirm(f"Delete user {user.id} ({user.login or user.email})?", abort=True, err=True)
        await accounts.delete_user(user)
        typer.echo(f"user {user.id} is deleted")

    with_accounts(config, main)


def _check_who(login: str | None, user_id: int | None) -> None:
    if (login is None) == (user_id is None):
        raise ConfigError("name the user by either --login or --id")


def _password(given: str | None, *, from_stdin: bool) -> str:
    """The password of the flag, of standard input, or of the person at the terminal."""
    if given is not None and from_stdin:
        raise ConfigError("give either --password or --password-stdin")
    if given is not None:
        return given
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for the password: use --password-stdin or --password")
    asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return asked


def _facts(user: User) -> dict[str, Any]:
    names = ("id", "login", "email", "full_name", "phone", "is_guest", "created_at", "last_request_at")
    return {name: getattr(user, name) for name in names}
