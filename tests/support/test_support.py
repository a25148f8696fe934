"""The helpers themselves: a PostgreSQL that comes back, with its data, on the same port."""

import asyncpg

from tests.support.postgres import PostgresServer


async def test_postgres_survives_a_crash_with_what_it_committed(own_postgres: PostgresServer) -> None:
    url = own_postgres.create_database()
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("show fsync") == "on"
    await connection.execute("create table kept (n int); insert into kept values (7)")
    connection.terminate()
    first = own_postgres.pid
    own_postgres.restart(crash=True)
    assert own_postgres.pid != first
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("select n from kept") == 7
    await connection.close()
