"""The `voxcube` command: starts a server, and works on its database beside it.

Exit status: 0 done, 1 the request was refused (say, a login is taken), 2 it could not be tried: wrong flags or
configuration, a busy port, a database that is away, in use, or newer than this program. Errors are one line on
standard error.
"""

import os
import sys
from typing import NoReturn

try:
    import typer

    from voxcube.bench.commands import bench_commands
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.startswith("voxcube"):
        raise
    print(
        f"voxcube: the server is not installed ({missing.name} is missing): pip install 'voxcube[server]'",
        file=sys.stderr,
    )
    sys.exit(2)

from voxcube import __version__
from voxcube.server.commands import apps, configuration, database, dialogs, users
from voxcube.server.commands.serve import demo, serve
from voxcube.server.config import ConfigError
from voxcube.server.file_modes import UMASK

cli = typer.Typer(
    name="voxcube",
    help="An open, self-hosted chat platform.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"voxcube {__version__}")
        raise typer.Exit


@cli.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="print the version"),
) -> None:
    """An open, self-hosted chat platform."""


cli.command("serve")(serve)
cli.command("demo")(demo)
for group in (apps, users, dialogs, database, configuration):
    cli.add_typer(group.commands)
cli.add_typer(bench_commands)


def main() -> None:
    """Entry point of the `voxcube` command."""
    os.umask(UMASK)
    try:
        cli()
    except ConfigError as error:
        _fail(str(error), 2)
    except ModuleNotFoundError as error:
        if error.name in ("asyncpg", "greenlet"):
            _fail(
                f"PostgreSQL needs {error.name}, which is missing (option database):"
                " pip install 'voxcube[server,postgres]'",
                2,
            )
        if error.name is None or error.name.startswith("voxcube"):
            raise
        _fail(f"the server is not installed ({error.name} is missing): pip install 'voxcube[server]'", 2)
    except Exception as error:
        # Only here: a command that raises one of these has loaded their modules, and `--help` does without.
        from voxcube.server.core.errors import DomainError
        from voxcube.server.storage.database import DatabaseError

        if isinstance(error, DomainError):
            _fail(error.text, 1)
        if isinstance(error, DatabaseError):
            _fail(str(error), 2)
        raise


def _fail(text: str, status: int) -> NoReturn:
    print(f"voxcube: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
