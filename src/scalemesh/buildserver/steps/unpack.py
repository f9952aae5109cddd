"""Uploaded files as the workspace: a tar from the API, unpacked before anything of it has run."""

import asyncio
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from scalemesh.artifacts.tarball import extract
from scalemesh.core.build import Limits
from scalemesh.errors import BuildFailed
from scalemesh.sandbox.watch import INODE_BYTES


async def unpack(chunks: AsyncIterator[bytes], spool: Path, workspace: Path, limits: Limits) -> None:
    """Fills `workspace`. Raises BuildFailed for a member that leaves it, or more than the build's disk holds."""
    with spool.open("wb") as file:
        async for chunk in chunks:
            await asyncio.to_thread(file.write, chunk)
    try:
        await asyncio.to_thread(_extract, spool, workspace, limits.disk_bytes)
    except (tarfile.TarError, OSError) as error:
        raise BuildFailed(f"The uploaded files cannot be unpacked: {error}", code="upload_invalid") from error


def _extract(spool: Path, workspace: Path, most_bytes: int) -> None:
    with tarfile.open(spool) as tar:
        extract(tar, workspace, _within(tar, most_bytes))
    spool.unlink()


def _within(tar: tarfile.TarFile, most_bytes: int) -> Iterator[tarfile.TarInfo]:
    """Its members, as long as they fit: a compressed archive may hold a thousand times its size."""
    total = 0
    for member in tar:
        tar.members.clear()  # type: ignore[attr-defined]  # it would keep millions, a thousand bytes each
        total += member.size + INODE_BYTES
        if total > most_bytes:
            raise BuildFailed(
                f"The uploaded files need more disk than the build's {most_bytes / 1024**3:.3g} GB.", code="disk"
            )
        yield member
