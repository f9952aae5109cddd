"""What is a pointer of Git LFS, and where its server is asked."""

import pytest

from scalemesh.core.git_url import GitUrl
from scalemesh.core.lfs import Pointer, endpoint, parse_pointer

OID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
TEXT = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n"


def test_pointer() -> None:
    assert parse_pointer("a.bin", TEXT.encode()) == Pointer("a.bin", OID, 12345)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hello",
        TEXT.replace("sha256", "md5"),
        TEXT.replace("size 12345", "size -1"),
        f"x\n{TEXT}",
        TEXT + "x" * 1024,
    ],
)
def test_no_pointer(content: str) -> None:
    assert parse_pointer("a.bin", content.encode()) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/o/r", "https://host/o/r.git/info/lfs"),
        ("https://host:8443/o/r.git", "https://host:8443/o/r.git/info/lfs"),
        ("git@host:o/r.git", "https://host/o/r.git/info/lfs"),
    ],
)
def test_endpoint(url: str, expected: str) -> None:
    assert endpoint(GitUrl.parse(url)) == expected
