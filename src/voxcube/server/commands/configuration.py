"""`voxcube config …`: the options."""

import os
from pathlib import Path

import typer

from voxcube.server.commands.running import group, spell
from voxcube.server.config import Config, ConfigError
from voxcube.server.options import configured

commands = group("config", "The configuration.")


@commands.command("check")
@configured()
def check(config: Config) -> None:
    """Read the configuration as `serve` would, look at the certificate, and print the options in force."""
    from voxcube.server import tls

    _check_directory(config.data)
    tls.check(config)
    for name in config.__slots__:
        value = config.shown_database if name == "database" and config.database else getattr(config, name)
        typer.echo(f"{name}={'' if value is None else spell(value)}")


def _check_directory(data: Path) -> None:
    """Raises ConfigError when a server could not use the data directory, or make it."""
    if data.is_dir():
        if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(f"cannot write to the data directory {data} (option data)")
    elif data.exists():
        raise ConfigError(f"cannot use the data directory {data}: it is a file (option data)")
    elif not data.absolute().parent.is_dir():
        raise ConfigError(
            f"cannot make the data directory {data}: {data.absolute().parent} does not exist (option data)"
        )
