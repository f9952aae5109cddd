"""A folder through the real edge, without the platform: packed, indexed, served by one worker."""

import asyncio
import hashlib
import logging
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from scalemesh.artifacts.beneath import open_folder
from scalemesh.artifacts.pack import CHUNK_BYTES, Packed, pack
from scalemesh.core.build import BlobRef, Flavour, Limits
from scalemesh.core.documents import encode
from scalemesh.core.routes import Route
from scalemesh.edge.blobs import Blobs
from scalemesh.edge.fleet import Fleet
from scalemesh.edge.index import Generation, IndexWriter
from scalemesh.edge.listeners import listen
from scalemesh.edge.misses import MissServer
from scalemesh.errors import BadSettings, Unavailable
from scalemesh.main import rules
from scalemesh.main.worker_config import worker_config
from scalemesh.rules.read import Parsed
from scalemesh.settings.load import load
from scalemesh.settings.model import EdgeSettings

log = logging.getLogger(__name__)

_HOST = "preview"
_TEAM = "preview"


def preview(
    directory: Path, port: int, on_ready: Callable[[str], None] = lambda _: None, flavour: Flavour | None = None
) -> None:
    """Serve `directory` at 127.0.0.1:`port` (0: a free one) for every host until SIGINT or SIGTERM.

    `on_ready` is told the address. Raises BuildFailed if the folder cannot be packed, BadSettings if the port is taken.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_preview(directory, port, on_ready, flavour))


async def _preview(directory: Path, port: int, on_ready: Callable[[str], None], flavour: Flavour | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with _serving(directory, port, flavour, load(os.environ).edge) as address:
        on_ready(address)
        await stopping.wait()


@asynccontextmanager
async def _serving(directory: Path, port: int, flavour: Flavour | None, settings: EdgeSettings) -> AsyncIterator[str]:
    """Its address."""
    try:
        (listener,) = listen("127.0.0.1", port, 1)
    except BadSettings as error:
        raise BadSettings(error.message, code=error.code, hint="Choose another port with --port.") from error
    with tempfile.TemporaryDirectory(prefix="scalemesh-preview-") as temporary:
        folder = Path(temporary)
        blobs = Blobs(folder / "blobs", _Nowhere(), max_bytes=2**63)
        await asyncio.to_thread(_fill, directory, folder, blobs, flavour)
        ready = asyncio.Event()
        config = msgspec.structs.replace(worker_config(folder, settings), every_host=_HOST, access_records=0)
        fleet = Fleet(config, "preview", [[listener]])
        async with MissServer(folder / "keeper.sock", blobs, lambda *_: ready.set()):
            running = asyncio.create_task(fleet.run())
            try:
                await ready.wait()
                yield f"http://localhost:{listener.getsockname()[1]}"
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


def _fill(directory: Path, folder: Path, blobs: Blobs, flavour: Flavour | None) -> None:
    spool = folder / "spool"
    spool.mkdir()
    root_fd = open_folder(directory)
    try:
        with pack(root_fd, spool, limits=Limits()) as packed:
            _index(packed, rules.of_folder(directory, packed.manifest.files, flavour), folder, blobs)
    finally:
        os.close(root_fd)


def _index(packed: Packed, parsed: Parsed, folder: Path, blobs: Blobs) -> None:
    for sha256, blob in packed.blobs.items():
        with blob.open() as file:
            blobs.put(_TEAM, sha256, iter(partial(file.read, CHUNK_BYTES), b""))
    for complaint in parsed.complaints:
        log.warning("%s", complaint)
    site = msgspec.structs.replace(packed.manifest, rules=parsed.rules)
    document = encode(site)
    manifest = BlobRef(sha256=hashlib.sha256(document).hexdigest(), size=len(document))
    index = IndexWriter(folder / "index.db")
    index.add_manifest(_TEAM, manifest.sha256, site)
    index.apply([Route(host=_HOST, version=1, team=_TEAM, manifest=manifest, production=True)], version=1)
    index.close()
    Generation(folder / "generation").close()


class _Nowhere:
    """There is no store behind a preview: all blobs are on disk."""

    def stream(self, team: str, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        raise Unavailable(f"{team}/{sha256} was deleted while the preview runs.", hint="Start it again.")
