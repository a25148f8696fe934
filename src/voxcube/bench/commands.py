"""`voxcube bench …`: the flags of a load run, and the suite."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from voxcube.bench.options import OptionError, Options

bench_commands = typer.Typer(
    name="bench", help="Load generator for any XMPP server.", no_args_is_help=True, rich_markup_mode=None
)

_CONNECTING = (
    *("host", "port", "domain", "transport", "ca_file", "user", "password", "first", "count", "resource", "session"),
    *("sm", "concurrency", "connect_timeout", "settle", "pid", "label"),
)
_TRAFFIC = (*_CONNECTING, "window", "rate", "seconds", "warmup", "drain", "size", "stored")


def _load_command(mode: str, names: tuple[str, ...]) -> Callable[[Callable[..., None]], None]:
    """Registers a command whose flags are the options `names`; the decorated function gives its help text."""

    def decorate(described: Callable[..., None]) -> None:
        def command(**given: Any) -> None:
            as_json = given.pop("as_json")
            _finish(lambda: _run(mode, Options(**given), as_json=as_json))

        parameters = [_parameter(option) for option in fields(Options) if option.name in names]
        shown = typer.Option(False, "--json", help="print one JSON object")
        parameters.append(_keyword("as_json", shown, bool))
        command.__doc__ = described.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        bench_commands.command(mode)(command)

    return decorate


def _parameter(option: Any) -> inspect.Parameter:
    kind = type(option.default) if option.default is not None else Path | None
    flag = "--" + option.name.replace("_", "-")
    negative = {"stored": "--relayed", "both": "--one-way"}
    spelled = f"{flag}/{negative.get(option.name, f'--no-{flag[2:]}')}" if kind is bool else flag
    return _keyword(option.name, typer.Option(option.default, spelled, help=option.metadata["help"]), kind)


def _keyword(name: str, default: Any, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


@_load_command("chat", (*_TRAFFIC, "both"))
def _chat() -> None:
    """Users chat in pairs."""


@_load_command("group", (*_TRAFFIC, "room", "rooms", "senders", "nick"))
def _group() -> None:
    """Users write to rooms that they have joined."""


@_load_command("login", (*_CONNECTING, "hold"))
def _login() -> None:
    """Users log in and are held idle."""


@bench_commands.command("suite")
def suite_command(
    quick: bool = typer.Option(False, "--quick", help="shorter runs and a smaller history"),
    only: str = typer.Option("", "--only", help="some of: chat, postgres, memory, history, dialogs; comma-separated"),
    postgres: str = typer.Option("", "--postgres", help="URL of an empty database instead of a throw-away cluster"),
    as_json: bool = typer.Option(False, "--json", help="print one JSON object"),
) -> None:
    """Start throw-away servers of our own on loopback, and print the performance table."""
    from voxcube.bench.suite import Suite  # the load generator does without the server

    def run() -> None:
        result = Suite(quick=quick, only=tuple(part for part in only.split(",") if part), postgres=postgres).run(
            lambda line: typer.echo(line, err=True)
        )
        typer.echo(result.json() if as_json else result.text())

    _finish(run)


def _run(mode: str, options: Options, *, as_json: bool) -> None:
    import uvloop

    from voxcube.bench import load

    figures = uvloop.run(load.run(mode, options))
    typer.echo(figures.json() if as_json else figures.text())
    if figures.number("disconnects") or ("lost" in figures and figures.number("lost")):
        raise typer.Exit(1)


def _finish(run: Callable[[], None]) -> None:
    """Runs, and turns what may go wrong into one line and an exit status: 1 refused, 2 not tried."""
    from voxcube.bench.connection import LoadError
    from voxcube.bench.processes import NoProcess
    from voxcube.bench.throwaway import StartError

    try:
        run()
    except OptionError as error:
        status, text = 2, str(error)
    except (LoadError, NoProcess, StartError) as error:
        status, text = 1, str(error)
    except OSError as error:
        status, text = 2, error.strerror or str(error)
    else:
        return
    typer.echo(f"voxcube: {text}", err=True)
    raise typer.Exit(status)
