"""SQLite off the event loop: a connection in a thread of its own, transactions, and versioned schemas."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from scalemesh.errors import BadSettings, InvalidInput, Unavailable

T = TypeVar("T")


class Connection:
    """One connection, used in one thread of its own."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        self._db = await self._in_thread(_connect, self._path)
        await self.run(_prepare)

    async def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            await self._in_thread(db.close)
        self._thread.shutdown(wait=False)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._db is None:
            raise Unavailable("The log archive is closed", code="logs_closed")
        return await self._in_thread(work, self._db)

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        except (sqlite3.DataError, sqlite3.IntegrityError, UnicodeError, OverflowError) as error:
            raise InvalidInput(f"Not fit for the log archive: {error}", code="invalid_log_lines") from error
        except sqlite3.Error as error:
            raise Unavailable(f"The log archive {self._path}: {error}", code="logs_unavailable") from error


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)  # SQLite gives the same mode to the files beside it
    return sqlite3.connect(path, isolation_level=None, timeout=10)


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")


def migrate(db: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> None:
    """Apply what is new; PRAGMA user_version counts those applied."""
    with transaction(db):
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise BadSettings(
                f"The log archive has schema {version}, this Scale Mesh knows {len(migrations)}",
                hint="Start the newer Scale Mesh that wrote it.",
                field="SCALEMESH_LOG_ARCHIVE_URL",
            )
        for statement in chain.from_iterable(migrations[version:]):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={len(migrations)}")


class transaction:  # noqa: N801  reads as a statement
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK; sqlite3's own `with` does not begin one without isolation_level."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            # COMMIT can fail (disk full) and leave the transaction open.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
