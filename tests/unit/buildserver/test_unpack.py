import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scalemesh.buildserver.steps.unpack import unpack
from scalemesh.core.build import Limits
from scalemesh.errors import BuildFailed


def archive(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_uploaded_files_fill_the_workspace(tmp_path: Path) -> None:
    await unpack(chunks(archive(page=b"hi")), tmp_path / "spool", tmp_path, Limits())
    assert (tmp_path / "page").read_bytes() == b"hi"


async def test_an_archive_larger_than_the_disk_is_refused_before_it_fills_it(tmp_path: Path) -> None:
    (workspace := tmp_path / "workspace").mkdir()
    bomb = archive(a=bytes(1024**2), b=bytes(8 * 1024**2), c=b"never")
    assert len(bomb) < 100_000
    with pytest.raises(BuildFailed, match="more disk") as refused:
        await unpack(chunks(bomb), tmp_path / "spool", workspace, Limits(disk_bytes=2 * 1024**2))
    assert refused.value.code == "disk"
    assert [path.name for path in workspace.iterdir()] == ["a"]


async def test_a_member_that_leaves_the_workspace_is_refused(tmp_path: Path) -> None:
    (workspace := tmp_path / "workspace").mkdir()
    with pytest.raises(BuildFailed, match="cannot be unpacked"):
        await unpack(chunks(archive(**{"../out": b"x"})), tmp_path / "spool", workspace, Limits())
