import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.rules.targets import parse_host, parse_path, split_absolute


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/a/b.html", "/a/b.html"),
        (b"/caf%C3%A9", "/café"),
        (b"/cafe%CC%81", "/café"),
        (b"/a%2Fb", "/a/b"),
        (b"/a/../b", "/b"),
        (b"/a/./b/", "/a/b/"),
        (b"/a/b/..", "/a/"),
        (b"/a/%2e%2e/b", "/b"),
        (b"/...", "/..."),
        (b"/.well-known/x", "/.well-known/x"),
        (b"/%2525", "/%25"),
        (b"/../etc/passwd", None),
        (b"/%2e%2e/x", None),
        (b"/%zz", None),
        (b"/%", None),
        (b"/%ff", None),
        (b"/%00", None),
        (b"/a%0d%0aX:", None),
        (b"a", None),
        (b"", None),
    ],
)
def test_parse_path(raw: bytes, path: str | None) -> None:
    assert parse_path(raw) == path


@given(st.binary(max_size=200))
def test_a_parsed_path_is_always_safe_to_look_up(tail: bytes) -> None:
    path = parse_path(b"/" + tail)
    if path is not None:
        assert path.startswith("/")
        assert not {".", ".."} & set(path.split("/"))
        assert path.isprintable() or not any(ord(c) < 0x20 for c in path)
        assert path == unicodedata.normalize("NFC", path)


_SEGMENT = st.text(
    st.characters(min_codepoint=0x20, exclude_characters="\x7f/", codec="utf-8"), min_size=1, max_size=12
)


@given(st.lists(_SEGMENT.filter(lambda s: s not in {".", ".."}), min_size=1, max_size=4))
def test_quoting_and_parsing_is_the_identity(segments: list[str]) -> None:
    path = unicodedata.normalize("NFC", "/" + "/".join(segments))
    assert parse_path(quote(path, safe="/").encode()) == path


@pytest.mark.parametrize(
    ("raw", "host"),
    [
        (b"blog.localhost", "blog.localhost"),
        (b"Blog.LocalHost:8080", "blog.localhost"),
        (b"blog.localhost.", "blog.localhost"),
        (b"127.0.0.1:80", "127.0.0.1"),
        (b"[::1]:80", "[::1]"),
        (b"[::1]", "[::1]"),
        (b"a b", None),
        (b"a/b", None),
        (b"a@b", None),
        (b"a, b", None),
        (b"a:80:80", None),
        (b"a:x", None),
        (b"\xc3\xa9", None),
        (b"", None),
        (b"a" * 300, None),
    ],
)
def test_parse_host(raw: bytes, host: str | None) -> None:
    assert parse_host(raw) == host


def test_split_absolute() -> None:
    assert split_absolute(b"http://a.b:1/c?d") == (b"a.b:1", b"/c?d")
    assert split_absolute(b"HTTP://a") == (b"a", b"/")
    assert split_absolute(b"http://user@a/") is None
    assert split_absolute(b"ftp://a/") is None
    assert split_absolute(b"a:443") is None
