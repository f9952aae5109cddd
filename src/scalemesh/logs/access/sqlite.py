"""Access records in one SQLite file of their own, beside the log archive's: rows lie by project and time.

A row's key ends in its batch, so that a batch twice counts once; sums are made when they are asked for.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from scalemesh.core.access import LATENCY_BOUNDS_US, AccessBatch, AccessRecord, Cache
from scalemesh.core.clock import now_ms
from scalemesh.logs.access.base import DAY_MS, AccessArchive, Found, Place, Sum, Wanted
from scalemesh.logs.archive.sqlite_connection import Connection, migrate, transaction

_BUCKETS = range(len(LATENCY_BOUNDS_US) + 1)

# Appended to, never edited: PRAGMA user_version counts those applied.
MIGRATIONS = (
    (
        """
    CREATE TABLE records (
        project TEXT NOT NULL, at INTEGER NOT NULL,
        spool TEXT NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL,
        host TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, status INTEGER NOT NULL, cache TEXT NOT NULL,
        bytes INTEGER NOT NULL, took_us INTEGER NOT NULL, client TEXT NOT NULL, rate REAL NOT NULL,
        PRIMARY KEY (project, at, spool, number, place)) WITHOUT ROWID""",
        f"""
    CREATE TABLE totals (
        project TEXT NOT NULL, at INTEGER NOT NULL, status INTEGER NOT NULL, cache TEXT NOT NULL,
        spool TEXT NOT NULL, number INTEGER NOT NULL,
        requests INTEGER NOT NULL, bytes INTEGER NOT NULL, took_us INTEGER NOT NULL,
        {", ".join(f"took{n} INTEGER NOT NULL" for n in range(21))},
        PRIMARY KEY (project, at, status, cache, spool, number)) WITHOUT ROWID""",
    ),
)
_TABLES = ("records", "totals")
_RECORD = "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TOTAL = f"INSERT OR IGNORE INTO totals VALUES ({', '.join('?' * (9 + len(_BUCKETS)))})"  # noqa: S608  question marks
_SELECT = """
SELECT at, spool, number, place, project, host, method, path, status, cache, bytes, took_us, client, rate FROM records
WHERE project = ? AND at >= ? AND at <= ? AND (at, spool, number, place) < (?, ?, ?, ?) AND status BETWEEN ? AND ?
ORDER BY at DESC, spool DESC, number DESC, place DESC LIMIT ?"""
_SUMS = f"""
SELECT at - at % ? AS step, status, cache, sum(requests), sum(bytes), sum(took_us),
    {", ".join(f"sum(took{n})" for n in _BUCKETS)}
FROM totals WHERE project = ? AND at >= ? AND at < ? AND status BETWEEN ? AND ?
GROUP BY step, status, cache ORDER BY step, status, cache"""  # noqa: S608  columns of ours


class SqliteAccess(AccessArchive):
    def __init__(self, path: Path) -> None:
        self._writer = Connection(path, "access-write")
        self._reader = Connection(path, "access-read")

    async def open(self) -> None:
        await self._writer.open()
        await self._writer.run(lambda db: migrate(db, MIGRATIONS))
        await self._reader.open()

    async def close(self) -> None:
        """Tolerates a second call."""
        await self._reader.close()
        await self._writer.close()

    async def append(self, batches: Sequence[AccessBatch]) -> None:
        await self._writer.run(lambda db: _append(db, batches))

    async def records(self, wanted: Wanted, before: Place | None = None, limit: int = 100) -> list[Found]:
        behind = (wanted.until, "", 0, 0) if before is None else (before.at, before.spool, before.number, before.index)
        values = (wanted.project, wanted.since, behind[0], *behind, *wanted.statuses, limit)
        return await self._reader.run(lambda db: [_found(*row) for row in db.execute(_SELECT, values)])

    async def sums(self, wanted: Wanted, step_ms: int) -> list[Sum]:
        values = (step_ms, wanted.project, wanted.since, wanted.until, *wanted.statuses)
        return await self._reader.run(lambda db: [_sum(*row) for row in db.execute(_SUMS, values)])

    async def delete(self, project: str) -> None:
        await self._writer.run(lambda db: _delete(db, [project]))

    async def retain(self, days: int) -> None:
        oldest = now_ms() - days * DAY_MS
        await self._writer.run(lambda db: _delete(db, list(_projects(db)), oldest))


def _append(db: sqlite3.Connection, batches: Sequence[AccessBatch]) -> None:
    with transaction(db):
        db.executemany(_RECORD, [row for batch in batches for row in _records(batch)])
        db.executemany(_TOTAL, [row for batch in batches for row in _totals(batch)])


def _records(batch: AccessBatch) -> Iterator[tuple[object, ...]]:
    for index, r in enumerate(batch.rows.records):
        place = (r.project, r.at, batch.spool, batch.number, index)
        yield *place, r.host, r.method, r.path, r.status, r.cache, r.bytes, r.took_us, r.client, r.rate


def _totals(batch: AccessBatch) -> Iterator[tuple[object, ...]]:
    for t in batch.rows.totals:
        key = (t.project, t.at, t.status, t.cache, batch.spool, batch.number)
        yield *key, t.requests, t.bytes, t.took_us, *t.latency


def _found(at: int, spool: str, number: int, index: int, project: str, *rest: object) -> Found:
    names = ("host", "method", "path", "status", "cache", "bytes", "took_us", "client", "rate")
    fields = dict(zip(names, rest, strict=True))
    return Found(Place(at, spool, number, index), AccessRecord(at=at, project=project, **fields))  # type: ignore[arg-type]


def _sum(at: int, status: int, cache: Cache, requests: int, size: int, took_us: int, *latency: int) -> Sum:
    return Sum(at, status, cache, requests, size, took_us, latency)


def _projects(db: sqlite3.Connection) -> Iterator[str]:
    """Each project that has rows, found by skipping from one to the next."""
    for table in _TABLES:
        project = ""
        query = f"SELECT project FROM {table} WHERE project > ? ORDER BY project LIMIT 1"  # noqa: S608
        while row := db.execute(query, (project,)).fetchone():
            project = row[0]
            yield project


def _delete(db: sqlite3.Connection, projects: Sequence[str], before: int = 2**62) -> None:
    for project in projects:
        with transaction(db):
            for table in _TABLES:
                db.execute(f"DELETE FROM {table} WHERE project = ? AND at < ?", (project, before))  # noqa: S608
