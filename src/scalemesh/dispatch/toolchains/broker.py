"""How agents ask the store: one JSON line each way over a unix socket that no step of a build can see."""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

import structlog

from scalemesh.dispatch.toolchains.store import Store
from scalemesh.errors import ScaleMeshError

SOCKET = "toolchains.sock"
READ_S = 10.0
log = structlog.get_logger(__name__)


class Broker:
    """Serves `folder`/SOCKET while it is open, to ourselves and to `uids`."""

    def __init__(self, store: Store, folder: Path, uids: Collection[int]) -> None:
        self._store = store
        self._folder = folder
        self._uids = uids

    async def __aenter__(self) -> Self:
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        (self._folder / SOCKET).unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX)
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # By descriptor: the path of a data folder may be longer than a socket's address can be.
            sock.bind(f"/proc/self/fd/{folder}/{SOCKET}")
        finally:
            os.close(folder)
        (self._folder / SOCKET).chmod(0o666)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._may_ask(writer):
                async with asyncio.timeout(READ_S):
                    line = await reader.readline()
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:  # who asked is gone, or has not asked in JSON
            log.info("toolchain request dropped", cause=repr(error))
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        asked = json.loads(line)
        try:
            found = await self._store.ensure(str(asked["name"]), asked.get("version"))
        except ScaleMeshError as error:
            return {"code": error.code, "message": f"{error.message} {error.hint or ''}".strip()}
        return {"path": str(found.path) if found.path else None, "version": found.version}

    def _may_ask(self, writer: asyncio.StreamWriter) -> bool:
        raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        uid = struct.unpack("3i", raw)[1]
        return uid == os.geteuid() or uid in self._uids
