import io
import tarfile
from pathlib import Path

import pytest

from scalemesh.artifacts.tarball import extract


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> tarfile.TarFile:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data.seek(0)
    return tarfile.open(fileobj=data)


def member(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, target
    return info


def test_files_come_out_with_their_executable_bit(tmp_path: Path) -> None:
    with archive((member("a/run", mode=0o4755), b"x"), (member("b", mode=0o600), b"y")) as tar:
        extract(tar, tmp_path)
    assert [(tmp_path / name).stat().st_mode & 0o7777 for name in ("a/run", "b")] == [0o755, 0o644]
    assert (tmp_path / "a/run").read_bytes() == b"x"


@pytest.mark.parametrize(
    "hostile",
    [
        member("../out"),
        member("/etc/out"),
        member("a/../../out"),
        member("link", tarfile.SYMTYPE, target="/etc"),
        member("link", tarfile.LNKTYPE, target="../x"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.name} {info.type!r}",
)
def test_what_is_not_a_file_below_the_folder_is_refused(tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    (tmp_path / "in").mkdir()
    with archive((hostile, b"")) as tar, pytest.raises(tarfile.ExtractError):
        extract(tar, tmp_path / "in")
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]
