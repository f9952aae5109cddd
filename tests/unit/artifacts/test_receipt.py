"""What a manifest may say, and what is refused."""

import os
import posixpath
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.artifacts.receipt import blobs, path_fault, validate
from scalemesh.core.build import BlobRef, Limits
from scalemesh.core.manifest import Entry, Manifest, Rules
from scalemesh.errors import InvalidInput

PAGE = BlobRef(sha256="aa" * 32, size=1000)
PAGE_BR = BlobRef(sha256="bb" * 32, size=300)
SIZES = {PAGE.sha256: PAGE.size, PAGE_BR.sha256: PAGE_BR.size}
ENTRY = Entry(identity=PAGE, br=PAGE_BR, type="text/html; charset=utf-8")


def manifest(path: str = "/index.html", rules: Rules = Rules(), **fields: Any) -> Manifest:  # noqa: B008
    entry = Entry(**{"identity": PAGE, "br": PAGE_BR, "type": ENTRY.type, **fields})
    return Manifest(files={path: entry}, rules=rules)


def refusal(manifest: Manifest, sizes: dict[str, int] = SIZES, limits: Limits = Limits()) -> InvalidInput:  # noqa: B008
    with pytest.raises(InvalidInput) as refused:
        validate(manifest, sizes, limits)
    return refused.value


def test_a_good_manifest_passes() -> None:
    validate(manifest(rules=Rules(fallback="/index.html")), SIZES, Limits())


def test_every_blob_is_named() -> None:
    assert list(blobs(manifest())) == [PAGE, PAGE_BR]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "index.html",
        "//a",
        "/a//b",
        "/a/",
        "/./a",
        "/a/..",
        "/../../etc/passwd",
        "/a/.",
        "/a\\b",
        "/a\x00b",
        "/a\nb",
        "/a\x7fb",
        "/a\x85b",
        "/a\u2028b",
        "/cafe\u0301",
        "/a\ud800",
        "C:/a",
    ],
)
def test_paths_that_are_refused(path: str) -> None:
    assert refusal(manifest(path)).code == "invalid_path"


@pytest.mark.parametrize(
    "path", ["/a b", "/[...slug].html", "/.well-known/x", "/café", "/日本/🦀", "/%2e%2e/a", "/...", "/a:b"]
)
def test_paths_that_pass(path: str) -> None:
    validate(manifest(path), SIZES, Limits())


def test_a_path_is_measured_in_bytes() -> None:
    limits = Limits(path_bytes=10)
    validate(manifest("/" + "a" * 9), SIZES, limits)
    assert refusal(manifest("/" + "é" * 5), limits=limits).code == "invalid_path"


@given(st.text(max_size=40))
def test_a_path_that_passes_is_its_own_normal_form(text: str) -> None:
    path = "/" + text
    if path_fault(path, Limits()) is None:
        assert posixpath.normpath(path) == path == unicodedata.normalize("NFC", path)
        assert os.fsencode(path).decode() == path


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8), min_size=1, max_size=4))
def test_plain_paths_pass(segments: list[str]) -> None:
    assert path_fault(unicodedata.normalize("NFC", "/" + "/".join(segments)), Limits()) is None


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text",
        "text/",
        "/html",
        "text/html\r\nSet-Cookie: a=b",
        "text/html\n",
        "text/html; charset",
        "a b/c",
        "é/x",
        "text/html\x00",
        "text/html,x/y",
    ],
)
def test_content_types_that_are_refused(kind: str) -> None:
    assert refusal(manifest(type=kind)).field == "files['/index.html'].type"


@pytest.mark.parametrize("kind", ["text/html", 'text/html; charset="utf-8"', "image/svg+xml;charset=utf-8;a=b"])
def test_content_types_that_pass(kind: str) -> None:
    validate(manifest(type=kind), SIZES, Limits())


def test_an_endless_content_type_is_refused() -> None:
    assert refusal(manifest(type="a/" + "b" * 1000)).code == "invalid_manifest"


def test_a_blob_that_the_team_lacks() -> None:
    assert refusal(manifest(), {PAGE.sha256: 1000}).code == "blob_missing"


def test_a_blob_of_another_size() -> None:
    assert refusal(manifest(), {**SIZES, PAGE.sha256: 999}).code == "size_mismatch"


@pytest.mark.parametrize("name", ["", "aa" * 31, "AA" * 32, "../" + "a" * 61, "aa" * 32 + "\n"])
def test_a_blob_name_that_is_no_hash(name: str) -> None:
    ref = BlobRef(sha256=name, size=1)
    assert refusal(manifest(identity=ref, br=None), {name: 1}).code == "invalid_manifest"


def test_a_variant_must_be_smaller() -> None:
    assert refusal(manifest(gzip=PAGE)).field == "files['/index.html'].gzip"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip"])
def test_every_variant_is_checked(encoding: str) -> None:
    variant: dict[str, Any] = {encoding: BlobRef(sha256="cc" * 32, size=1)}
    assert refusal(manifest(**variant)).code == "blob_missing"


def test_a_fallback_must_exist() -> None:
    assert refusal(manifest(rules=Rules(fallback="/other.html"))).field == "rules.fallback"


def test_an_empty_manifest_is_refused() -> None:
    assert refusal(Manifest(files={})).field == "files"


def test_too_many_files() -> None:
    files = {"/a": ENTRY, "/b": ENTRY}
    validate(Manifest(files=files), SIZES, Limits(output_files=2))
    assert refusal(Manifest(files=files), limits=Limits(output_files=1)).code == "output_too_many_files"


def test_too_many_bytes() -> None:
    files = {"/a": ENTRY, "/b": ENTRY}
    validate(Manifest(files=files), SIZES, Limits(output_bytes=2000))
    assert refusal(Manifest(files=files), limits=Limits(output_bytes=1999)).code == "output_too_large"
