"""The control port over HTTP: `/v1/builds/{attempt}/…` with the attempt's token; blobs travel as artifacts.frames."""

import json
import ssl
from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from typing import Any, Self, TypeVar

import httpx

from scalemesh.artifacts import frames
from scalemesh.artifacts.frames import HEADER_BYTES
from scalemesh.buildserver.control.base import Blob, Blobs, Control
from scalemesh.core.build import (
    Batch,
    BatchAnswer,
    BlobRef,
    CacheArchive,
    CacheIndex,
    Claim,
    ClaimRequest,
    HeartbeatAnswer,
    Missing,
    MissingAnswer,
    SignedPut,
    SignedPuts,
)
from scalemesh.core.documents import Document, decode, encode
from scalemesh.core.manifest import Manifest
from scalemesh.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    ScaleMeshError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

_BY_STATUS: dict[int, type[ScaleMeshError]] = {
    400: InvalidInput,
    410: Conflict,
    **{error.status: error for error in (Unauthenticated, Forbidden, NotFound, Conflict, TooLarge, InvalidInput)},
}
_CHUNK_BYTES = 256 * 1024
_MAX_REASON = 300
_TIMEOUT = httpx.Timeout(30, connect=5)
_UPLOAD_TIMEOUT = httpx.Timeout(120, connect=5)
D = TypeVar("D", bound=Document)


class HttpControl(Control):
    """Opened with `async with`; `url` is the API's address without `/v1`."""

    def __init__(self, url: str, attempt: str, token: str) -> None:
        self._base = f"{url.rstrip('/')}/v1/builds/{attempt}"
        self._token = token

    async def __aenter__(self) -> Self:
        # Plain http needs no certificates, and reading them takes 30 ms of every build.
        verify = ssl.create_default_context() if self._base.startswith("https:") else False
        self._http = httpx.AsyncClient(
            base_url=self._base,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=_TIMEOUT,
            trust_env=False,
            verify=verify,
            limits=httpx.Limits(max_connections=16, keepalive_expiry=20),
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.aclose()
        if "_signed_http" in self.__dict__:
            await self._signed_http.aclose()

    @cached_property
    def _signed_http(self) -> httpx.AsyncClient:
        """The store's: it never sees the token."""
        return httpx.AsyncClient(trust_env=False, verify=ssl.create_default_context())

    async def claim(self, nonce: str) -> Claim:
        return await self._ask("claim", ClaimRequest(nonce=nonce), Claim)

    async def send(self, batch: Batch) -> BatchAnswer:
        return await self._ask("events", batch, BatchAnswer)

    async def heartbeat(self) -> HeartbeatAnswer:
        return decode(HeartbeatAnswer, await self._post("heartbeat", b""))

    def source(self) -> AsyncIterator[bytes]:
        return _read(self._http, "/source")

    async def missing(self, blobs: Sequence[BlobRef]) -> set[str]:
        answer = await self._ask("missing", Missing(blobs=list(blobs)), MissingAnswer)
        return set(answer.missing)

    async def put_blobs(self, blobs: Blobs) -> None:
        length = sum(HEADER_BYTES + blob.size for blob in blobs.values())
        body = frames.encode((sha256, blob.size, blob.chunks()) for sha256, blob in blobs.items())
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        await self._post("blobs", body, headers=headers, timeout=_UPLOAD_TIMEOUT)

    async def presign(self, blobs: Sequence[BlobRef]) -> list[SignedPut]:
        return (await self._ask("presign", Missing(blobs=list(blobs)), SignedPuts)).puts

    async def put_signed(self, put: SignedPut, blob: Blob) -> None:
        try:
            response = await self._signed_http.put(
                put.url, content=blob.chunks(), headers=put.headers, timeout=_UPLOAD_TIMEOUT
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"The artifact store does not answer: {error}", code="unreachable") from error
        if response.is_error and response.status_code != httpx.codes.PRECONDITION_FAILED:  # 412: it is there
            text = f"The artifact store answered {response.status_code}: {response.text[:_MAX_REASON]}"
            raise Unavailable(text, code="store_refused")

    async def stored(self, blobs: Sequence[BlobRef]) -> None:
        await self._post("stored", encode(Missing(blobs=list(blobs))))

    async def caches(self) -> CacheIndex:
        try:
            response = await self._http.get("/caches")
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        return decode(CacheIndex, _content(response))

    def archive(self, archive: CacheArchive) -> AsyncIterator[bytes]:
        if archive.url:
            return _read(self._signed_http, archive.url)
        return _read(self._http, f"/caches/{archive.sha256}")

    async def leave(self, index: CacheIndex) -> None:
        await self._post("caches", encode(index))

    async def manifest(self, manifest: Manifest) -> None:
        await self._post("manifest", encode(manifest), timeout=_UPLOAD_TIMEOUT)

    async def _ask(self, name: str, question: Document, answer: type[D]) -> D:
        return decode(answer, await self._post(name, encode(question)))

    async def _post(self, name: str, content: bytes | AsyncIterator[bytes], **options: Any) -> bytes:
        options.setdefault("headers", {"Content-Type": "application/json"})
        try:
            response = await self._http.post(f"/{name}", content=content, **options)
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        return _content(response)


async def _read(http: httpx.AsyncClient, url: str) -> AsyncIterator[bytes]:
    try:
        async with http.stream("GET", url) as response:
            if response.is_error:
                await response.aread()
                raise _error(response)
            async for chunk in response.aiter_bytes(_CHUNK_BYTES):
                yield chunk
    except httpx.HTTPError as error:
        raise _unreachable(error) from error


def _content(response: httpx.Response) -> bytes:
    if response.is_error:
        raise _error(response)
    return response.content


def _unreachable(error: httpx.HTTPError) -> Unavailable:
    return Unavailable(f"The API does not answer: {error or type(error).__name__}", code="unreachable")


def _error(response: httpx.Response) -> ScaleMeshError:
    """A problem document (RFC 9457) as the error that it was made from; what is not understood is worth a retry."""
    kind = _BY_STATUS.get(response.status_code, Unavailable)
    try:
        problem = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        problem = None
    problem = problem if isinstance(problem, dict) else {}
    message = problem.get("detail") or problem.get("title") or f"the API answered {response.status_code}"
    return kind(str(message), code=str(problem.get("code") or ""), hint=problem.get("hint"))
