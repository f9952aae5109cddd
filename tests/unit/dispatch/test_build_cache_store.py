"""What the platform takes from a build's folder, and what it keeps."""

import fcntl
import os
from pathlib import Path

from scalemesh.core.build import CacheList, CacheScope
from scalemesh.core.documents import encode
from scalemesh.dispatch.caches import LIST, MAX_AGE_S, Caches

SCOPE = CacheScope(project="prj_1", trust="production")
BRANCH = CacheScope(project="prj_1", trust="branch")


def build(tmp_path: Path, entries: dict[str, list[str]], files: dict[str, str]) -> Path:
    folder = tmp_path / f"build-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / LIST).write_bytes(encode(CacheList(entries=entries)))
    return folder


def opened(tmp_path: Path, max_bytes: int = 10**6) -> Caches:
    caches = Caches(tmp_path / "caches", max_bytes)
    caches.open()
    return caches


def entries(caches: Caches, scope: CacheScope = SCOPE) -> list[str]:
    return sorted(path.name for path in caches.readable(scope)[0].iterdir())


def test_listed_folders_are_moved(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    folder = build(tmp_path, {"framework": ["workspace/.x"]}, {"workspace/.x/a": "1", "workspace/b": "2"})
    caches.keep(SCOPE, folder)
    assert (caches.readable(SCOPE)[0] / "framework" / "workspace%2F.x" / "a").read_text() == "1"
    assert not (folder / "workspace/.x").exists()
    assert (folder / "workspace/b").exists()


def test_no_link_is_followed(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    (tmp_path / "outside/.x").mkdir(parents=True)
    folder = build(tmp_path, {"one": ["workspace/link/.x"], "two": ["workspace/link"]}, {"workspace/a": ""})
    (folder / "workspace/link").symlink_to(tmp_path / "outside")
    caches.keep(SCOPE, folder)
    assert (tmp_path / "outside/.x").exists()
    assert list(caches.readable(SCOPE)[0].glob("*/workspace*")) == []


def test_names_that_lead_elsewhere_are_not_taken(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    paths = ["../x", "workspace/../../x", "/etc", "etc/x", "workspace"]
    bad = {f"entry-{n}": [path] for n, path in enumerate(paths)} | {"../up": ["workspace/a"], ".hidden": []}
    caches.keep(SCOPE, build(tmp_path, bad, {"workspace/a/b": ""}))
    assert entries(caches) == []


def test_nothing_listed_keeps_what_there_is(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    caches.keep(SCOPE, build(tmp_path, {"one": ["home/a"]}, {"home/a/b": ""}))
    caches.keep(SCOPE, tmp_path / "gone")
    caches.keep(SCOPE, build(tmp_path, {"one": []}, {}))
    assert entries(caches) == ["one"]


def test_oldest_go_when_it_is_too_much(tmp_path: Path) -> None:
    caches = opened(tmp_path, max_bytes=250_000)
    for n, age in enumerate((30, 20, 10)):
        caches.keep(SCOPE, build(tmp_path, {f"e{n}": ["home/a"]}, {"home/a/b": "x" * 100_000}))
        entry = caches.readable(SCOPE)[0] / f"e{n}"
        os.utime(entry, (entry.stat().st_mtime - age,) * 2)
    caches.keep(SCOPE, build(tmp_path, {}, {}))
    assert entries(caches) == ["e1", "e2"]


def test_unused_ones_go_with_age(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    caches.keep(SCOPE, build(tmp_path, {"old": ["home/a"]}, {"home/a/b": ""}))
    entry = caches.readable(SCOPE)[0] / "old"
    os.utime(entry, (entry.stat().st_mtime - MAX_AGE_S - 1,) * 2)
    caches.keep(BRANCH, build(tmp_path, {}, {}))
    assert entries(caches) == []


def test_production_reads_no_branch(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    root = tmp_path / "caches" / "prj_1"
    assert caches.readable(SCOPE) == [root / "production"]
    assert caches.readable(BRANCH) == [root / "branch", root / "production"]


def test_nobody_else_can_look_in(tmp_path: Path) -> None:
    opened(tmp_path)
    assert (tmp_path / "caches").stat().st_mode & 0o777 == 0o700


def test_kept_files_can_be_read_by_the_next_uid(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    folder = build(tmp_path, {"one": ["home/a"]}, {"home/a/secretive": "", "home/a/run": ""})
    (folder / "home/a/secretive").chmod(0o600)
    (folder / "home/a/run").chmod(0o4700)
    os.mkfifo(folder / "home/a/pipe")
    caches.keep(SCOPE, folder)
    kept = caches.readable(SCOPE)[0] / "one" / "home%2Fa"
    assert {path.name: path.stat().st_mode & 0o7777 for path in kept.iterdir()} == {"secretive": 0o644, "run": 0o755}


def test_a_tree_without_end_is_not_kept(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    caches.keep(SCOPE, build(tmp_path, {"one": ["home/a"]}, {"home/a/b": ""}))
    folder = build(tmp_path, {"one": ["home/a"]}, {"home/a/b": ""})
    at = os.open(folder / "home/a", os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    caches.keep(SCOPE, folder)
    assert entries(caches) == ["one"]
    assert not (caches.readable(SCOPE)[0] / "one" / "home%2Fa" / "d").exists()


def test_what_an_agent_holds_stays_on_disk_until_it_lets_go(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    caches.keep(SCOPE, build(tmp_path, {"tree-1": ["workspace/m"]}, {"workspace/m/a": "old"}))
    held = os.open(caches.readable(SCOPE)[0] / "tree-1", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    caches.keep(SCOPE, build(tmp_path, {"tree-1": ["workspace/m"]}, {"workspace/m/a": "new"}))
    inside = os.open("workspace%2Fm/a", os.O_RDONLY, dir_fd=held)
    assert os.read(inside, 9) == b"old"
    assert len(entries(caches)) == 2
    os.close(held)
    os.close(inside)
    caches.keep(SCOPE, build(tmp_path, {}, {}))
    assert entries(caches) == ["tree-1"]


def test_kept_files_are_the_platforms(tmp_path: Path) -> None:
    caches = opened(tmp_path)
    folder = build(tmp_path, {"one": ["workspace/a"]}, {"workspace/a/b": ""})
    (folder / "workspace/a/link").symlink_to("b")
    if os.geteuid() == 0:
        for path in ("", "/b", "/link"):
            os.lchown(f"{folder}/workspace/a{path}", 210_777, 210_777)
    caches.keep(SCOPE, folder)
    kept = caches.readable(SCOPE)[0] / "one/workspace%2Fa"
    assert {path.lstat().st_uid for path in (kept, *kept.iterdir())} == {os.geteuid()}
