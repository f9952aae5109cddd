"""Objects of Git LFS from a server of a stranger's choice into files of a checkout."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Sequence
from typing import Any, Self

import httpx
import msgspec

from scalemesh.artifacts import beneath
from scalemesh.buildserver.steps.checkout import Checkout
from scalemesh.core.git import DEFAULT_USERNAME
from scalemesh.core.git_url import GitUrl
from scalemesh.core.lfs import MEDIA_TYPE, Action, Answer, Object, Pointer, endpoint
from scalemesh.egress.guard import EgressDenied
from scalemesh.egress.http import GuardedTransport
from scalemesh.errors import BuildFailed, InfrastructureFault, InvalidInput, Unavailable

AT_ONCE = 4
_ASK_AT_ONCE = 100
_MAX_ANSWER_BYTES = 4 * 1024**2
_CHUNK_BYTES = 256 * 1024
_TIMEOUT = httpx.Timeout(30, connect=10)
# Nothing is ever decompressed: a few bytes of a stranger's may stand for more than there is memory.
_PLAIN = {"Accept-Encoding": "identity"}
_HEADERS = {**_PLAIN, "Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE, "User-Agent": "git-lfs/3 (scalemesh)"}
_NOT_FOUND = 404


class Download:
    """`address`: .lfsconfig's, '' for the repository's own server. Opened with `async with`."""

    def __init__(self, checkout: Checkout, address: str) -> None:
        self._checkout = checkout
        self._endpoint = _checked(address) if address else endpoint(checkout.url)
        self._http = httpx.AsyncClient(
            transport=GuardedTransport(checkout.guard),
            timeout=_TIMEOUT,
            follow_redirects=True,
            max_redirects=5,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def all(self, pointers: Sequence[Pointer]) -> None:
        """Raises BuildFailed (`lfs_object_missing`, `lfs_refused`, …) or InfrastructureFault (`lfs_unreachable`)."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(pointer: Pointer, action: Action) -> None:
            async with gate:
                await self._file(pointer, action)

        for at in range(0, len(pointers), _ASK_AT_ONCE):
            some = pointers[at : at + _ASK_AT_ONCE]
            actions = await self._ask(some)
            await asyncio.gather(*(one(pointer, actions[pointer.oid]) for pointer in some))

    async def _ask(self, pointers: Sequence[Pointer]) -> dict[str, Action]:
        """Where each object is to be had."""
        objects = [{"oid": oid, "size": size} for oid, size in {p.oid: p.size for p in pointers}.items()]
        body = {"operation": "download", "transfers": ["basic"], "hash_algo": "sha256", "objects": objects}
        url = f"{self._endpoint}/objects/batch"
        try:
            async with self._http.stream("POST", url, json=body, headers=_HEADERS, auth=self._login()) as response:
                content = await _read(response)
        except (httpx.HTTPError, httpx.InvalidURL, EgressDenied, Unavailable) as error:
            raise _unreachable(self._endpoint, error) from error
        if response.status_code != httpx.codes.OK:
            raise _refused(self._endpoint, response.status_code)
        try:
            found = {answer.oid: answer for answer in msgspec.json.decode(content, type=Answer).objects}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BuildFailed(f"{self._endpoint} is no Git LFS server: {error}", code="lfs_refused") from error
        return {pointer.oid: _action(pointer, found.get(pointer.oid)) for pointer in pointers}

    def _login(self) -> httpx.BasicAuth | None:
        """The project's password is for its own host, and for no plainer a transport."""
        given, url = self._checkout.credentials, self._checkout.url
        if not given.password or not f"{self._endpoint}/".startswith(f"{url.origin}/"):
            return None
        return httpx.BasicAuth(given.username or DEFAULT_USERNAME, given.password)

    async def _file(self, pointer: Pointer, action: Action) -> None:
        """Written beside the pointer, and in its place once all of it has the right hash."""
        folder, _, name = pointer.path.rpartition("/")
        fd = beneath.open_folder(self._checkout.folder, folder)
        beside = f".scalemesh-lfs-{secrets.token_hex(8)}"
        try:
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode & 0o777
            file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=fd)
            try:
                await self._content(pointer, action, file)
                os.rename(beside, name, src_dir_fd=fd, dst_dir_fd=fd)
            except BaseException:
                os.unlink(beside, dir_fd=fd)
                raise
            finally:
                os.close(file)
        finally:
            os.close(fd)

    async def _content(self, pointer: Pointer, action: Action, file: int) -> None:
        digest, size = hashlib.sha256(), 0
        try:
            async with self._http.stream("GET", action.href, headers={**action.header, **_PLAIN}) as response:
                if response.status_code == _NOT_FOUND:
                    raise _missing(pointer, "its address answers 404")
                response.raise_for_status()
                async for chunk in response.aiter_raw(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > pointer.size:
                        break
                    digest.update(chunk)
                    await asyncio.to_thread(os.write, file, chunk)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise BuildFailed(f"Git LFS: {pointer.path}: the server's answer: {error}", code="lfs_refused") from error
        except (httpx.HTTPError, EgressDenied, Unavailable) as error:
            raise _unreachable(pointer.path, error) from error
        if size != pointer.size or digest.hexdigest() != pointer.oid:
            raise BuildFailed(
                f"Git LFS: {pointer.path}: the server sent something else than the pointer names.",
                code="lfs_object_corrupt",
                hint="Run `git lfs fsck` in the repository, and push the object again.",
            )


def _checked(address: str) -> str:
    try:
        url = GitUrl.parse(address, ("https",), allow_private=True)  # which addresses: the guard's business
    except InvalidInput as error:
        raise BuildFailed(f".lfsconfig: lfs.url: {error.message}", code="lfs_refused", hint=error.hint) from error
    return url.text.rstrip("/")


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > _MAX_ANSWER_BYTES:
            raise BuildFailed("The Git LFS server's answer is too long.", code="lfs_refused")
    return bytes(content)


def _action(pointer: Pointer, found: Object | None) -> Action:
    if found is None or found.error or found.actions.download is None:
        said = found.error.message if found and found.error else ""
        raise _missing(pointer, f"the server says {said[:200]!r}" if said else "the server does not have it")
    return found.actions.download


def _missing(pointer: Pointer, why: str) -> BuildFailed:
    return BuildFailed(
        f"Git LFS has no {pointer.path} ({pointer.oid[:12]}): {why}.",
        code="lfs_object_missing",
        hint="Push it with `git lfs push --all origin`.",
    )


def _refused(address: str, status: int) -> BuildFailed:
    return BuildFailed(
        f"The Git LFS server {address} answers {status}.",
        code="lfs_refused",
        hint="Does the repository have LFS switched on, and may the project's credentials read it?",
    )


def _unreachable(what: str, error: Exception) -> BuildFailed | InfrastructureFault:
    if isinstance(error, EgressDenied):
        return BuildFailed(f"Git LFS: {what}: {error.message}", code="address_forbidden")
    facts: dict[str, Any] = {"code": "lfs_unreachable", "hint": "Is the server up?"}
    return InfrastructureFault(f"Git LFS: {what} cannot be reached: {str(error) or type(error).__name__}", **facts)
