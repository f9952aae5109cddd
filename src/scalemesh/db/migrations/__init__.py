"""Alembic's migrations, run in code: there is no alembic.ini and no `alembic` command to remember.

`run` is called inside one transaction. A new revision goes into versions/ and its id into HEAD; a test holds HEAD, the
revisions and tables.py together.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

HEAD = "0005"
_ADVISORY_LOCK = 0x5CA1E3E5


def run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    if _current(connection) == HEAD:
        return  # most starts: without importing Alembic
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
