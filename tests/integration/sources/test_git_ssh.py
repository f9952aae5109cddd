"""What ssh itself makes of the command that git is given."""

import os
import shutil
import subprocess

import pytest

from scalemesh.core.build import Credentials
from scalemesh.core.git import GitAccess
from scalemesh.core.git_url import GitUrl


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
