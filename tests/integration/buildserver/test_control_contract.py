"""The control port: the same behaviour over HTTP as in memory."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scalemesh.buildserver.control.base import Control
from scalemesh.buildserver.control.http import HttpControl
from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import Batch, BlobRef, CacheArchive, CacheIndex, StepStarted
from scalemesh.core.logs import LogLine
from scalemesh.core.manifest import Entry, Manifest
from scalemesh.errors import Conflict, InvalidInput, NotFound, ScaleMeshError, TooLarge, Unavailable
from tests.integration.build_api import BuildApi, Bytes
from tests.integration.builds import claim, spec

BIG = bytes(range(256)) * 8192


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def line(seq: int) -> LogLine:
    return LogLine(deployment="dpl_1", attempt=1, seq=seq, ts=1, text=f"line {seq}")


@pytest.fixture
def memory() -> MemoryControl:
    return MemoryControl(claim(spec("https://example.org/x.git", "a" * 40)), source=b"tar" * 100_000)


@pytest.fixture(params=["memory", "http"])
async def control(request: pytest.FixtureRequest, memory: MemoryControl) -> AsyncIterator[Control]:
    if request.param == "memory":
        yield memory
        return
    async with BuildApi({"att_1": memory}).serve() as api, HttpControl(api.url, "att_1", "smb_secret") as opened:
        yield opened
        assert api.tokens <= {"Bearer smb_secret"}


async def test_claim_is_repeatable_for_the_same_nonce_alone(control: Control, memory: MemoryControl) -> None:
    assert await control.claim("n1") == await control.claim("n1") == memory._claim
    with pytest.raises(Conflict):
        await control.claim("n2")


async def test_send_is_repeatable(control: Control, memory: MemoryControl) -> None:
    batch = Batch(lines=[line(1), line(2)], events=[StepStarted(n=0, step="clone", at=1)])
    answers = [await control.send(batch), await control.send(batch)]
    assert [(a.next_seq, a.next_event, a.cancel) for a in answers] == [(3, 1, False)] * 2
    assert [one.seq for one in memory.lines] == [1, 2]


async def test_gap_is_refused(control: Control) -> None:
    with pytest.raises(InvalidInput):
        await control.send(Batch(lines=[line(5)]))


async def test_heartbeat_carries_the_cancel(control: Control, memory: MemoryControl) -> None:
    before = await control.heartbeat()
    memory.canceled = True
    assert (before.cancel, (await control.heartbeat()).cancel) == (False, True)


async def test_blobs_of_every_size(control: Control, memory: MemoryControl) -> None:
    contents = [b"", b"x", BIG]
    await control.put_blobs({sha256(data): Bytes(data) for data in contents})
    refs = [BlobRef(sha256=sha256(data), size=len(data)) for data in [*contents, b"not sent"]]
    assert sorted(memory.blobs.values(), key=len) == contents
    assert await control.missing(refs) == {sha256(b"not sent")}


async def test_blob_with_another_hash_is_refused(control: Control) -> None:
    with pytest.raises(InvalidInput):
        await control.put_blobs({sha256(b"one"): Bytes(b"two")})


async def test_manifest(control: Control, memory: MemoryControl) -> None:
    entry = Entry(identity=BlobRef(sha256="0" * 64, size=1), type="text/html")
    made = Manifest(files={"/index.html": entry})
    await control.manifest(made)
    assert memory.published == made


async def test_caches_are_found_read_and_left(control: Control, memory: MemoryControl) -> None:
    archive = CacheArchive(path="workspace/.next/cache", sha256=sha256(BIG), size=len(BIG))
    memory.cached, memory.archives = CacheIndex(entries={"framework": [archive]}), {archive.sha256: BIG}
    (found,) = (await control.caches()).entries["framework"]
    assert b"".join([chunk async for chunk in control.archive(found)]) == BIG
    await control.leave(CacheIndex(entries={"downloads": [archive], "framework": []}))
    assert memory.left == CacheIndex(entries={"downloads": [archive], "framework": []})


async def test_archive_that_has_gone(control: Control) -> None:
    with pytest.raises(NotFound):
        await anext(aiter(control.archive(CacheArchive(path="x", sha256=sha256(b"gone"), size=4))))


async def test_source(control: Control) -> None:
    assert b"".join([chunk async for chunk in control.source()]) == b"tar" * 100_000


@pytest.mark.parametrize("kind", [Conflict, NotFound, Unavailable, TooLarge, InvalidInput])
async def test_errors_arrive_as_themselves(control: Control, memory: MemoryControl, kind: type[ScaleMeshError]) -> None:
    memory.fault = kind("because", code="a_code", hint="do this")
    with pytest.raises(kind) as caught:
        await control.heartbeat()
    assert (caught.value.message, caught.value.code, caught.value.hint) == ("because", "a_code", "do this")


async def test_nobody_there(tmp_path: Path) -> None:
    async with HttpControl("http://127.0.0.1:9", "att_1", "t") as control:
        with pytest.raises(Unavailable):
            await control.heartbeat()
