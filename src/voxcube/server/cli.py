"""The `voxcube` command: starts a server, and works on its database beside it.

Exit status: 0 done, 1 the request was refused (say, a login is taken), 2 it could not be tried: wrong flags or
configuration, a busy port, a database that is away or newer than this program. Errors are one line on standard error.
"""

import asyncio
import contextlib
import errno
import gc
import json
import re
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

try:
    import typer
    import uvloop

    from voxcube.bench.commands import bench_commands
    from voxcube.server import demo, log
    from voxcube.server.accounts import Accounts
    from voxcube.server.config import Config, ConfigError
    from voxcube.server.core.errors import DomainError
    from voxcube.server.features.dialogs.service import NewDialog
    from voxcube.server.options import WHERE, configured
    from voxcube.server.storage import migrate
    from voxcube.server.storage.database import DatabaseError
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.startswith("voxcube"):
        raise
    print(
        f"voxcube: the server is not installed ({missing.name} is missing): pip install 'voxcube[server]'",
        file=sys.stderr,
    )
    sys.exit(2)

T = TypeVar("T")

# A door that cannot be opened: the port is taken or forbidden, or no such address is ours or known at all.
ADDRESS_ERRORS = (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL, socket.EAI_NONAME, socket.EAI_AGAIN)

cli = typer.Typer(
    name="voxcube",
    help="An open, self-hosted chat platform.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _group(name: str, text: str) -> typer.Typer:
    group = typer.Typer(name=name, help=text, no_args_is_help=True, rich_markup_mode=None)
    cli.add_typer(group)
    return group


app_commands = _group("app", "Applications: worlds of users that see nothing of each other.")
user_commands = _group("user", "Users of an application.")
dialog_commands = _group("dialog", "Dialogs that only an administrator makes.")
db_commands = _group("db", "The database.")
config_commands = _group("config", "The configuration.")
cli.add_typer(bench_commands)


@cli.command()
@configured()
def serve(config: Config) -> None:
    """Run the server until SIGTERM or SIGINT."""
    _run(lambda: _serve(config), config)


@cli.command("demo")
@configured()
def demo_command(config: Config) -> None:
    """Run the server with a demo application and users, and print what to connect with."""

    async def introduce(doors: dict[str, tuple[str, int]]) -> None:
        # Beside the running server, as the other commands do it: so that no second server can be about to start.
        credentials = await demo.prepare(config)
        print(demo.card(config, credentials, doors), flush=True)

    _run(lambda: _serve(config, introduce), config)


@app_commands.command("create")
@configured(*WHERE)
def app_create(
    config: Config,
    name: str = typer.Argument(help="what the application is called"),
    as_json: bool = typer.Option(False, "--json", help="print one JSON object"),
) -> None:
    """Make an application and print its keys."""

    async def run(accounts: Accounts) -> None:
        app = await accounts.apps.create(name)
        created = {
            "app_id": app.id,
            "auth_key": app.auth_key,
            "auth_secret": app.auth_secret,
            "admin_api_key": app.admin_api_key,
        }
        _show(created, as_json=as_json)

    _with_accounts(config, run)


@app_commands.command("list")
@configured(*WHERE)
def app_list(
    config: Config, as_json: bool = typer.Option(False, "--json", help="print one JSON object a line")
) -> None:
    """List the applications and their settings."""

    async def run(accounts: Accounts) -> None:
        for app in await accounts.apps.every():
            settings = {key: getattr(app.settings, key) for key in app.settings.__slots__}
            if as_json:
                _show({"app_id": app.id, "name": app.name, "auth_key": app.auth_key, **settings}, as_json=True)
            else:
                print(f"{app.id}  {app.name}  auth_key={app.auth_key}")
                for key, value in settings.items():
                    print(f"    {key}={_spell(value)}")

    _with_accounts(config, run)


@app_commands.command("set")
@configured(*WHERE)
def app_set(
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

    async def run(accounts: Accounts) -> None:
        changed = await accounts.apps.change(app, texts)
        for key in texts:
            print(f"{key}={_spell(getattr(changed.settings, key))}")

    _with_accounts(config, run)


@user_commands.command("create")
@configured(*WHERE)
def user_create(
    config: Config,
    app: int = typer.Option(..., "--app", help="id of the application", metavar="ID"),
    login: str = typer.Option(..., "--login", metavar="NAME"),
    password: str = typer.Option(..., "--password", metavar="PW"),
    email: str | None = typer.Option(None, "--email", metavar="E"),
    full_name: str | None = typer.Option(None, "--full-name", metavar="N"),
    as_json: bool = typer.Option(False, "--json", help="print one JSON object"),
) -> None:
    """Make a user and print its id."""

    async def run(accounts: Accounts) -> None:
        user = await accounts.create_user(app, login, password, email=email, full_name=full_name)
        _show({"id": user.id, "login": user.login}, as_json=as_json)

    _with_accounts(config, run)


@dialog_commands.command("create-broadcast")
@configured(*WHERE)
def dialog_create_broadcast(
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

    async def run(accounts: Accounts) -> None:
        new = NewDialog(type=1, name=name, admins=writers, description=description, photo=photo)
        dialog = await accounts.create_broadcast(app, owner, new)
        _show({"id": dialog.id, "name": dialog.name}, as_json=as_json)

    _with_accounts(config, run)


@db_commands.command("upgrade")
@configured(*WHERE)
def db_upgrade(config: Config) -> None:
    """Create the tables, or bring them to this version."""

    async def run() -> None:
        await migrate.upgrade(config.database_url)
        print(f"the database is at revision {migrate.head()}")

    _run(run, config)


@db_commands.command("check")
@configured(*WHERE)
def db_check(config: Config) -> None:
    """Say whether the database fits this version; exit status 1 when `db upgrade` is needed."""

    async def run() -> None:
        found, wanted = await migrate.check(config.database_url)
        if found == wanted:
            print(f"the database is at revision {wanted}")
        else:
            print(f"the database is {'empty' if found is None else f'at revision {found}'}; this version has {wanted}")
            raise typer.Exit(1)

    _run(run, config)


@config_commands.command("check")
@configured()
def config_check(config: Config) -> None:
    """Read the configuration as `serve` would, and print the options in force."""
    for name in config.__slots__:
        value = getattr(config, name)
        shown = "" if value is None else _spell(value)
        if name == "database":
            shown = re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:…@", shown)  # passwords never reach a terminal or a log
        print(f"{name}={shown}")


def main() -> None:
    """Entry point of the `voxcube` command."""
    try:
        cli()
    except ConfigError as error:
        _fail(str(error), 2)
    except DomainError as error:
        _fail(error.text, 1)
    except DatabaseError as error:
        _fail(str(error), 2)
    except ModuleNotFoundError as error:
        if error.name not in ("asyncpg", "greenlet"):
            raise
        _fail(f"PostgreSQL needs {error.name}, which is missing: pip install 'voxcube[server,postgres]'", 2)
    except OSError as error:
        if error.errno not in ADDRESS_ERRORS:
            raise
        _fail(error.strerror or str(error), 2)


def _fail(text: str, status: int) -> NoReturn:
    print(f"voxcube: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(status)


def _run(main: Callable[[], Coroutine[Any, Any, T]], config: Config) -> T:
    log.configure(config.log_level, config.log_format)
    try:
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)  # everybody's messages are in there
    except OSError as error:
        raise ConfigError(f"cannot use the data directory {config.data}: {error.strerror}") from None
    return uvloop.run(main())


def _with_accounts(config: Config, run: Callable[[Accounts], Coroutine[Any, Any, None]]) -> None:
    async def opened() -> None:
        async with Accounts.open(config) as accounts:
            await run(accounts)

    _run(opened, config)


async def _serve(
    config: Config, announce: Callable[[dict[str, tuple[str, int]]], Coroutine[Any, Any, None]] | None = None
) -> None:
    """Runs the server until a signal; `announce` gets the open doors before the `ready` line is printed.

    Raises DatabaseInUse, after an orderly end, when another server has taken this one's place on the database.
    """
    from voxcube.server.app import App  # not needed by the other commands, which start faster without it

    _allow_connections()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    app = App(config)
    loop.add_signal_handler(signal.SIGHUP, app.reload_certificate)
    async with app:
        # Messages under way are many objects that form no cycles: the collector need not look at them so often, and at
        # what was made at the start not at all (measured: a quarter of the time per stored message).
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        if announce is not None:
            await announce(app.doors)
        doors = (f"{door}={_address(*address)}" for door, address in app.doors.items())
        print("ready", *doors, flush=True)
        stopping = asyncio.create_task(stopped.wait())
        ends: set[asyncio.Future[Any]] = {stopping, app.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if app.failed.done():
            raise app.failed.result()


def _allow_connections() -> None:
    """A connection is an open file, of which a process may have few unless it asks for more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS says that there is no limit, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _show(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(values))
    else:
        for key, value in values.items():
            print(f"{key}={value}")


def _spell(value: object) -> str:
    """A setting as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    main()
