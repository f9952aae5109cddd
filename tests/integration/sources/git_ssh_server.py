"""A real ssh server that serves repositories to one key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh

from scalemesh.testing.git_repository import ENV

_COMMAND = "git-upload-pack "


class GitSshServer:
    """`known_hosts` is its line for that file; `served` are the commands that it was asked for."""

    def __init__(self, root: Path, port: int, host_key: asyncssh.SSHKey) -> None:
        self.root = root
        self.port = port
        self.served: list[str] = []
        self.known_hosts = f"[127.0.0.1]:{port} {host_key.export_public_key().decode().strip()}"

    def url(self, name: str) -> str:
        return f"ssh://git@127.0.0.1:{self.port}/{name}.git"


async def _copy(source: Any, target: Any) -> None:
    """Until the source ends; streams of asyncio and of asyncssh alike."""
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.write_eof()


@asynccontextmanager
async def git_ssh_server(root: Path, client_key: asyncssh.SSHKey) -> AsyncIterator[GitSshServer]:
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    keys = asyncssh.import_authorized_keys(client_key.export_public_key().decode())
    server: GitSshServer

    async def serve(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        command = process.command or ""
        server.served.append(command)
        path = root / command.removeprefix(_COMMAND).strip("'").lstrip("/")
        pipe = asyncio.subprocess.PIPE
        git = await asyncio.create_subprocess_exec("git", "upload-pack", str(path), stdin=pipe, stdout=pipe, env=ENV)
        assert git.stdin
        assert git.stdout
        asking = asyncio.create_task(_copy(process.stdin, git.stdin))
        await _copy(git.stdout, process.stdout)
        process.exit(await git.wait())
        await asking

    listening = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[host_key], authorized_client_keys=keys, process_factory=serve, encoding=None
    )
    server = GitSshServer(root, listening.get_port(), host_key)
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
