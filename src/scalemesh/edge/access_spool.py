"""The keeper's spool of access records: one SQLite file, bounded, and what it had no room for counted."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from scalemesh.core.access import MAX_BATCHES, AccessRows
from scalemesh.core.documents import decode

REPORT_BYTES = 768 * 1024

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spool (id TEXT NOT NULL, dropped INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY AUTOINCREMENT, rows BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS workers (id TEXT PRIMARY KEY, number INTEGER NOT NULL, lost INTEGER NOT NULL) WITHOUT ROWID;
"""
_SIZE = "SELECT coalesce(sum(length(rows)), 0) FROM batches"


class AccessSpool:
    """Blocking, and safe from several threads. It survives the death of its process; a damaged file is made anew."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._db = self._open()
        self.id: str = self._db.execute("SELECT id FROM spool").fetchone()[0]
        self._bytes: int = self._db.execute(_SIZE).fetchone()[0]

    def _open(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.executescript(_SCHEMA)
            if db.execute("SELECT id FROM spool").fetchone() is None:
                db.execute("INSERT INTO spool VALUES (?, 0)", (token_hex(8),))
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def add(self, worker: str, number: int, rows: bytes) -> None:
        """Nothing happens when this worker's `number` has been here. Dropped, and counted, where there is no room."""
        with self._transaction():
            found = self._db.execute("SELECT number FROM workers WHERE id = ?", (worker,)).fetchone()
            if found is not None and found[0] >= number:
                return
            self._db.execute(
                "INSERT INTO workers VALUES (?, ?, 0) ON CONFLICT (id) DO UPDATE SET number = excluded.number",
                (worker, number),
            )
            if self._bytes + len(rows) > self._max_bytes:
                self._drop(rows)
                return
            self._db.execute("INSERT INTO batches (rows) VALUES (?)", (rows,))
            self._bytes += len(rows)

    def lost(self, worker: str, requests: int) -> None:
        """So many requests has this worker itself had no room for, ever since it began."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO workers VALUES (?, 0, ?) ON CONFLICT (id) DO UPDATE SET lost = excluded.lost",
                (worker, requests),
            )

    def dropped(self) -> int:
        """Requests of which nothing was kept, since the spool began."""
        query = "SELECT dropped + (SELECT coalesce(sum(lost), 0) FROM workers) FROM spool"
        with self._lock:
            return int(self._db.execute(query).fetchone()[0])

    def oldest(self, limit: int = MAX_BATCHES) -> list[tuple[int, bytes]]:
        """The next batches to report, by number; at least one where there is any."""
        taken: list[tuple[int, bytes]] = []
        size = 0
        with self._lock:
            for number, rows in self._db.execute("SELECT number, rows FROM batches ORDER BY number LIMIT ?", (limit,)):
                size += len(rows)
                if taken and size > REPORT_BYTES:
                    break
                taken.append((number, rows))
        return taken

    def remove(self, upto: int) -> None:
        """The platform has everything up to this number."""
        with self._transaction():
            self._db.execute("DELETE FROM batches WHERE number <= ?", (upto,))
            self._bytes = self._db.execute(_SIZE).fetchone()[0]

    def refuse(self, number: int) -> None:
        """The platform will never take this one: drop and count it."""
        with self._transaction():
            rows = self._db.execute("SELECT rows FROM batches WHERE number = ?", (number,)).fetchone()[0]
            self._db.execute("DELETE FROM batches WHERE number = ?", (number,))
            self._bytes -= len(rows)
            self._drop(rows)

    def _drop(self, rows: bytes) -> None:
        requests = sum(total.requests for total in decode(AccessRows, rows).totals)
        self._db.execute("UPDATE spool SET dropped = dropped + ?", (requests,))

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
