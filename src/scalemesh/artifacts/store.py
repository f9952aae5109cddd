"""The artifact store: blobs and manifests of each team, on whatever the URL says."""

import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from scalemesh.artifacts.names import blob_path, team_prefix
from scalemesh.core.build import BlobRef
from scalemesh.errors import BadSettings, InvalidInput, NotFound, Unavailable

PART_BYTES = 5 * 1024**2  # S3's least; what is smaller becomes one PUT
PARTS_AT_ONCE = 4
_CHUNK_BYTES = 1024**2


class BlobStore:
    """`file:///folder`, `memory:///`, `s3://bucket/prefix`, `gs://…`, `az://…`; opened at its first use.

    A blob appears whole or not at all, also when its writer dies or is cancelled. Every method raises Unavailable when
    the store does not answer, and InvalidInput for what cannot be a blob's name.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    async def put(
        self, team: str, sha256: str, data: bytes | AsyncIterable[bytes], *, max_bytes: int | None = None
    ) -> int:
        """Store a blob and answer its size; the same one again changes nothing.

        Raises InvalidInput (`hash_mismatch`, `blob_too_large`), and then nothing is stored.
        """
        path = blob_path(team, sha256)
        check = _Check(sha256, max_bytes)
        large: obstore.AsyncWritableFile | None = None
        pending = bytearray()
        async for chunk in _once(data) if isinstance(data, bytes) else data:
            check.add(chunk)
            pending += chunk
            if len(pending) > PART_BYTES:
                with _answers(self.url, path):
                    large = large or obstore.open_writer_async(
                        self._store, path, buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
                    )
                    await large.write(bytes(pending))
                pending.clear()
        check.finish()
        with _answers(self.url, path):
            if large is None:
                await self._put_small(path, bytes(pending))
            else:
                # A writer that is dropped without close() leaves nothing: that is how an upload is given up.
                await large.write(bytes(pending))
                await large.close()
        return check.size

    async def _put_small(self, path: str, data: bytes) -> None:
        """What is there stays, except on a disk, where a file may be half of one after a power cut."""
        is_disk = isinstance(self._store, LocalStore)
        with suppress(AlreadyExistsError):
            await obstore.put_async(self._store, path, data, mode="overwrite" if is_disk else "create")

    async def get(self, team: str, sha256: str) -> bytes:
        """All of a blob. Raises NotFound."""
        path = blob_path(team, sha256)
        with _answers(self.url, path):
            result = await obstore.get_async(self._store, path)
            return bytes(await result.bytes_async())

    async def stream(self, team: str, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end` (not included) in chunks of about 1 MiB. Raises NotFound.

        A range must lie inside the blob and not be empty.
        """
        path = blob_path(team, sha256)
        with _answers(self.url, path):
            options: obstore.GetOptions = {}
            if end is not None:
                options["range"] = (start, end)
            elif start:
                options["range"] = {"offset": start}
            result = await obstore.get_async(self._store, path, options=options)
            async for chunk in result.stream(_CHUNK_BYTES):
                yield bytes(chunk)

    async def head(self, team: str, sha256: str) -> int | None:
        """The blob's size in bytes, None when it is not here."""
        path = blob_path(team, sha256)
        try:
            with _answers(self.url, path):
                return (await obstore.head_async(self._store, path))["size"]
        except NotFound:
            return None

    async def delete(self, team: str, sha256: str) -> None:
        """Nothing happens on the second call."""
        path = blob_path(team, sha256)
        try:
            with _answers(self.url, path):
                await obstore.delete_async(self._store, path)
        except NotFound:
            return

    async def list(self, team: str) -> AsyncIterator[BlobRef]:
        """Every blob of a team, in no order."""
        prefix = team_prefix(team)
        with _answers(self.url, prefix):
            async for page in obstore.list(self._store, prefix=prefix):
                for meta in page:
                    yield BlobRef(sha256=meta["path"].rpartition("/")[2], size=meta["size"])

    @cached_property
    def _store(self) -> ObjectStore:
        if self.url.startswith("file://"):
            return LocalStore(self.url.removeprefix("file://"), mkdir=True)
        try:
            return from_url(self.url, client_options={"allow_http": _endpoint_is_http()})
        except (BaseError, ValueError) as error:
            raise BadSettings(
                f"SCALEMESH_STORAGE_URL: {error}",
                hint="For example file:///var/lib/scalemesh/artifacts or s3://bucket/prefix.",
                field="SCALEMESH_STORAGE_URL",
            ) from error


class _Check:
    """Whether bytes are what their name says."""

    def __init__(self, sha256: str, max_bytes: int | None) -> None:
        self._sha256 = sha256
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self.size = 0

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self._max_bytes is not None and self.size > self._max_bytes:
            raise InvalidInput(f"Blob {self._sha256} is over {self._max_bytes} bytes", code="blob_too_large")
        self._digest.update(chunk)

    def finish(self) -> None:
        if self._digest.hexdigest() != self._sha256:
            raise InvalidInput(f"These bytes are not {self._sha256}", code="hash_mismatch", hint="Send them again.")


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _endpoint_is_http() -> bool:
    """An S3 server of one's own is often plain http, which obstore refuses unless told."""
    return os.environ.get("AWS_ENDPOINT_URL", "").startswith("http:")


@contextmanager
def _answers(url: str, path: str) -> Iterator[None]:
    """obstore's errors as ours; it raises FileNotFoundError for what is absent, whatever the backend."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"No blob {path}", code="blob_not_found") from error
    except (BaseError, OSError) as error:
        reason = str(error).partition("Debug source:")[0].strip()  # what follows is obstore's own, in pages
        raise Unavailable(f"The artifact store {url} failed at {path}: {reason}", code="storage_unavailable") from error
