"""Uploaded files as a source: sent as blobs by the CLI, kept as a tree, given to an agent as a tar stream."""

import hashlib
import tarfile
import unicodedata
from collections.abc import AsyncIterable, AsyncIterator, Sequence

from scalemesh.accounts import Actor
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import BlobRef, UploadFile, UploadTree
from scalemesh.core.documents import decode, encode
from scalemesh.deployments.blobs import Blobs
from scalemesh.errors import InvalidInput
from scalemesh.projects import Projects

MAX_FILES = 50_000
MAX_PATH_BYTES = 1024
MAX_BLOB_BYTES = 2 * 1024**3


class Uploads:
    """Blobs belong to the team; the project only says who may send them."""

    def __init__(self, projects: Projects, blobs: Blobs, store: BlobStore) -> None:
        self._projects = projects
        self._blobs = blobs
        self._store = store

    async def missing(self, actor: Actor, project_ref: str, refs: Sequence[BlobRef]) -> list[str]:
        """Which blobs must be sent before the deployment is created."""
        project = await self._projects.row(actor, project_ref, "deployment:write")
        return await self._blobs.missing(project.team_id, refs)

    async def put(self, actor: Actor, project_ref: str, body: AsyncIterable[bytes]) -> int:
        """Stores the blobs of the body (artifacts.frames); answers how many."""
        project = await self._projects.row(actor, project_ref, "deployment:write")
        return await self._blobs.put_stream(project.team_id, body, MAX_BLOB_BYTES)

    async def keep_tree(self, team_id: str, files: Sequence[UploadFile]) -> str:
        """Checks the listing and stores it; answers the tree's SHA-256. Raises InvalidInput."""
        check_paths(files)
        have = await self._blobs.sizes(team_id, {file.sha256 for file in files})
        for file in files:
            if have.get(file.sha256) != file.size:
                raise InvalidInput(
                    f"{file.path}: its blob {file.sha256[:12]} has not been uploaded.",
                    code="blob_missing",
                    hint="Ask `uploads/missing` and send those blobs first.",
                    field="source",
                )
        data = encode(UploadTree(files=sorted(files, key=lambda file: file.path)))
        tree = hashlib.sha256(data).hexdigest()
        await self._blobs.put(team_id, tree, data)
        return tree

    async def tar(self, team_id: str, tree: str) -> AsyncIterator[bytes]:
        """The tree as an uncompressed tar stream: regular files alone, owned by nobody."""
        listing = decode(UploadTree, await self._store.get(team_id, tree))
        for file in listing.files:
            info = tarfile.TarInfo(file.path)
            info.size, info.mode = file.size, 0o755 if file.executable else 0o644
            yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            if file.size:
                async for chunk in self._store.stream(team_id, file.sha256):
                    yield chunk
            yield b"\0" * (-file.size % tarfile.BLOCKSIZE)
        yield b"\0" * tarfile.RECORDSIZE


def check_paths(files: Sequence[UploadFile]) -> None:
    """Raises InvalidInput unless every path is relative, normalised and met once, and no file is another's folder."""
    if not 0 < len(files) <= MAX_FILES:
        raise InvalidInput(f"An upload has 1 to {MAX_FILES} files.", code="invalid_upload", field="source")
    seen = {file.path for file in files}
    if len(seen) != len(files):
        raise InvalidInput("A path is listed twice.", code="invalid_upload", field="source")
    for file in files:
        parts = file.path.split("/")
        folders = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if fault := _fault(file.path, parts) or ("lies inside a file" if folders & seen else None):
            raise InvalidInput(f"{file.path!r} {fault}.", code="invalid_path", field="source")


def _fault(path: str, parts: list[str]) -> str | None:
    try:
        too_long = len(path.encode()) > MAX_PATH_BYTES
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if too_long:
        return "is too long"
    if any(part in {"", ".", ".."} for part in parts):
        return "is not a relative, normalised path"
    if parts[0] == ".git":
        return "belongs to Git"
    if "\\" in path or any(ord(char) < 32 or ord(char) == 127 for char in path):
        return "has a backslash or a control character"
    return None if unicodedata.is_normalized("NFC", path) else "is not in Unicode's NFC"
