"""The sites that the edge benchmark serves, as folders for its peers and as an edge's disk for ours."""

import asyncio
import hashlib
import random
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.edge_servers import Server
from scalemesh.core.build import BlobRef
from scalemesh.core.documents import encode
from scalemesh.core.manifest import Entry, Manifest
from scalemesh.core.routes import Route
from scalemesh.edge.access_line import AccessReceiver
from scalemesh.edge.access_spool import AccessSpool
from scalemesh.edge.blobs import Blobs
from scalemesh.edge.fleet import Fleet, KeepAlive, WorkerConfig
from scalemesh.edge.index import Generation, IndexWriter
from scalemesh.edge.listeners import listen
from scalemesh.edge.misses import MissServer
from scalemesh.errors import Unavailable

SITE = "bench"
HOSTS = [f"site-{number}.bench" for number in range(1000)]
ASSETS = [f"/assets/{number}.{kind}" for number in range(10) for kind in ("js", "css")]
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".bin": "application/octet-stream"}
_TEAM = "bench"
_TEXT = "The quick brown fox jumps over the lazy dog, and <b>{}</b> of its friends watch from behind the fence.\n"
_SPOOL_BYTES = 64 * 1024**2
_ACCESS_RECORDS = 100  # a second: what is set where nothing is


def write_sites(folder: Path) -> None:
    """`<folder>/<host>/…`; a `.gz` beside each text, of which nginx and Caddy make use as they are told to."""
    noise = random.Random(1)
    site = folder / SITE
    (site / "assets").mkdir(parents=True)
    for name, size in (("1k", 1024), ("12k", 12 * 1024), ("100k", 100 * 1024), ("10m", 10 * 1024**2)):
        (site / f"{name}.bin").write_bytes(noise.randbytes(size))
    for path in ["/12k.html", *ASSETS]:
        (site / path[1:]).write_text(_text(noise))
    for host in HOSTS:
        (folder / host).mkdir()
        (folder / host / "index.html").write_text(_text(noise))
    texts = [str(path) for path in folder.rglob("*") if path.suffix in {".html", ".js", ".css"}]
    subprocess.run(["gzip", "-6", "-k", *texts], check=True)


def _text(noise: random.Random) -> str:
    return "".join(_TEXT.format(noise.random()) for _ in range(110))


@asynccontextmanager
async def scalemesh(sites: Path, data: Path, workers: int) -> AsyncIterator[Server]:
    """A fleet as the keeper runs it, on an index of every site; access records are spooled, as nginx writes its log."""
    blobs = Blobs(data / "blobs", _Nowhere(), max_bytes=2**63)
    _index(sites, data, blobs)
    listeners = listen("127.0.0.1", 0, workers)
    spool = AccessSpool(data / "access.db", _SPOOL_BYTES)
    keep_alive = KeepAlive(requests=10**9)  # as nginx is told here
    config = WorkerConfig(folder=str(data), access_records=_ACCESS_RECORDS, keep_alive=keep_alive)
    fleet = Fleet(config, "bench", [[listener] for listener in listeners])
    here = asyncio.Semaphore(0)
    async with MissServer(data / "keeper.sock", blobs, lambda *_: here.release(), AccessReceiver(spool)):
        running = asyncio.create_task(fleet.run())
        try:
            for _ in range(workers):
                await here.acquire()
            yield Server("scalemesh", _port(listeners[0]), [process.pid for process in fleet.processes.values()])
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    spool.close()


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _index(sites: Path, data: Path, blobs: Blobs) -> None:
    index = IndexWriter(data / "index.db")
    routes = []
    for folder in sites.iterdir():
        manifest = Manifest(files=dict(_entries(folder, blobs)))
        document = encode(manifest)
        ref = BlobRef(sha256=hashlib.sha256(document).hexdigest(), size=len(document))
        index.add_manifest(_TEAM, ref.sha256, manifest)
        routes.append(Route(host=folder.name, version=1, team=_TEAM, project="p", manifest=ref, production=True))
    index.apply(routes, 1)
    index.close()
    Generation(data / "generation").close()


def _entries(folder: Path, blobs: Blobs) -> Iterator[tuple[str, Entry]]:
    for path in folder.rglob("*"):
        if path.suffix in TYPES:
            packed = path.with_name(f"{path.name}.gz")
            gzip = _blob(packed, blobs) if packed.exists() else None
            yield f"/{path.relative_to(folder)}", Entry(identity=_blob(path, blobs), gzip=gzip, type=TYPES[path.suffix])


def _blob(path: Path, blobs: Blobs) -> BlobRef:
    data = path.read_bytes()
    ref = BlobRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    blobs.put(_TEAM, ref.sha256, [data])
    return ref


class _Nowhere:
    """Every blob is on disk."""

    def stream(self, team: str, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        raise Unavailable(f"{team}/{sha256} is not on disk.")
