"""The control port without a network: keeps what an agent did, and can be told to refuse, cancel or be away."""

import hashlib
from collections.abc import AsyncIterator, Sequence

from scalemesh.buildserver.control.base import Blob, Blobs, Control
from scalemesh.core.build import (
    Batch,
    BatchAnswer,
    BlobRef,
    BuildEvent,
    CacheArchive,
    CacheIndex,
    Claim,
    HeartbeatAnswer,
    SignedPut,
)
from scalemesh.core.logs import LogLine
from scalemesh.core.manifest import Manifest
from scalemesh.errors import Conflict, InvalidInput, NotFound, ScaleMeshError


class MemoryControl(Control):
    """`lines`, `events`, `blobs` and `published` are the record, and `left`, its caches. `cached` and `archives` are
    what it finds of earlier ones. `fault` is raised by every call while it is set."""

    def __init__(self, claim: Claim, *, source: bytes = b"") -> None:
        self._claim = claim
        self._source = source
        self._nonce: str | None = None
        self.lines: list[LogLine] = []
        self.events: list[BuildEvent] = []
        self.blobs: dict[str, bytes] = {}
        self.published: Manifest | None = None
        self.cached = CacheIndex(entries={})
        self.archives: dict[str, bytes] = {}
        self.left: CacheIndex | None = None
        self.heartbeats = 0
        self.canceled = False
        self.fault: ScaleMeshError | None = None

    async def claim(self, nonce: str) -> Claim:
        self._answer()
        if self._nonce not in {None, nonce}:
            raise Conflict("This attempt has been claimed by another agent.", code="already_claimed")
        self._nonce = nonce
        return self._claim

    async def send(self, batch: Batch) -> BatchAnswer:
        self._answer()
        if batch.lines and batch.lines[0].seq > self._next_seq:
            raise InvalidInput(f"line {batch.lines[0].seq} would leave a gap", code="gap")
        self.lines += [line for line in batch.lines if line.seq >= self._next_seq]
        self.events += [event for event in batch.events if event.n >= len(self.events)]
        return BatchAnswer(next_seq=self._next_seq, next_event=len(self.events), cancel=self.canceled)

    async def heartbeat(self) -> HeartbeatAnswer:
        self._answer()
        self.heartbeats += 1
        return HeartbeatAnswer(cancel=self.canceled, lease_s=self._claim.lease_s)

    async def source(self) -> AsyncIterator[bytes]:
        self._answer()
        yield self._source

    async def missing(self, blobs: Sequence[BlobRef]) -> set[str]:
        self._answer()
        return {blob.sha256 for blob in blobs} - self.blobs.keys()

    async def put_blobs(self, blobs: Blobs) -> None:
        self._answer()
        for sha256, blob in blobs.items():
            content = b"".join([chunk async for chunk in blob.chunks()])
            if hashlib.sha256(content).hexdigest() != sha256:
                raise InvalidInput("these bytes have another hash", code="wrong_hash")
            self.blobs[sha256] = content

    async def presign(self, blobs: Sequence[BlobRef]) -> list[SignedPut]:
        self._answer()
        return []

    async def put_signed(self, put: SignedPut, blob: Blob) -> None:
        raise NotFound("Nothing has been signed.", code="not_signed")

    async def stored(self, blobs: Sequence[BlobRef]) -> None:
        raise NotFound("Nothing has been signed.", code="not_signed")

    async def caches(self) -> CacheIndex:
        self._answer()
        return self.cached

    async def archive(self, archive: CacheArchive) -> AsyncIterator[bytes]:
        self._answer()
        if archive.sha256 not in self.archives:
            raise NotFound("No such archive.", code="archive_not_found")
        yield self.archives[archive.sha256]

    async def leave(self, index: CacheIndex) -> None:
        self._answer()
        self.left = index

    async def manifest(self, manifest: Manifest) -> None:
        self._answer()
        self.published = manifest

    @property
    def _next_seq(self) -> int:
        return self._claim.first_seq + len(self.lines)

    def _answer(self) -> None:
        if self.fault is not None:
            raise self.fault
