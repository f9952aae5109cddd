"""Who asked a site for what: from the edge to the command line, over everything in between."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import Platform, eventually


@pytest.fixture(scope="module")
def site(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a site of its own project, `asked`."""
    folder: Path = tmp_path_factory.mktemp("asked") / "asked"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>Asked</h1>")
    deployed = platform.cli_json("deploy", folder)
    assert deployed["state"] == "ready", deployed
    return str(deployed["url"])


@pytest.fixture
def follower(platform: Platform, site: str) -> Iterator[subprocess.Popen[str]]:
    command: list[str | Path] = [platform.scalemesh, "access", "asked", "-f", "--json"]
    with subprocess.Popen(command, env=platform.environment(), stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.terminate()


def test_requests_are_shown_and_summed_up(platform: Platform, site: str) -> None:
    for path, status in (("/", 200), ("/?token=secret", 200), ("/nowhere", 404)):
        assert platform.get(site, path).status == status

    def look() -> list[str]:
        shown = platform.cli("access", "asked", "--status", "404").stdout
        return [line for line in shown.splitlines() if "/nowhere" in line]

    (line, *_) = eventually(look, within_s=20, what="the request in `scalemesh access`")
    assert "404" in line
    assert "127.0.0.0/24" in line
    assert "secret" not in platform.cli("access", "asked").stdout
    total = platform.ok("GET", "/projects/asked/access/summary")["total"]
    assert total["statuses"]["404"] >= 1


def test_following_shows_what_comes(platform: Platform, site: str, follower: subprocess.Popen[str]) -> None:
    platform.get(site, "/followed")
    assert follower.stdout is not None
    while (record := json.loads(follower.stdout.readline()))["path"] != "/followed":
        pass
    assert (record["status"], record["method"], record["cache"]) == (404, "GET", "hit")
