"""Runs a server in this process until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from voxcube import __version__
from voxcube.server.app import App
from voxcube.server.config import Config

log = logging.getLogger(__name__)

Announce = Callable[[dict[str, tuple[str, int]]], Coroutine[Any, Any, None]]


async def serve(config: Config, announce: Announce | None = None) -> None:
    """Runs the server until SIGTERM or SIGINT; `announce` gets the open listeners before the `ready` line is printed.

    Raises DatabaseInUse, after an orderly end, when another server has taken this one's place on the database.
    """
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
        await _log_start(app, config)
        print("ready", *_listeners(app, "="), flush=True)
        stopping = asyncio.create_task(stopped.wait())
        ends: set[asyncio.Future[Any]] = {stopping, app.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if app.failed.done():
            raise app.failed.result()
        log.info("stopping")
    log.info("stopped")


async def _log_start(app: App, config: Config) -> None:
    applications = await app.count_applications()
    log.info("Voxcube %s, node %s, domain %s", __version__, config.node_name, config.domain)
    log.info("data directory %s, database %s", config.data.absolute(), config.shown_database)
    log.info("listeners: %s", ", ".join(_listeners(app, " ")) or "none")
    log.info("applications: %d%s", applications, "" if applications else "; make one with `voxcube app create NAME`")


def _listeners(app: App, separator: str) -> list[str]:
    return [f"{name}{separator}{_address(*one)}" for name, every in app.listeners.items() for one in every]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _allow_connections() -> None:
    """A connection is an open file, of which a process may have few unless it asks for more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS says that there is no limit, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
