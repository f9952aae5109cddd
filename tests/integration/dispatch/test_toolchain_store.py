"""Toolchains from the real package indexes; what a build server asks for, over the real socket."""

import asyncio
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from scalemesh.buildserver.toolchains import BrokeredToolchains
from scalemesh.dispatch.toolchains import catalog, npm
from scalemesh.dispatch.toolchains.broker import Broker
from scalemesh.dispatch.toolchains.store import Installed, Store
from scalemesh.dispatch.toolchains.versions import fits
from scalemesh.errors import BuildFailed, InfrastructureFault


def runs(installed: Installed, program: str, node: Installed | None = None) -> str:
    assert installed.path is not None
    folders = [str(i.path / "bin") for i in (installed, node) if i and i.path]
    env = {"PATH": ":".join([*folders, "/usr/bin", "/bin"])}
    done = subprocess.run([program, "--version"], env=env, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


async def test_node_from_its_wheel(tmp_path: Path) -> None:
    node = await Store(tmp_path).ensure("node", "22.20")
    assert (runs(node, "node"), node.version) == ("v22.20.0", "22.20.0")
    assert runs(node, "npm").startswith("10.")


@pytest.mark.matrix
@pytest.mark.parametrize(("wanted", "version"), [("18.18", "18.18.2"), ("16", "16.15.1"), ("23.11.1", "23.11.1")])
async def test_node_of_older_and_odd_lines(tmp_path: Path, wanted: str, version: str) -> None:
    node = await Store(tmp_path).ensure("node", wanted)
    assert (runs(node, "node"), node.version) == (f"v{version}", version)
    assert runs(node, "npm")


async def test_what_does_for_a_version_that_is_not_there_is_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await Store(tmp_path).ensure("node", "22.20.99")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    assert await Store(tmp_path).ensure("node", "22.20.99") == found == Installed(tmp_path / "node-22.20.0", "22.20.0")


async def test_line_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as failed:
        await Store(tmp_path).ensure("node", "12")
    assert failed.value.message == "Node 12 cannot be had."
    assert failed.value.hint is not None
    assert {"18.18.2", "22.20.0"} <= set(failed.value.hint.rstrip(".").replace(",", "").split())


async def test_uv_from_its_wheel(tmp_path: Path) -> None:
    uv = await Store(tmp_path).ensure("uv", None)
    assert runs(uv, "uv").startswith(f"uv {uv.version}")


async def test_what_is_there_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hugo-0.150.2" / "bin").mkdir(parents=True)
    (tmp_path / "hugo-0.99.0" / "bin").mkdir(parents=True)
    monkeypatch.setenv("PATH", "/nowhere")
    assert await Store(tmp_path).ensure("hugo", None) == Installed(tmp_path / "hugo-0.150.2", "0.150.2")


async def test_package_manager_from_npm(tmp_path: Path) -> None:
    pnpm = await Store(tmp_path).ensure("pnpm", "9.15.0")
    node = await Store(tmp_path).ensure("node", None)
    assert runs(pnpm, "pnpm", node) == "9.15.0"


async def test_nothing_in_the_store_can_be_written_by_others(tmp_path: Path) -> None:
    pnpm = await Store(tmp_path).ensure("pnpm", "9.15.0")
    assert pnpm.path is not None
    assert [p for p in pnpm.path.rglob("*") if not p.is_symlink() and p.stat().st_mode & 0o022] == []


async def test_nothing_half_fetched_is_left(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as failed:
        await Store(tmp_path).ensure("pnpm", "9.99.99")
    assert failed.value.code == "toolchain_version"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "version"), [("rm", None), ("node", "../../etc"), ("node", "22; rm"), ("pnpm", "*")])
async def test_only_what_is_in_the_catalog(tmp_path: Path, name: str, version: str | None) -> None:
    with pytest.raises(BuildFailed) as failed:
        await Store(tmp_path).ensure(name, version)
    assert failed.value.code == "toolchain_unknown"


async def test_simultaneous_wishes_are_one_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetches: list[str] = []

    def fetch(version: str, scratch: Path) -> tuple[Path, str]:
        fetches.append(version)
        (scratch / "tree" / "bin").mkdir(parents=True)
        return scratch / "tree", "1.2.3"

    monkeypatch.setitem(catalog.CATALOG, "bun", catalog.Recipe("bun", "Bun", "1", fetch))
    store = Store(tmp_path)
    found = await asyncio.gather(*(store.ensure("bun", "1") for _ in range(5)))
    assert (fetches, {f.version for f in found}) == (["1"], {"1.2.3"})


def test_tarball_that_is_not_what_the_registry_says(tmp_path: Path) -> None:
    tarball = tmp_path / "x.tgz"
    tarball.write_bytes(b"something else")
    with pytest.raises(InfrastructureFault):
        npm._check(tarball, "sha512-AAAA", "pnpm")


@pytest.mark.parametrize(
    ("version", "wanted", "answer"),
    [("22.20.0", "22", True), ("22.20.0", "2", False), ("22.20.0", "22.20.0", True), ("22.20.0", "22.2", False)],
)
def test_fits(version: str, wanted: str, answer: bool) -> None:
    assert fits(version, wanted) is answer


async def test_over_the_socket(tmp_path: Path) -> None:
    (tmp_path / "store" / "hugo-0.150.2" / "bin").mkdir(parents=True)
    async with Broker(Store(tmp_path / "store"), tmp_path / "broker", ()):
        found = await BrokeredToolchains(tmp_path / "broker").ensure("hugo", None)
        assert (found.version, found.bin) == ("0.150.2", tmp_path / "store" / "hugo-0.150.2" / "bin")
        with pytest.raises(BuildFailed):
            await BrokeredToolchains(tmp_path / "broker").ensure("rm", None)


async def test_platform_that_is_being_restarted_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "store" / "hugo-0.150.2" / "bin").mkdir(parents=True)
    (tmp_path / "broker").mkdir()
    asking = asyncio.create_task(BrokeredToolchains(tmp_path / "broker").ensure("hugo", None))
    async with Broker(Store(tmp_path / "store"), tmp_path / "broker", ()):
        assert (await asyncio.wait_for(asking, 10)).version == "0.150.2"


async def test_data_folder_with_a_very_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    (tmp_path / "store" / "hugo-0.1.2" / "bin").mkdir(parents=True)
    folder.mkdir()
    async with Broker(Store(tmp_path / "store"), folder, ()):
        assert (await BrokeredToolchains(folder).ensure("hugo", None)).version == "0.1.2"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another uid to ask from")
async def test_strangers_are_not_answered() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # unlike pytest's own folders, others can reach it
        async with Broker(Store(Path(name, "store")), Path(name, "broker"), (210_001,)):
            os.seteuid(65534)
            try:
                reader, writer = await asyncio.open_unix_connection(f"{name}/broker/toolchains.sock")
            finally:
                os.seteuid(0)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
