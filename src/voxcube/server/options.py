"""Gives the commands their flags: the options of Config become parameters that typer understands."""

import inspect
import logging
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from voxcube.server.config import CONFIG_VARIABLE, Config, flag

#: What every command takes besides --config, as it says which database is meant.
WHERE = ("data", "database")


def configured(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a command whose parameter `config` is to be the loaded Config.

    The command gets `--config` and the flags of the options `names` (of all options when none is named). Values are
    read by Config.load, so that a wrong one gets the same one-line error wherever it was written.
    """
    options = [field for field in fields(Config) if not names or field.name in names]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            path = given.pop("config_file") or os.environ.get(CONFIG_VARIABLE)
            overrides = {option.name: given.pop(option.name) for option in options}
            warnings: list[str] = []
            config = Config.load(Path(path) if path else None, os.environ, overrides, warn=warnings.append)
            if warnings:
                _log_warnings(config, warnings)
            command(config, **given)

        parameters = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "config"]
        parameters.append(
            _parameter(
                "config_file", "--config", str | None, "TOML file with options (see docs/reference/config.md)", "FILE"
            )
        )
        for option in options:
            text, metavar = option.metadata["help"], option.metadata["metavar"]
            if option.type is bool:
                spelled = f"{flag(option.name)}/--no-{flag(option.name)[2:]}"
                parameters.append(_parameter(option.name, spelled, bool | None, text, None))
            else:
                if option.default not in (None, ""):
                    text = f"{text} [default: {option.default}]"
                parameters.append(_parameter(option.name, flag(option.name), str | None, text, metavar))
        run.__name__ = command.__name__
        run.__doc__ = command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _log_warnings(config: Config, warnings: list[str]) -> None:
    from voxcube.server import log  # not needed by `--help`, which starts faster without it

    log.configure(config.log_level, config.log_format)
    for text in warnings:
        logging.getLogger("voxcube.server").warning(text)


def _parameter(name: str, spelled: str, kind: Any, text: str, metavar: str | None) -> inspect.Parameter:
    option = typer.Option(None, spelled, help=text, metavar=metavar, show_default=False)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind)
