"""The packaged example, through the whole path."""

import http.client
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from scalemesh.main import demo
from tests.integration.main.conftest import Up, eventually


def test_same_files_are_the_same_commit(tmp_path: Path) -> None:
    first = demo._commit(tmp_path / "one.git")
    assert demo._commit(tmp_path / "two.git") == first
    assert demo._commit(tmp_path / "one.git") == first
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "main"], cwd=tmp_path / "one.git", capture_output=True, check=True
    ).stdout.decode()
    assert {"package.json", "package-lock.json", "build.mjs", "site/index.html"} <= set(listed.split())


def deployments(up: Up) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(up.data / "scalemesh.db")) as database:
        return database.execute("SELECT state, attempt FROM deployments").fetchall()


def page(up: Up) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", up.edge_port, timeout=20)
    try:
        connection.request("GET", "/", headers={"Host": "demo.localhost"})
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.timeout(180)
def test_demo_is_live_and_deployed_once(up: Up) -> None:
    up.options = ("--demo",)
    up.start()
    eventually(lambda: "Live site" in up.log(), "the demo's address in the banner", within_s=120)
    assert b"It works." in page(up)
    assert deployments(up) == [("ready", 1)]
    assert up.stop() == 0
    up.start()
    eventually(lambda: up.log().count("Live site") == 2, "the banner again")
    assert deployments(up) == [("ready", 1)]
