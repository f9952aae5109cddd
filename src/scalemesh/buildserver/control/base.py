"""What an agent may ask of the API. Every call may be repeated: the same call twice has the effect of one."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from scalemesh.core.build import (
    Batch,
    BatchAnswer,
    BlobRef,
    CacheArchive,
    CacheIndex,
    Claim,
    HeartbeatAnswer,
    SignedPut,
)
from scalemesh.core.manifest import Manifest
from scalemesh.errors import Conflict, Forbidden, NotFound, Unauthenticated

# The API refuses this attempt: it is over, and whoever runs it stops.
REFUSED = (Unauthenticated, Forbidden, NotFound, Conflict)


class Blob(Protocol):
    """Bytes that can be read as often as a call is repeated (artifacts.pack.PackedBlob is one)."""

    @property
    def size(self) -> int: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


Blobs = Mapping[str, Blob]


class Control(ABC):
    """One attempt's connection. Raises one of REFUSED, Unavailable (try again), or InvalidInput and TooLarge."""

    @abstractmethod
    async def claim(self, nonce: str) -> Claim:
        """The BuildSpec with its secrets; the same nonce is answered again, another one is refused."""

    @abstractmethod
    async def send(self, batch: Batch) -> BatchAnswer:
        """Log lines and events; what lies below the answer's numbers is durable."""

    @abstractmethod
    async def heartbeat(self) -> HeartbeatAnswer:
        """Prolongs the lease."""

    @abstractmethod
    def source(self) -> AsyncIterator[bytes]:
        """The uploaded files as a tar stream."""

    @abstractmethod
    async def missing(self, blobs: Sequence[BlobRef]) -> set[str]:
        """Which of these the team does not have."""

    @abstractmethod
    async def put_blobs(self, blobs: Blobs) -> None:
        """Stores some blobs, by their SHA-256."""

    @abstractmethod
    async def presign(self, blobs: Sequence[BlobRef]) -> list[SignedPut]:
        """Where to put these past the API; [] where `put_blobs` is the only way."""

    @abstractmethod
    async def put_signed(self, put: SignedPut, blob: Blob) -> None:
        """One blob where `presign` said; that it is there already is as good."""

    @abstractmethod
    async def stored(self, blobs: Sequence[BlobRef]) -> None:
        """Says that these have been put."""

    @abstractmethod
    async def caches(self) -> CacheIndex:
        """The archives that earlier builds have left for this one."""

    @abstractmethod
    def archive(self, archive: CacheArchive) -> AsyncIterator[bytes]:
        """One archive of those; whoever reads it compares its hash."""

    @abstractmethod
    async def leave(self, index: CacheIndex) -> None:
        """What this build leaves to later ones, if it becomes ready; its blobs have been stored."""

    @abstractmethod
    async def manifest(self, manifest: Manifest) -> None:
        """Publishes the deployment: it is ready when this returns."""
