"""Logs in one SQLite file of their own: WAL, synchronous=FULL, one fsync per append.

A line's row id is `log << 32 | seq`: rows lie in reading order, a line counts once, and a full-text index can refer to
them. Connections live in threads, one that writes, one that reads and one that searches, so that the event loop never
waits for the disk, nor a reader for a search. Searches walk a log: a trigram index (FTS5, without
positions) would cut appends to a third.
"""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar, get_args

from scalemesh.core.logs import Level, LogLine, Stream
from scalemesh.errors import InvalidInput
from scalemesh.logs.access.sqlite import SqliteAccess
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.archive.sqlite_connection import Connection, migrate, transaction
from scalemesh.logs.search import LIKE, SEARCH_S, Search, too_long

T = TypeVar("T")

# Appended to, never edited: PRAGMA user_version counts those applied.
MIGRATIONS = (
    (
        "CREATE TABLE logs (id INTEGER PRIMARY KEY, deployment TEXT NOT NULL UNIQUE)",
        """
    CREATE TABLE lines (
        id INTEGER PRIMARY KEY,    -- logs.id << 32 | seq
        attempt INTEGER NOT NULL,
        ts INTEGER NOT NULL,       -- UTC milliseconds
        stream INTEGER NOT NULL,   -- 0 stdout, 1 stderr, 2 system
        level INTEGER NOT NULL,    -- 0 debug, 1 info, 2 warn, 3 error
        step TEXT NOT NULL,
        text TEXT NOT NULL,
        partial INTEGER NOT NULL
    )""",
    ),
)
STREAMS: tuple[Stream, ...] = get_args(Stream)
LEVELS: tuple[Level, ...] = get_args(Level)
_STREAM_CODES = {name: code for code, name in enumerate(STREAMS)}
_LEVEL_CODES = {name: code for code, name in enumerate(LEVELS)}
_SEQ_BITS = 32
_MAX_SEQ = (1 << _SEQ_BITS) - 1
_INSERT = "INSERT OR IGNORE INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = (
    "SELECT id, attempt, ts, stream, level, step, text, partial FROM lines WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
)

_FIND = "SELECT id, attempt, ts, stream, level, step, text, partial FROM lines WHERE id > ? AND id <= ? {} ORDER BY id"


class SqliteArchive(Archive):
    """`sqlite:///relative` or `sqlite:////absolute`; the folder is made, the schema brought up to date on entry."""

    def __init__(self, url: str) -> None:
        self._path = Path(url.removeprefix("sqlite:///"))
        self.access: SqliteAccess = SqliteAccess(self._path.with_name(f"{self._path.stem}-access.db"))
        self._writer = Connection(self._path, "logs-write")
        self._reader = Connection(self._path, "logs-read")
        self._searcher = Connection(self._path, "logs-search")

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        try:
            await self._writer.open()
            await self._writer.run(lambda db: migrate(db, MIGRATIONS))
            await self._reader.open()
            await self._searcher.open()
            await self.access.open()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.access.close()
        await self._searcher.close()
        await self._reader.close()
        await self._writer.close()

    async def append(self, lines: Sequence[LogLine]) -> None:
        await self._writer.run(lambda db: _append(db, lines))

    async def read(self, deployment: str, after: int = -1, limit: int = 1000) -> list[LogLine]:
        return await self._reader.run(lambda db: _read(db, deployment, after, limit))

    async def find(
        self, deployments: Sequence[str], search: Search, after: int = -1, limit: int = 100
    ) -> list[LogLine]:
        search.check()
        return await self._searcher.run(lambda db: _find(db, deployments, search, after, limit))

    async def delete(self, deployment: str) -> None:
        await self._writer.run(lambda db: _delete(db, deployment))


def _append(db: sqlite3.Connection, lines: Sequence[LogLine]) -> None:
    with transaction(db):
        bases = {deployment: _base(db, deployment) for deployment in {line.deployment for line in lines}}
        db.executemany(_INSERT, [_row(bases[line.deployment], line) for line in lines])


def _row(base: int, line: LogLine) -> tuple[int, int, int, int, int, str, str, bool]:
    if not 0 <= line.seq <= _MAX_SEQ:
        raise InvalidInput(f"Log number {line.seq} is out of range", code="invalid_log_lines")
    stream, level = _STREAM_CODES[line.stream], _LEVEL_CODES[line.level]
    return base | line.seq, line.attempt, line.ts, stream, level, line.step, line.text, line.partial


def _read(db: sqlite3.Connection, deployment: str, after: int, limit: int) -> list[LogLine]:
    found = db.execute("SELECT id FROM logs WHERE deployment = ?", (deployment,)).fetchone()
    if found is None or after >= _MAX_SEQ:
        return []
    base = found[0] << _SEQ_BITS
    rows = db.execute(_SELECT, (base + max(after, -1), base | _MAX_SEQ, limit))
    return [_line(deployment, *row) for row in rows]


def _line(
    deployment: str, row_id: int, attempt: int, ts: int, stream: int, level: int, step: str, text: str, partial: int
) -> LogLine:
    return LogLine(
        deployment=deployment,
        attempt=attempt,
        seq=row_id & _MAX_SEQ,
        ts=ts,
        stream=STREAMS[stream],
        level=LEVELS[level],
        step=step,
        text=text,
        partial=bool(partial),
    )


def _find(db: sqlite3.Connection, deployments: Sequence[str], search: Search, after: int, limit: int) -> list[LogLine]:
    deadline = time.monotonic() + SEARCH_S
    db.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
    found: list[LogLine] = []
    try:
        for place, deployment in enumerate(deployments):
            found += _hits(db, deployment, search, after if place == 0 else -1, limit - len(found))
            if len(found) >= limit:
                break
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise too_long() from error
        raise
    finally:
        db.set_progress_handler(None, 0)
    return found


def _hits(db: sqlite3.Connection, deployment: str, search: Search, after: int, limit: int) -> list[LogLine]:
    """The conditions leave few lines, the expressions decide; reading stops with the last hit that is wanted."""
    found = db.execute("SELECT id FROM logs WHERE deployment = ?", (deployment,)).fetchone()
    if found is None or after >= _MAX_SEQ:
        return []
    base = found[0] << _SEQ_BITS
    wanted, values = _conditions(search)
    rows = db.execute(_FIND.format(" ".join(wanted)), (base + max(after, -1), base | _MAX_SEQ, *values))
    candidates = (_line(deployment, *row) for row in rows)
    return list(islice((line for line in candidates if search.matches_text(line.text)), limit))


def _conditions(search: Search) -> tuple[list[str], list[object]]:
    given: list[tuple[str, object]] = [
        (f"AND text LIKE ? ESCAPE '{chr(92)}'", f"%{t.translate(LIKE)}%") for t in search.literals
    ]
    if search.level is not None:
        given.append(("AND level = ?", _LEVEL_CODES[search.level]))
    if search.stream is not None:
        given.append(("AND stream = ?", _STREAM_CODES[search.stream]))
    if search.step is not None:
        given.append(("AND step = ?", search.step))
    if search.since is not None:
        given.append(("AND ts >= ?", search.since))
    if search.until is not None:
        given.append(("AND ts < ?", search.until))
    return [sql for sql, _ in given], [value for _, value in given]


def _delete(db: sqlite3.Connection, deployment: str) -> None:
    with transaction(db):
        found = db.execute("SELECT id FROM logs WHERE deployment = ?", (deployment,)).fetchone()
        if found:
            base = found[0] << _SEQ_BITS
            db.execute("DELETE FROM lines WHERE id BETWEEN ? AND ?", (base, base | _MAX_SEQ))
            db.execute("DELETE FROM logs WHERE id = ?", found)


def _base(db: sqlite3.Connection, deployment: str) -> int:
    """The row id of this log's line 0; the log is made when it is new."""
    found = db.execute("SELECT id FROM logs WHERE deployment = ?", (deployment,)).fetchone()
    if found is None:
        found = db.execute("INSERT INTO logs (deployment) VALUES (?) RETURNING id", (deployment,)).fetchone()
    return int(found[0]) << _SEQ_BITS
