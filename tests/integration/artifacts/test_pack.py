"""Packing real folders: what is in the manifest, that the bytes are right, and that nothing outside is ever read."""

import gzip
import hashlib
import os
import resource
import socket
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalemesh.artifacts import beneath
from scalemesh.artifacts.pack import Packed, PackedBlob, pack
from scalemesh.artifacts.receipt import blobs, validate
from scalemesh.core.build import Limits
from scalemesh.core.manifest import Rules
from scalemesh.errors import BuildFailed

TEXT = b"All work and no play makes a dull site. " * 100
Pack = Callable[..., Packed]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def packing(tmp_path: Path, out: Path) -> Iterator[Pack]:
    """Packs `out`; everything is closed at the end of the test."""
    opened: list[Packed] = []

    def run(limits: Limits = Limits(), **options: Any) -> Packed:  # noqa: B008
        fd = beneath.open_folder(tmp_path, "out")
        try:
            opened.append(pack(fd, tmp_path, limits=limits, **options))
        finally:
            os.close(fd)
        return opened[-1]

    yield run
    for packed in opened:
        packed.__exit__()


def write(folder: Path, **files: bytes) -> None:
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


async def content(blob: PackedBlob) -> bytes:
    return b"".join([chunk async for chunk in blob.chunks()])


def failure(packing: Pack, **options: Any) -> BuildFailed:
    with pytest.raises(BuildFailed) as failed:
        packing(**options)
    return failed.value


def test_every_file_is_in_the_manifest(out: Path, packing: Pack) -> None:
    write(out, index_dot_html=b"<p>", assets__app_dot_js=b"1", _dot_well_dash=b"x")
    assert sorted(packing().manifest.files) == ["/.well_dash", "/assets/app.js", "/index.html"]


async def test_every_blob_is_its_hash_and_size(out: Path, packing: Pack) -> None:
    write(out, index_dot_html=TEXT, big_dot_txt=os.urandom(1_000_000), empty_dot_txt=b"", twin_dot_html=TEXT)
    packed = packing()
    for ref in blobs(packed.manifest):
        data = await content(packed.blobs[ref.sha256])
        assert (hashlib.sha256(data).hexdigest(), len(data), ref.size) == (
            ref.sha256,
            ref.size,
            packed.blobs[ref.sha256].size,
        )


async def test_variants_decompress_to_the_file(out: Path, packing: Pack) -> None:
    data = b"".join(b"%d lines of it\n" % number for number in range(100_000))  # several chunks
    write(out, app_dot_js=data)
    packed = packing()
    entry = packed.manifest.files["/app.js"]
    assert entry.br
    assert entry.zstd
    assert entry.gzip
    assert brotli.decompress(await content(packed.blobs[entry.br.sha256])) == data
    unzstd = zstandard.ZstdDecompressor().decompressobj()
    assert unzstd.decompress(await content(packed.blobs[entry.zstd.sha256])) == data
    assert gzip.decompress(await content(packed.blobs[entry.gzip.sha256])) == data


@pytest.mark.parametrize(
    ("name", "data"),
    [("photo.png", TEXT), ("small.html", TEXT[:511]), ("noise.js", os.urandom(2000))],
    ids=["type", "small", "incompressible"],
)
def test_what_is_not_compressed(out: Path, packing: Pack, name: str, data: bytes) -> None:
    (out / name).write_bytes(data)
    entry = packing().manifest.files[f"/{name}"]
    assert (entry.br, entry.zstd, entry.gzip) == (None, None, None)


def test_one_content_under_two_types(out: Path, packing: Pack) -> None:
    write(out, a_dot_png=TEXT, b_dot_txt=TEXT)
    files = packing().manifest.files
    assert (files["/a.png"].br is None, files["/b.txt"].br is None) == (True, False)


def test_the_same_folder_gives_the_same_manifest(out: Path, packing: Pack) -> None:
    write(out, index_dot_html=TEXT, assets__app_dot_js=TEXT * 3)
    assert packing(threads=1).manifest == packing(threads=4).manifest


def test_what_is_packed_passes_receipt(out: Path, packing: Pack) -> None:
    write(out, index_dot_html=TEXT, assets__app_dot_js=b"1")
    packed = packing(rules=Rules(fallback="/index.html"))
    validate(packed.manifest, {name: blob.size for name, blob in packed.blobs.items()}, Limits())


@pytest.mark.parametrize("prefix", ["assets/", "/assets/"])
def test_immutable_prefixes(out: Path, packing: Pack, prefix: str) -> None:
    write(out, assets__app_dot_js=b"1", index_dot_html=b"1")
    files = packing(immutable=[prefix, ""]).manifest.files
    assert {path: entry.immutable for path, entry in files.items()} == {"/assets/app.js": True, "/index.html": False}


def test_secrets_and_version_control_are_left_out(out: Path, packing: Pack) -> None:
    write(out, index_dot_html=b"1", _dot_git__config=b"1", sub___dot_env=b"1", _dot_env_dot_local=b"1")
    write(out, node_modules__a_dot_js=b"1", assets__node_modules__b_dot_js=b"1")
    assert sorted(packing().manifest.files) == ["/assets/node_modules/b.js", "/index.html"]


def test_names_become_nfc(out: Path, packing: Pack) -> None:
    (out / "cafe\u0301.html").write_bytes(b"1")
    assert list(packing().manifest.files) == ["/café.html"]


def test_two_unicode_forms_of_one_name_collide(out: Path, packing: Pack) -> None:
    for form in ("NFC", "NFD"):
        (out / unicodedata.normalize(form, "café.html")).write_bytes(b"1")
    assert failure(packing).code == "path_collision"


def test_names_that_differ_in_case_are_reported(out: Path, packing: Pack) -> None:
    write(out, a_dot_html=b"1", A_dot_html=b"1")
    packed = packing()
    assert (len(packed.manifest.files), packed.warnings) == (2, ["/a.html and /A.html differ in case alone"])


def test_warnings_are_bounded(out: Path, packing: Pack) -> None:
    write(out, index_dot_html=b"1")
    for number in range(50):
        (out / f"link{number}").symlink_to("index.html")
    warnings = packing().warnings
    assert (len(warnings), warnings[-1]) == (21, "… and 30 more like these")


@pytest.mark.parametrize("target", ["/etc/passwd", "index.html", "../secret", "nowhere"])
def test_links_to_files_are_left_out(tmp_path: Path, out: Path, packing: Pack, target: str) -> None:
    (tmp_path / "secret").write_text("secret")
    write(out, index_dot_html=b"1")
    (out / "link.txt").symlink_to(target)
    packed = packing()
    assert (list(packed.manifest.files), packed.warnings) == (
        ["/index.html"],
        ["'link.txt' is left out: a link, not a file"],
    )


def test_links_to_folders_are_left_out(out: Path, packing: Pack) -> None:
    write(out, index_dot_html=b"1")
    (out / "etc").symlink_to("/etc")
    assert list(packing().manifest.files) == ["/index.html"]


def test_special_files_are_left_out(out: Path, packing: Pack) -> None:
    write(out, index_dot_html=b"1")
    os.mkfifo(out / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(out / "socket"))
    packed = packing()
    assert (list(packed.manifest.files), len(packed.warnings)) == (["/index.html"], 2)


def test_a_folder_swapped_for_a_link_while_walking(tmp_path: Path, out: Path) -> None:
    (tmp_path / "outside").mkdir()
    write(tmp_path / "outside", secret=b"1")
    write(out, a_dot_txt=b"1", b__c_dot_txt=b"1")
    fd = beneath.open_folder(out)
    walk = beneath.Walk(Limits(), lambda _: False).beneath(fd)
    assert next(walk).path == "a.txt"
    (out / "b").rename(tmp_path / "moved")
    (out / "b").symlink_to(tmp_path / "outside")
    with pytest.raises(BuildFailed) as failed:
        next(walk)
    os.close(fd)
    assert failed.value.code == "output_unreadable"


@pytest.mark.parametrize("swapped", ["folder", "folder/file.txt"])
def test_what_is_swapped_for_a_link_before_the_upload_is_not_read(
    tmp_path: Path, out: Path, packing: Pack, swapped: str
) -> None:
    (tmp_path / "outside").mkdir()
    write(tmp_path / "outside", file_dot_txt=b"secret")
    write(out, folder__file_dot_txt=b"public")
    packed = packing()
    (out / swapped).rename(tmp_path / "moved")
    (out / swapped).symlink_to(tmp_path / "outside" / swapped.removeprefix("folder").removeprefix("/"))
    (blob,) = packed.blobs.values()
    with pytest.raises(BuildFailed):
        blob.open()


def test_a_fifo_in_the_place_of_a_file_does_not_hang(out: Path, packing: Pack) -> None:
    write(out, a_dot_txt=b"1")
    (blob,) = packing().blobs.values()
    (out / "a.txt").unlink()
    os.mkfifo(out / "a.txt")
    with pytest.raises(BuildFailed):
        blob.open()


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("real/..", "output_outside"),
        ("missing", "output_missing"),
        ("link", "output_not_a_folder"),
        ("link/sub", "output_not_a_folder"),
        ("file", "output_not_a_folder"),
        ("../", "output_outside"),
        ("/etc", "output_outside"),
    ],
)
def test_output_directories_that_are_refused(tmp_path: Path, output: str, code: str) -> None:
    project = tmp_path / "project"
    (project / "real/sub").mkdir(parents=True)
    (project / "link").symlink_to("real")
    (project / "file").write_text("1")
    with pytest.raises(BuildFailed) as failed:
        beneath.open_folder(project, output)
    assert failed.value.code == code


@pytest.mark.parametrize("output", ["", ".", "./dist/", "dist", "dist//sub"])
def test_output_directories_that_open(tmp_path: Path, output: str) -> None:
    (tmp_path / "dist/sub").mkdir(parents=True)
    os.close(beneath.open_folder(tmp_path, output))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_refusals_leak_no_descriptor(tmp_path: Path) -> None:
    before = descriptors()
    for _ in range(5):
        with pytest.raises(BuildFailed):
            beneath.open_folder(tmp_path, "missing")
    assert descriptors() == before


def test_packing_leaks_no_descriptor(out: Path, tmp_path: Path) -> None:
    write(out, a__b_dot_txt=TEXT)
    fd = beneath.open_folder(out)
    before = descriptors()
    with pack(fd, tmp_path, limits=Limits()):
        pass
    with pytest.raises(BuildFailed):
        pack(fd, tmp_path, limits=Limits(output_bytes=1))
    assert descriptors() == before
    os.close(fd)


def test_nothing_is_left_in_the_spool(tmp_path: Path, packing: Pack, out: Path) -> None:
    write(out, a_dot_txt=TEXT)
    packing()
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_output(packing: Pack) -> None:
    assert failure(packing).code == "output_empty"


def test_too_many_files(out: Path, packing: Pack) -> None:
    write(out, a=b"1", b=b"1", c=b"1")
    assert failure(packing, limits=Limits(output_files=2)).code == "output_too_many_files"


def test_empty_folders_count_too(out: Path, packing: Pack) -> None:
    for number in range(5):
        (out / str(number)).mkdir()
    assert failure(packing, limits=Limits(output_files=4)).code == "output_too_many_files"


def test_too_many_bytes(out: Path, packing: Pack) -> None:
    write(out, a=b"1" * 60, b=b"1" * 60)
    assert failure(packing, limits=Limits(output_bytes=100)).code == "output_too_large"


def test_a_sparse_giant_is_refused_without_being_read(out: Path, packing: Pack) -> None:
    with (out / "giant").open("wb") as file:
        file.truncate(1 << 40)
    assert failure(packing).code == "output_too_large"


def test_too_long_a_path(out: Path, packing: Pack) -> None:
    write(out, folder__name=b"1")
    assert failure(packing, limits=Limits(path_bytes=11)).code == "path_too_long"
    assert packing(limits=Limits(path_bytes=12)).manifest.files.keys() == {"/folder/name"}


def test_a_tree_deeper_than_the_stack(out: Path, packing: Pack) -> None:
    fd = os.open(out, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        fd, parent = os.open("d", os.O_RDONLY, dir_fd=fd), fd
        os.close(parent)
    os.close(fd)
    assert failure(packing).code == "path_too_long"
    _remove_deep(out)


def _remove_deep(folder: Path) -> None:
    """shutil.rmtree, which pytest uses, recurses."""
    while (folder / "d").exists():
        (folder / "d").rename(folder / "old")
        if (folder / "old/d").exists():
            (folder / "old/d").rename(folder / "d")
        (folder / "old").rmdir()


@pytest.mark.parametrize("name", [b"a\\b", b"a\nb", b"\xff\xfe", b"a\x7f"])
def test_names_that_cannot_be_served(out: Path, packing: Pack, name: bytes) -> None:
    (out / os.fsdecode(name)).touch()
    failed = failure(packing)
    assert failed.code == "path_invalid"
    assert failed.message.isprintable()
    failed.message.encode()


def test_memory_stays_bounded(out: Path, packing: Pack) -> None:
    with (out / "big.txt").open("wb") as file:
        for number in range(100_000):
            file.write(
                b"%d: a line of a large text file that is not so very small, %d\n" % (number, number * 7919) * 20
            )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    packing()
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert (out / "big.txt").stat().st_size > 120_000_000
    assert grown_mb < 100


NAMES = st.lists(
    st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=12), max_size=4
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=NAMES)
def test_any_folder_is_refused_or_passes_receipt(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    root = tmp_path_factory.mktemp("any")
    for number, name in enumerate(names):
        if name not in {".", ".."}:
            (root / name).write_bytes(b"%d" % number)
    fd = beneath.open_folder(root)
    with suppress(BuildFailed), pack(fd, root, limits=Limits(), threads=1) as packed:
        validate(packed.manifest, {name: blob.size for name, blob in packed.blobs.items()}, Limits())
    os.close(fd)
