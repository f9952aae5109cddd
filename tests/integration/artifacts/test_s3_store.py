"""The store on a real S3 server: the contract, addresses that open for one blob alone, and an edge that only reads."""

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from itertools import count

import pytest

from scalemesh.artifacts.presign import Presigner
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import BlobRef, SignedPut
from scalemesh.errors import Unavailable
from scalemesh.testing.s3 import S3Server, s3_server
from scalemesh.testing.store_contract import DATA, TEAM, StoreContract, sha256

BUCKET = "sites"
_prefixes = count()
REF = BlobRef(sha256=sha256(DATA), size=len(DATA))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture
def url(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Empty; the environment is the platform's."""
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/some/{next(_prefixes)}"


@pytest.mark.matrix
class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, url: str) -> BlobStore:
        return BlobStore(url)


async def test_a_blob_put_at_its_signed_address_is_in_the_store(url: str) -> None:
    assert send(signed(url), DATA) == 200
    assert await BlobStore(url).get(TEAM, sha256(DATA)) == DATA


async def test_other_bytes_are_refused_at_a_signed_address(url: str) -> None:
    assert send(signed(url), DATA[::-1]) == 400
    assert await BlobStore(url).head(TEAM, sha256(DATA)) is None


@pytest.mark.parametrize("dropped", ["x-amz-checksum-sha256", "If-None-Match"])
async def test_a_signed_address_opens_with_its_own_headers_alone(url: str, dropped: str) -> None:
    put = signed(url)
    assert send(put, DATA, {name: value for name, value in put.headers.items() if name != dropped}) == 403
    assert await BlobStore(url).head(TEAM, sha256(DATA)) is None


async def test_a_signed_address_opens_for_no_other_blob(url: str) -> None:
    put = signed(url)
    elsewhere = SignedPut(sha256=put.sha256, url=put.url.replace(TEAM, "team_other"), headers=put.headers)
    assert send(elsewhere, DATA) == 403


async def test_nothing_is_written_over(url: str) -> None:
    send(signed(url), DATA)
    assert send(signed(url), DATA) == 412


async def test_an_edge_reads_with_keys_that_cannot_write(
    url: str, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await BlobStore(url).put(TEAM, sha256(DATA), DATA)
    for name, value in server.env("edge").items():
        monkeypatch.setenv(name, value)
    edges = BlobStore(url)
    assert await edges.get(TEAM, sha256(DATA)) == DATA
    with pytest.raises(Unavailable):
        await edges.put(TEAM, sha256(b"planted"), b"planted")


async def test_a_blob_is_read_at_its_signed_address_alone(url: str) -> None:
    await BlobStore(url).put(TEAM, sha256(DATA), DATA)
    address = Presigner(url).gets(TEAM, [REF.sha256])[REF.sha256]
    assert read(address) == (200, DATA)
    assert read(address.replace(TEAM, "team_other"))[0] == 403


@pytest.mark.parametrize("url", ["file:///var/lib/x", "memory:///", "gs://bucket/x"])
def test_other_stores_sign_nothing(url: str) -> None:
    assert (Presigner(url).puts(TEAM, [REF]), Presigner(url).gets(TEAM, [REF.sha256])) == ([], {})


def signed(url: str) -> SignedPut:
    (put,) = Presigner(url).puts(TEAM, [REF])
    return put


def send(put: SignedPut, data: bytes, headers: Mapping[str, str] | None = None) -> int:
    request = urllib.request.Request(put.url, data, dict(put.headers if headers is None else headers), method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def read(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return int(response.status), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
