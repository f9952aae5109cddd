"""ssh: what it makes of the command that git is given, and a real server."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from scalemesh.core.build import Credentials
from scalemesh.core.git import GitAccess
from scalemesh.core.git_url import GitUrl
from scalemesh.errors import InvalidInput
from scalemesh.sources import Sources
from scalemesh.testing.git_repository import BareRepository
from tests.integration.sources.git_ssh_server import GitSshServer, git_ssh_server


@pytest.fixture
def configuration() -> dict[str, str]:
    assert shutil.which("ssh"), "install openssh-client"
    access = GitAccess.of(GitUrl.parse("git@github.com:a/b"), Credentials(deploy_key="key"), "/a folder/git")
    command = access.environment()["GIT_SSH_COMMAND"]
    ssh = ["sh", "-c", f"{command} -G git@github.com"]
    shown = subprocess.run(ssh, capture_output=True, text=True, check=True, timeout=30, env=dict(os.environ))
    return dict(line.split(" ", 1) for line in shown.stdout.splitlines() if " " in line)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("identityfile", "/a folder/git/key"),
        ("userknownhostsfile", "/a folder/git/known_hosts"),
        ("globalknownhostsfile", "/dev/null"),
        ("stricthostkeychecking", "true"),
        ("identitiesonly", "yes"),
        ("batchmode", "yes"),
        ("passwordauthentication", "no"),
        ("clearallforwardings", "yes"),
        ("permitlocalcommand", "no"),
    ],
)
def test_option(configuration: dict[str, str], option: str, value: str) -> None:
    assert configuration[option].strip('"') == value


class TestAgainstAServer:
    @pytest.fixture
    def key(self) -> asyncssh.SSHKey:
        return asyncssh.generate_private_key("ssh-ed25519")

    @pytest.fixture
    async def ssh(self, tmp_path: Path, key: asyncssh.SSHKey) -> AsyncIterator[GitSshServer]:
        repository = BareRepository(tmp_path / "repositories" / "site.git")
        repository.create()
        repository.commit({"index.html": "hello"})
        async with git_ssh_server(tmp_path / "repositories", key) as server:
            yield server

    def credentials(self, key: asyncssh.SSHKey, known_hosts: str) -> Credentials:
        return Credentials(deploy_key=key.export_private_key().decode(), known_hosts=known_hosts)

    async def test_the_deploy_key_opens_it(self, sources: Sources, ssh: GitSshServer, key: asyncssh.SSHKey) -> None:
        found = await sources.peek(ssh.url("site"), None, None, self.credentials(key, ssh.known_hosts))
        assert (found.ref, found.files) == ("main", ["index.html"])

    async def test_another_key_does_not(self, sources: Sources, ssh: GitSshServer) -> None:
        other = asyncssh.generate_private_key("ssh-ed25519")
        with pytest.raises(InvalidInput) as raised:
            await sources.resolve(ssh.url("site"), None, self.credentials(other, ssh.known_hosts))
        assert (raised.value.code, ssh.served) == ("repository_private", [])

    async def test_a_host_with_another_key_gets_nothing(
        self, sources: Sources, ssh: GitSshServer, key: asyncssh.SSHKey
    ) -> None:
        impostor = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        with pytest.raises(InvalidInput) as raised:
            await sources.resolve(ssh.url("site"), None, self.credentials(key, f"[127.0.0.1]:{ssh.port} {impostor}"))
        assert (raised.value.code, ssh.served) == ("host_key_unknown", [])
