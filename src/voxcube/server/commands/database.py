"""`voxcube db …`: the tables."""

import typer

from voxcube.server.commands.running import group, prepare_data, run
from voxcube.server.config import Config
from voxcube.server.options import WHERE, configured

commands = group("db", "The database.")


@commands.command("upgrade")
@configured(*WHERE)
def upgrade(config: Config) -> None:
    """Create the tables, or bring them to this version."""
    prepare_data(config, creates=True)

    async def main() -> None:
        from voxcube.server.storage import migrate

        await migrate.upgrade(config.database_url)
        typer.echo(f"the database is at revision {migrate.head()}")

    run(main, config)


@commands.command("check")
@configured(*WHERE)
def check(config: Config) -> None:
    """Say whether the database fits this version; exit status 1 when `db upgrade` is needed."""
    if not config.data.is_dir():
        prepare_data(config, creates=False)

    async def main() -> None:
        from voxcube.server.storage import migrate

        found, wanted = await migrate.check(config.database_url)
        if found == wanted:
            typer.echo(f"the database is at revision {wanted}")
        else:
            state = "empty" if found is None else f"at revision {found}"
            typer.echo(f"the database is {state}; this version has {wanted}")
            raise typer.Exit(1)

    run(main, config)
