"""The engine and its two kinds of session: `read` and `write`.

SQLite runs in WAL with `synchronous=FULL`; a write is `BEGIN IMMEDIATE`, and writes of one process queue up in order,
so nobody spins on the file's lock. PostgreSQL runs at READ COMMITTED: rows that a write depends on are locked, in the
order deployment → project → counter → hosts.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from scalemesh.errors import BadSettings, Unavailable

log = structlog.get_logger(__name__)

BUSY_TIMEOUT_MS = 10_000
_BEGIN = "scalemesh_begin"
# SQLSTATE classes: connection, transaction rolled back (deadlock), resources, operator (shutting down, recovering).
_AWAY = frozenset(("08", "40", "53", "57"))
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"busy_timeout={BUSY_TIMEOUT_MS}",
)


class Database:
    """Opened once per process with `async with`. `sqlite+aiosqlite:///file` or `postgresql+asyncpg://…`."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self._engine: AsyncEngine | None = None
        self._write_turn: AbstractAsyncContextManager[Any] = nullcontext()

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def engine(self) -> AsyncEngine:
        if self._engine is None:
            raise RuntimeError("Database: enter it first (`async with`)")
        return self._engine

    async def __aenter__(self) -> Self:
        self._engine = self._create_engine()
        if self.is_sqlite:
            self._write_turn = asyncio.Lock()
            _prepare_sqlite(self._engine)
        self._reads = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writes = async_sessionmaker(
            self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}), expire_on_commit=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads; what it returns stays usable (detached) afterwards. Raises Unavailable."""
        with _answers():
            async with self._reads() as session:
                await _uncancelled(session.connection())
                yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end, rolled back by an exception. Await nothing slow in it.

        Raises Unavailable when the database does not answer; whether it has committed is then not known.
        """
        with _answers():
            async with self._write_turn, self._writes() as session, session.begin():
                await _uncancelled(session.connection())
                yield session

    async def migrate(self) -> None:
        """Bring the schema up to date; safe from several processes at once, and cheap when there is nothing to do."""
        from scalemesh.db.migrations import run

        async with self._write_turn, self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            await connection.run_sync(run)

    def _create_engine(self) -> AsyncEngine:
        if self.url.drivername == "postgresql+asyncpg":
            return self._create_postgres()
        if self.url.drivername != "sqlite+aiosqlite":
            raise BadSettings(
                f"SCALEMESH_DATABASE_URL: no database {self.url.drivername!r}.",
                hint="sqlite+aiosqlite:////path/to/file or postgresql+asyncpg://user@host/name.",
                field="SCALEMESH_DATABASE_URL",
            )
        if not self.url.database or self.url.database == ":memory:":
            raise BadSettings(
                "SCALEMESH_DATABASE_URL: the database must be a file.",
                hint="sqlite+aiosqlite:////path/to/file",
                field="SCALEMESH_DATABASE_URL",
            )
        Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        Path(self.url.database).touch(mode=0o600)  # SQLite gives the same mode to the files beside it
        # No overflow: each connection is a thread, and one above the pool's size is closed after its one use.
        return create_async_engine(self.url, pool_size=15, max_overflow=0, pool_timeout=30)

    def _create_postgres(self) -> AsyncEngine:
        try:
            return create_async_engine(self.url, pool_size=10, max_overflow=20, pool_timeout=30, pool_pre_ping=True)
        except ImportError as error:
            raise BadSettings(
                "SCALEMESH_DATABASE_URL: PostgreSQL needs a driver.", hint="pip install 'scalemesh[postgres]'"
            ) from error


@contextmanager
def _answers() -> Iterator[None]:
    """A database that is away, restarting or full is not a fault of whoever asks: a 503, and worth another try."""
    try:
        yield
    except (DBAPIError, ConnectionError) as error:
        if isinstance(error, DBAPIError) and not _is_away(error):
            raise
        log.warning("the database does not answer", cause=str(error))
        raise Unavailable("The database does not answer.", code="database_unavailable") from error


def _is_away(error: DBAPIError) -> bool:
    """PostgreSQL's own words for it come without a class of SQLAlchemy's: they are known by their state."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return isinstance(error, OperationalError | InterfaceError) or state[:2] in _AWAY


async def _uncancelled(opening: Coroutine[Any, Any, object]) -> None:
    """To the end, even when the caller is cancelled: a connection that is dropped half-open is never closed."""
    task = asyncio.ensure_future(opening)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _prepare_sqlite(engine: AsyncEngine) -> None:
    """The driver's own transaction control begins too late and never IMMEDIATE: take it over (SQLAlchemy's recipe)."""

    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))
