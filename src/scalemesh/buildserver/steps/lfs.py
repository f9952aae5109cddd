"""Git LFS without git-lfs: pointer files become what they point to, asked for at the repository's server.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md. The agent asks, through the clone's egress guard, and
writes what has the pointer's size and SHA-256, nothing else. Only files whose .gitattributes say `filter=lfs`.
"""

import asyncio
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from scalemesh.artifacts import beneath
from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.steps.checkout import Checkout
from scalemesh.buildserver.tree import Tree
from scalemesh.core.build import Limits
from scalemesh.core.lfs import MAX_POINTER_BYTES, Pointer, parse_pointer
from scalemesh.errors import BuildFailed

_SKIPPED = frozenset({".git"})
_ATTRIBUTES = ".gitattributes"
_ASK_BYTES = 8 * 1024  # of paths at once: an answer is kept whole up to failures.TAIL_BYTES


class Lfs:
    """Of one build: what its checkouts may need of the disk, together."""

    def __init__(self, shipper: Shipper, limits: Limits) -> None:
        self._shipper = shipper
        self._left = limits.disk_bytes

    async def fetch(self, checkout: Checkout) -> None:
        """Replaces the pointers of this checkout. Raises BuildFailed or InfrastructureFault."""
        found = await self._tracked(checkout, await asyncio.to_thread(_pointers, checkout.folder))
        if not found:
            return
        total = sum(pointer.size for pointer in found)
        self._left -= total
        if self._left < 0:
            raise BuildFailed(
                f"Git LFS keeps {total / 1e9:.1f} GB of this commit, more than the build's disk holds.",
                code="disk",
                hint="Leave files out, or ask for a higher SCALEMESH_BUILD_DISK.",
            )
        from scalemesh.buildserver.steps.lfs_download import Download  # most builds have no use for it

        await self._shipper.line(f"Fetching {len(found)} files from Git LFS, {total / 1e6:.1f} MB", step="clone")
        address = await checkout.git("config", "--file", ".lfsconfig", "--no-includes", "lfs.url", may_fail=True)
        async with Download(checkout, address.strip()) as download:
            await download.all(found)

    async def _tracked(self, checkout: Checkout, found: Sequence[Pointer]) -> list[Pointer]:
        """Those that git would give to the filter `lfs`."""
        tracked = []
        for some in _batches(found):
            listed = await checkout.git("check-attr", "-z", "filter", "--", *(pointer.path for pointer in some))
            words = listed.split("\0")
            lfs = {path for path, value in zip(words[::3], words[2::3], strict=False) if value == "lfs"}
            tracked += [pointer for pointer in some if pointer.path in lfs]
        return tracked


def _pointers(folder: Path) -> list[Pointer]:
    """What looks like one, where some .gitattributes names the filter at all."""
    with Tree(folder) as tree:
        listing = tree.listing(_SKIPPED)
        attributes = (path for path in listing if path.rpartition("/")[2] == _ATTRIBUTES)
        if not any(b"filter=lfs" in (tree.read(path) or b"") for path in attributes):
            return []
    root = beneath.open_folder(folder)
    try:
        return [found for path in listing if (found := _pointer(root, path))]
    finally:
        os.close(root)


def _pointer(root: int, path: str) -> Pointer | None:
    try:
        about = os.stat(path, dir_fd=root, follow_symlinks=False)
        if not stat.S_ISREG(about.st_mode) or not 0 < about.st_size <= MAX_POINTER_BYTES:
            return None
        with os.fdopen(beneath.open_file(root, path), "rb") as file:
            return parse_pointer(path, file.read(MAX_POINTER_BYTES + 1))
    except (OSError, BuildFailed):  # behind a link: no pointer of this checkout's
        return None


def _batches(found: Sequence[Pointer]) -> Iterator[list[Pointer]]:
    batch: list[Pointer] = []
    size = 0
    for pointer in found:
        size += len(os.fsencode(pointer.path)) + 16
        if batch and size > _ASK_BYTES:
            yield batch
            batch, size = [], len(os.fsencode(pointer.path))
        batch.append(pointer)
    if batch:
        yield batch
