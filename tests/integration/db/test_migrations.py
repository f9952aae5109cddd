"""The migrations make exactly what tables.py says, on both engines."""

import asyncio
import re
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

import scalemesh.db.migrations
from scalemesh.db import Database
from scalemesh.db.tables import Base, Team
from scalemesh.testing.engines import Postgres, Sqlite


def checks(connection: Connection) -> set[tuple[str, str | None, str]]:
    """CHECK constraints, which Alembic's comparison leaves out."""
    found = inspect(connection)
    return {
        (table, check["name"], re.sub(r"[()\"\s]|::\w+(\[\])?|varying", "", str(check["sqltext"])))
        for table in found.get_table_names()
        for check in found.get_check_constraints(table)
    }


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


async def test_migrated_is_what_the_tables_say(engine: Sqlite | Postgres) -> None:
    async with Database(await engine.fresh()) as db, db.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_checks_are_the_same_as_the_tables_own(engine: Sqlite | Postgres) -> None:
    async with Database(await engine.fresh()) as migrated, Database(await engine.empty()) as created:
        async with created.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            expected = await connection.run_sync(checks)
        async with migrated.engine.connect() as connection:
            found = await connection.run_sync(checks)
    assert len(expected) == 5
    assert found == expected


async def test_twice_and_at_once(engine: Sqlite | Postgres) -> None:
    url = await engine.empty()
    async with Database(url) as one, Database(url) as two:
        await asyncio.gather(one.migrate(), two.migrate())
        await one.migrate()
        async with one.read() as session:
            assert (await session.scalars(text("SELECT version_num FROM alembic_version"))).all() == [
                scalemesh.db.migrations.HEAD
            ]


async def test_down_and_up_again_keeps_what_there_is(engine: Sqlite | Postgres) -> None:
    def there_and_back(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(scalemesh.db.migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        assert not inspect(connection).has_table("hook_deliveries")
        command.upgrade(config, "head")

    async with Database(await engine.fresh()) as db:
        async with db.write() as session:
            session.add(Team(id="team_1", slug="acme", name="Acme", created_at=1))
        async with db.engine.begin() as connection:
            await connection.run_sync(there_and_back)
            assert await connection.run_sync(differences) == []
        async with db.read() as session:
            assert (await session.get_one(Team, "team_1")).turn == 0


def test_head_is_the_last_revision() -> None:
    script = ScriptDirectory(str(Path(scalemesh.db.migrations.__file__).parent))
    assert script.get_current_head() == scalemesh.db.migrations.HEAD


def test_naming_is_ours_on_sqlite_too() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    assert inspect(engine).get_pk_constraint("users")["name"] == "users_pkey"
    engine.dispose()
