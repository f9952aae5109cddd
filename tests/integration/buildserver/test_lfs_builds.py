"""Git LFS in real agents: a server of ours with the batch API, behind the egress guard."""

import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import Credentials, Limits
from scalemesh.core.ids import new_id
from scalemesh.testing.git_server import GitServer
from tests.integration.builds import LIMITS, Farm, claim, failure, shown, spec, text
from tests.integration.buildserver.lfs_server import LfsServer, pointer

ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
PICTURE = os.urandom(200_000)


@pytest.fixture
def lfs() -> Iterator[LfsServer]:
    with LfsServer() as server:
        yield server


async def build(
    farm: Farm,
    git: GitServer,
    lfs: LfsServer,
    files: dict[str, str],
    *,
    limits: Limits = LIMITS,
    private: bool = True,
    **credentials: str,
) -> MemoryControl:
    """The git server sends questions for LFS on to `lfs`."""
    site = f"lfs-{new_id('x')[-6:]}"
    repository = git.repository(site, {".gitattributes": ATTRIBUTES, "index.html": "page", **files})
    git.lfs[site] = lfs.url
    commit = repository.git("rev-parse", "main").strip()
    made = spec(repository.url, commit, limits=limits, git_allow_private=private, egress_allow=[git.address])
    return await farm.build(claim(made, credentials=Credentials(**credentials)))


def content(control: MemoryControl, path: str) -> bytes:
    assert control.published is not None, shown(control)
    return control.blobs[control.published.files[path].identity.sha256]


async def test_pointers_become_their_objects(farm: Farm, git: GitServer, lfs: LfsServer) -> None:
    files = {"a.bin": lfs.add(PICTURE), "deep/ä b.bin": lfs.add(b"second"), "plain.txt": pointer(b"no lfs file")}
    built = await build(farm, git, lfs, files)
    assert content(built, "/a.bin") == PICTURE
    assert content(built, "/deep/ä b.bin") == b"second"
    assert content(built, "/plain.txt") == pointer(b"no lfs file").encode()
    assert "Fetching 2 files from Git LFS" in text(built)


async def test_no_server_is_asked_where_no_file_wants_it(farm: Farm, git: GitServer, lfs: LfsServer) -> None:
    built = await build(farm, git, lfs, {"a.bin": "committed as it is", "b.txt": pointer(b"x")})
    assert content(built, "/a.bin") == b"committed as it is"
    assert lfs.requests == []


async def test_a_missing_object_is_named(farm: Farm, git: GitServer, lfs: LfsServer) -> None:
    found = failure(await build(farm, git, lfs, {"img/a.bin": pointer(b"never pushed")}))
    assert found.code == "lfs_object_missing"
    assert "img/a.bin" in found.message
    assert "git lfs push" in found.message


async def test_other_bytes_than_the_pointer_names(farm: Farm, git: GitServer, lfs: LfsServer) -> None:
    text = lfs.add(PICTURE)
    (oid,) = lfs.objects
    for wrong in (PICTURE[:-1] + b"!", PICTURE + b"more", PICTURE[:-1]):
        lfs.objects[oid] = wrong
        assert failure(await build(farm, git, lfs, {"a.bin": text})).code == "lfs_object_corrupt"


async def test_what_a_server_has_compressed_unasked_is_not_inflated(farm: Farm, git: GitServer, lfs: LfsServer) -> None:
    lfs.is_compressed = True
    assert failure(await build(farm, git, lfs, {"a.bin": lfs.add(PICTURE)})).code == "lfs_object_corrupt"
    assert {headers["Accept-Encoding"] for _, _, headers, _ in lfs.requests} == {"identity"}


@pytest.mark.matrix
@pytest.mark.parametrize("odd", [{"header": {"X-Ticket": "\u00fc\u2028"}}, {"href": "https://[::1"}])
async def test_an_answer_that_is_none_is_the_servers_fault(
    farm: Farm, git: GitServer, lfs: LfsServer, odd: dict[str, Any]
) -> None:
    for name, value in odd.items():
        setattr(lfs, name, value)
    found = failure(await build(farm, git, lfs, {"a.bin": lfs.add(b"x")}))
    assert (found.code, found.infrastructure) == ("lfs_refused", False), found.message


@pytest.mark.matrix
async def test_more_than_the_disk_is_not_fetched(farm: Farm, git: GitServer, lfs: LfsServer) -> None:
    limits = msgspec.structs.replace(LIMITS, disk_bytes=10_000_000)
    huge = pointer(b"x").replace("size 1", "size 20000000")
    found = failure(await build(farm, git, lfs, {"a.bin": huge}, limits=limits))
    assert (found.code, lfs.requests) == ("disk", [])


async def test_the_projects_password_is_asked_for(farm: Farm, git: GitServer, lfs: LfsServer) -> None:
    lfs.password = "ada:secret-password"
    files = {"a.bin": lfs.add(b"private")}
    assert failure(await build(farm, git, lfs, files)).code == "lfs_refused"
    assert (
        content(await build(farm, git, lfs, files, username="ada", password="secret-password"), "/a.bin") == b"private"
    )
    assert not any("Authorization" in headers for method, _, headers, _ in lfs.requests if method == "GET")


@pytest.mark.parametrize("how", ["href", "location"])
async def test_objects_at_private_addresses_are_refused(farm: Farm, git: GitServer, lfs: LfsServer, how: str) -> None:
    """The git server is on the operator's list; what its LFS answer names is not."""
    setattr(lfs, how, f"{lfs.url}/canary")
    found = failure(await build(farm, git, lfs, {"a.bin": lfs.add(b"x")}, private=False))
    assert found.code == "address_forbidden"
    assert not any(path == "/canary" for _, path, _, _ in lfs.requests)


@pytest.mark.matrix
async def test_an_lfsconfig_with_another_transport(farm: Farm, git: GitServer, lfs: LfsServer) -> None:
    files = {"a.bin": lfs.add(b"x"), ".lfsconfig": "[lfs]\n\turl = file:///etc\n"}
    assert failure(await build(farm, git, lfs, files)).code == "lfs_refused"
