from pathlib import Path

import pytest

from scalemesh.core.build import BlobRef
from scalemesh.core.manifest import Entry, Manifest, Rules
from scalemesh.core.routes import Route
from scalemesh.edge.index import Generation, IndexReader, IndexWriter

ENTRY = Entry(identity=BlobRef(sha256="e" * 64, size=1), type="text/html")
MANIFEST = Manifest(files={"/index.html": ENTRY}, rules=Rules(fallback="/index.html"))


def route(host: str, version: int, manifest: str | None) -> Route:
    ref = BlobRef(sha256=manifest, size=1) if manifest else None
    return Route(host=host, version=version, team="t", project="p", deployment="d", manifest=ref, production=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


def test_a_reader_sees_host_and_entry(path: Path) -> None:
    writer = IndexWriter(path)
    writer.add_manifest("t", "m", MANIFEST)
    writer.apply([route("a", 1, "m")], 1)
    reader = IndexReader(path)
    site = reader.site("a")
    assert site is not None
    assert (site.rules, site.production) == (MANIFEST.rules, True)
    assert reader.entry(site.manifest, "/index.html") == ENTRY
    assert reader.entry(site.manifest, "/") is None
    assert reader.version() == 1
    reader.close()
    writer.close()


def test_release_and_full_snapshot_forget_hosts(path: Path) -> None:
    writer = IndexWriter(path)
    writer.add_manifest("t", "m", MANIFEST)
    writer.apply([route("a", 1, "m"), route("b", 1, "m")], 1)
    writer.apply([route("a", 2, None)], 2)
    reader = IndexReader(path)
    assert reader.site("a") is None
    writer.apply([route("c", 3, "m")], 3, full=True)
    assert reader.site("b") is None
    assert reader.site("c") is not None
    reader.close()
    writer.close()


def test_a_failed_snapshot_changes_nothing(path: Path) -> None:
    writer = IndexWriter(path)
    writer.add_manifest("t", "m", MANIFEST)
    with pytest.raises(Exception, match="NOT NULL"):
        writer.apply([route("a", 1, "m"), route("b", 1, "unknown")], 1)
    assert writer.version() == 0
    reader = IndexReader(path)
    assert reader.site("a") is None
    reader.close()
    writer.close()


def test_collect_keeps_what_is_named_and_never_reuses_an_id(path: Path) -> None:
    writer = IndexWriter(path)
    for name in ("m1", "m2"):
        writer.add_manifest("t", name, MANIFEST)
    writer.apply([route("a", 1, "m1")], 1)
    gone = writer._manifest_id("t", "m2")
    assert writer.collect() == 1
    writer.add_manifest("t", "m3", MANIFEST)
    assert writer.has_manifest("t", "m1")
    assert writer._manifest_id("t", "m3") not in {gone, None}
    writer.close()


def test_a_damaged_file_is_made_anew(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 100)
    writer = IndexWriter(path)
    assert writer.version() == 0
    writer.close()


def test_generation_is_shared_and_survives_reopening(tmp_path: Path) -> None:
    one, other = Generation(tmp_path / "g"), Generation(tmp_path / "g")
    before = other.view[0]
    one.raise_()
    assert other.view[0] == before + 1
    one.close()
    other.close()
    again = Generation(tmp_path / "g")
    assert again.view[0] == before + 1
    again.close()
