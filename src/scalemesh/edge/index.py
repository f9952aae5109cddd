"""The on-disk index: which host serves which manifest, and each manifest's entries.

SQLite in WAL: one writer (the keeper), many readers (the workers). After each commit the keeper raises `Generation`,
a counter in shared memory; a reader forgets its hosts when it has changed. Manifest ids are never reused.

Entries are kept apart from their keys (no WITHOUT ROWID): keys alone make a tree of 3 levels for a million of them, of
which SQLite's cache holds all but the leaves; with the entries in it there were 7.
"""

import contextlib
import mmap
import sqlite3
import struct
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from scalemesh.core.documents import encode
from scalemesh.core.manifest import Entry, Manifest, Rules
from scalemesh.core.routes import Route

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS manifests (
  id INTEGER PRIMARY KEY AUTOINCREMENT, team TEXT NOT NULL, sha256 TEXT NOT NULL, rules BLOB NOT NULL,
  UNIQUE (team, sha256));
CREATE TABLE IF NOT EXISTS entries (
  manifest INTEGER NOT NULL, path TEXT NOT NULL, entry BLOB NOT NULL, UNIQUE (manifest, path));
CREATE TABLE IF NOT EXISTS hosts (
  host TEXT PRIMARY KEY, team TEXT NOT NULL, project TEXT NOT NULL, deployment TEXT NOT NULL,
  manifest INTEGER NOT NULL, production INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hosts_by_manifest ON hosts (manifest);
"""
_ENTRY = msgspec.json.Decoder(Entry)
_RULES = msgspec.json.Decoder(Rules)


class Site:
    """What one host serves. `key` names the content and its headers: equal keys give equal answers."""

    __slots__ = ("deployment", "key", "manifest", "production", "project", "rules", "team")

    def __init__(
        self, *, team: str, project: str, deployment: str, manifest: int, production: bool, rules: Rules
    ) -> None:
        self.team = team
        self.project = project
        self.deployment = deployment
        self.manifest = manifest
        self.production = production
        self.rules = rules
        self.key = manifest * 2 + production


class Generation:
    """A counter in a mapped file. `raise_()` is the keeper's; `view[0]` is what workers compare."""

    def __init__(self, path: Path) -> None:
        if not path.exists() or path.stat().st_size != 8:
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self.view = memoryview(self._map).cast("Q")

    def raise_(self) -> None:
        struct.pack_into("=Q", self._map, 0, self.view[0] + 1)

    def close(self) -> None:
        self.view.release()
        self._map.close()


class IndexReader:
    """The workers' side: read-only, two queries. Within `with` they see one state, and take the lock once."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, cached_statements=8)
        self._db.execute("PRAGMA cache_size=-1536")

    def __enter__(self) -> None:
        self._db.execute("BEGIN")

    def __exit__(self, *_: object) -> None:
        self._db.execute("COMMIT")

    def site(self, host: str) -> Site | None:
        row = self._db.execute(
            "SELECT h.team, h.project, h.deployment, h.manifest, h.production, m.rules"
            " FROM hosts h JOIN manifests m ON m.id = h.manifest WHERE h.host = ?",
            (host,),
        ).fetchone()
        if row is None:
            return None
        team, project, deployment, manifest, production, rules = row
        return Site(
            team=team,
            project=project,
            deployment=deployment,
            manifest=manifest,
            production=bool(production),
            rules=_RULES.decode(rules),
        )

    def entry(self, manifest: int, path: str) -> Entry | None:
        row = self._db.execute("SELECT entry FROM entries WHERE manifest = ? AND path = ?", (manifest, path)).fetchone()
        return _ENTRY.decode(row[0]) if row else None

    def version(self) -> int:
        """The route version applied last; 0 before the first."""
        return _version(self._db)

    def close(self) -> None:
        self._db.close()


class IndexWriter:
    """The keeper's side; blocking. A damaged file is made anew (and filled by the feed, which then starts at 0)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.executescript(_SCHEMA)
            db.execute("SELECT count(*) FROM hosts").fetchone()
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def version(self) -> int:
        return _version(self._db)

    def has_manifest(self, team: str, sha256: str) -> bool:
        return self._manifest_id(team, sha256) is not None

    def add_manifest(self, team: str, sha256: str, manifest: Manifest) -> None:
        """Idempotent; nothing serves it until a route names it."""
        with self._transaction():
            if self.has_manifest(team, sha256):
                return
            cursor = self._db.execute(
                "INSERT INTO manifests (team, sha256, rules) VALUES (?, ?, ?)", (team, sha256, encode(manifest.rules))
            )
            self._db.executemany(
                "INSERT INTO entries (manifest, path, entry) VALUES (?, ?, ?)",
                ((cursor.lastrowid, path, encode(entry)) for path, entry in manifest.files.items()),
            )

    def apply(self, routes: Iterable[Route], version: int, *, full: bool = False) -> None:
        """Point hosts at manifests that are already here, forget released ones; all at once."""
        with self._transaction():
            if full:
                self._db.execute("DELETE FROM hosts")
            for route in routes:
                self._apply(route)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", (version,))

    def _apply(self, route: Route) -> None:
        if route.manifest is None:
            self._db.execute("DELETE FROM hosts WHERE host = ?", (route.host,))
            return
        manifest = self._manifest_id(route.team, route.manifest.sha256)
        self._db.execute(
            "INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?, ?, ?)",
            (route.host, route.team, route.project, route.deployment, manifest, route.production),
        )

    def collect(self) -> int:
        """Delete the manifests that no host names; how many. Not while a snapshot is being applied."""
        with self._transaction():
            unused = self._db.execute(
                "SELECT id FROM manifests WHERE id NOT IN (SELECT manifest FROM hosts)"
            ).fetchall()
            self._db.executemany("DELETE FROM entries WHERE manifest = ?", unused)
            self._db.executemany("DELETE FROM manifests WHERE id = ?", unused)
        return len(unused)

    def close(self) -> None:
        self._db.close()

    def _manifest_id(self, team: str, sha256: str) -> int | None:
        row = self._db.execute("SELECT id FROM manifests WHERE team = ? AND sha256 = ?", (team, sha256)).fetchone()
        return int(row[0]) if row else None

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


def _version(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    return int(row[0]) if row else 0
