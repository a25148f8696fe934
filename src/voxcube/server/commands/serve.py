"""`voxcube serve` and `voxcube demo`."""

from __future__ import annotations

import typer

from voxcube.server.commands.running import prepare_data, run
from voxcube.server.config import Config
from voxcube.server.options import configured


@configured()
def serve(config: Config) -> None:
    """Run the server until SIGTERM or SIGINT."""
    prepare_data(config, creates=True, serves=True)

    async def main() -> None:
        from voxcube.server import serving

        await serving.serve(config)

    run(main, config)


@configured()
def demo(config: Config) -> None:
    """Run the server with a demo application and users, and print what to connect with."""
    prepare_data(config, creates=True, serves=True)

    async def introduce(doors: dict[str, tuple[str, int]]) -> None:
        from voxcube.server import demo

        # Beside the running server, as the other commands do it: so that no second server can be about to start.
        credentials = await demo.prepare(config)
        typer.echo(demo.card(config, credentials, doors))

    async def main() -> None:
        from voxcube.server import serving

        await serving.serve(config, introduce)

    run(main, config)
