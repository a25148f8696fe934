"""Runs the body of a command, and prints what it returns."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from voxcube.server import file_modes
from voxcube.server.config import Config, ConfigError

if TYPE_CHECKING:
    from voxcube.server.accounts import Accounts

T = TypeVar("T")


def group(name: str, text: str) -> typer.Typer:
    """A group of commands: `voxcube NAME …`."""
    return typer.Typer(name=name, help=text, no_args_is_help=True, rich_markup_mode=None)


def run(main: Callable[[], Coroutine[Any, Any, T]], config: Config) -> T:
    """Runs `main` in an event loop of its own, with logging set up, on files that other users cannot read."""
    import uvloop

    from voxcube.server import log

    log.configure(config.log_level, config.log_format)
    for line in file_modes.repair(config):
        typer.echo(f"voxcube: {line}", err=True)
    return uvloop.run(main())


def with_accounts(
    config: Config, main: Callable[[Accounts], Coroutine[Any, Any, None]], *, creates: bool = False
) -> None:
    """Runs `main` with the configured database; only with `creates` may that be one that does not exist yet."""
    prepare_data(config, creates=creates)

    async def opened() -> None:
        from voxcube.server.accounts import Accounts

        async with Accounts.open(config) as accounts:
            await main(accounts)

    run(opened, config)


def prepare_data(config: Config, *, creates: bool, serves: bool = False) -> None:
    """Makes the data directory when it is missing and the command may do so. Raises ConfigError.

    `serves`: the command keeps more there than the database.

    A mistyped path is an error: parents are never made, and commands about existing data make nothing at all.
    """
    if config.sqlite_file is not None:
        _check_sqlite(config, config.sqlite_file, creates=creates)
    if serves or (creates and not config.database):
        make_directory(config.data)


def make_directory(path: Path) -> None:
    """Makes the data directory itself, and says so. Raises ConfigError."""
    try:
        path.mkdir(mode=0o700)  # the messages of all users are in there
    except FileExistsError:
        if not path.is_dir():
            raise ConfigError(f"cannot use the data directory {path}: it is a file (option data)") from None
    except FileNotFoundError:
        raise ConfigError(
            f"cannot make the data directory {path}: {path.absolute().parent} does not exist (option data)"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot use the data directory {path}: {error.strerror} (option data)") from None
    else:
        typer.echo(f"voxcube: created the data directory {path.absolute()}", err=True)


def _check_sqlite(config: Config, file: Path, *, creates: bool) -> None:
    option = "database" if config.database else "data"
    directory = config.data if not config.database else file.parent
    try:
        if directory.is_dir():
            if not creates and not file.exists():
                raise ConfigError(
                    f"there is no database {file.absolute()} (option {option}):"
                    " name an existing one, or make one with `voxcube app create`"
                )
        elif directory.exists():
            raise ConfigError(f"cannot use the data directory {directory}: it is a file (option {option})")
        elif config.database:
            raise ConfigError(f"the directory {directory.absolute()} of the database does not exist (option database)")
        elif not creates:
            raise ConfigError(f"there is no data directory {directory.absolute()} (option data)")
    except OSError as error:
        raise ConfigError(f"cannot use {directory}: {error.strerror} (option {option})") from None


def show(values: dict[str, Any], *, as_json: bool) -> None:
    """Prints values as one JSON object, or a line for each."""
    if as_json:
        typer.echo(json.dumps(values))
    else:
        for key, value in values.items():
            typer.echo(f"{key}={'' if value is None else value}")


def spell(value: object) -> str:
    """A setting as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)
