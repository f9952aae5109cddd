"""Uploaded files as the workspace: a tar from the API, unpacked before anything of it has run."""

import asyncio
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

from scalemesh.errors import BuildFailed


async def unpack(chunks: AsyncIterator[bytes], spool: Path, workspace: Path) -> None:
    """Fills `workspace`. Raises BuildFailed for a member that leaves it."""
    with spool.open("wb") as file:
        async for chunk in chunks:
            await asyncio.to_thread(file.write, chunk)
    try:
        await asyncio.to_thread(_extract, spool, workspace)
    except (tarfile.TarError, OSError) as error:
        raise BuildFailed(f"The uploaded files cannot be unpacked: {error}", code="upload_invalid") from error


def _extract(spool: Path, workspace: Path) -> None:
    with tarfile.open(spool) as tar:
        tar.extractall(workspace, filter="data")
    spool.unlink()
