"""A folder as an archive and back, by the machine's own tar."""

import hashlib
import io
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from scalemesh.artifacts import archive
from scalemesh.artifacts.spool import Spool
from scalemesh.errors import InvalidInput

MANY = 10**9


async def packed(folder: Path, max_bytes: int = MANY, without: tuple[str, ...] = ()) -> tuple[str, bytes]:
    fd = os.open(folder, os.O_RDONLY)
    try:
        with closing(Spool(folder.parent)) as spool:
            ref = await archive.pack(fd, spool, max_bytes, without)
            with spool.open(0, ref.size) as file:
                return ref.sha256, file.read() or b""
    finally:
        os.close(fd)


async def unpacked(data: bytes, sha256: str, into: Path, max_bytes: int = MANY) -> Path:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 5000):
            yield data[at : at + 5000]

    into.mkdir()
    await archive.unpack(chunks(), sha256, into, max_bytes)
    return into


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Dependencies as package managers leave them."""
    tree = tmp_path / "node_modules"
    for name, size in (("dep/index.js", 10), ("dep/big.bin", 3_000_000), (".bin/tool.js", 5), (".cache/n", 1)):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(os.urandom(size))
    (tree / ".bin/tool.js").chmod(0o755)
    (tree / ".bin/tool").symlink_to("../dep/index.js")
    (tree / "away").symlink_to("/etc")
    os.link(tree / "dep/index.js", tree / "dep/same.js")
    (tree / ("deep/" * 40 + "x" * 200)).mkdir(parents=True)
    return tree


def seen(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = str(path.readlink())
        elif path.is_file():
            state = path.stat()
            found[str(path.relative_to(folder))] = (
                path.read_bytes(),
                state.st_mode,
                int(state.st_mtime),
                state.st_nlink,
            )
    return found


async def test_comes_back_as_it_was(tree: Path, tmp_path: Path) -> None:
    sha256, data = await packed(tree)
    assert seen(await unpacked(data, sha256, tmp_path / "back")) == seen(tree)


async def test_the_same_folder_gives_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    sha256, data = await packed(tree)
    back = await unpacked(data, sha256, tmp_path / "back")
    assert await packed(back) == (sha256, data)


async def test_what_lies_beneath_and_is_named_stays_out(tree: Path, tmp_path: Path) -> None:
    (tree / "dep/.cache").mkdir()
    sha256, data = await packed(tree, without=(".cache",))
    back = await unpacked(data, sha256, tmp_path / "back")
    assert [(back / name).exists() for name in (".cache", "dep/.cache", "dep")] == [False, True, True]


async def test_too_large(tree: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        await packed(tree, max_bytes=1_000_000)
    assert refused.value.code == "archive_too_large"


async def test_what_is_no_folder_is_an_error(tree: Path) -> None:
    fd = os.open(tree / "dep/index.js", os.O_RDONLY)
    with closing(Spool(tree.parent)) as spool, pytest.raises(OSError, match="tar"):
        await archive.pack(fd, spool, MANY)
    os.close(fd)


async def test_other_bytes_are_refused(tree: Path, tmp_path: Path) -> None:
    _, data = await packed(tree)
    with pytest.raises(InvalidInput) as refused:
        await unpacked(data, "0" * 64, tmp_path / "back")
    assert refused.value.code == "hash_mismatch"


@pytest.mark.parametrize("data", [b"no archive at all", zstandard.compress(b"no tar in it" * 100)])
async def test_what_is_no_archive(data: bytes, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    with pytest.raises(OSError, match=r"archive|tar"):
        await unpacked(data, sha256, tmp_path / "back")


async def test_zeros_without_end_are_cut_off(tmp_path: Path) -> None:
    folder = tmp_path / "zeros"
    folder.mkdir()
    with (folder / "file").open("wb") as file:
        file.truncate(200_000_000)
    sha256, data = await packed(folder)
    assert len(data) < 100_000
    with pytest.raises(InvalidInput) as refused:
        await unpacked(data, sha256, tmp_path / "back", max_bytes=50_000_000)
    assert refused.value.code == "archive_too_large"


async def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """An archive that was made to leave its folder: a link, and a file behind it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        link = tarfile.TarInfo("./out")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        behind = tarfile.TarInfo("./out/planted")
        behind.size = 1
        tar.addfile(behind, io.BytesIO(b"x"))
    data = zstandard.compress(made.getvalue())
    with pytest.raises(OSError, match="tar"):
        await unpacked(data, hashlib.sha256(data).hexdigest(), tmp_path / "back")
    assert not (tmp_path / "planted").exists()
