from collections.abc import Mapping
from pathlib import Path

import pytest

from scalemesh.buildserver import dependencies
from scalemesh.buildserver.dependencies import Dependencies
from scalemesh.core.build import BuildSettings
from scalemesh.frameworks import detect

WORKSPACE = {
    "package.json": '{"private": true, "workspaces": ["apps/*", "packages/*"]}',
    "package-lock.json": '{"lockfileVersion": 3}',
    "apps/web/package.json": '{"name": "web", "scripts": {"build": "true"}}',
    "packages/ui/package.json": '{"name": "ui"}',
    "packages/ui/index.js": "1",
}
PYTHON = {
    "mkdocs.yml": "site_name: x\n",
    "requirements.txt": "mkdocs==1.6.1 \\\n    --hash=sha256:00\njinja2==3.1.6 # why\n",
}
UV = {"mkdocs.yml": "site_name: x\n", "pyproject.toml": "[project]\nname = 'x'\n", "uv.lock": "version = 1\n"}


def of(folder: Path, files: Mapping[str, str], root: str = "") -> Dependencies:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    plan = detect(list(files), lambda name: files[name].encode(), BuildSettings(root_directory=root))
    return dependencies.of(folder, plan, {}, [])


def key(folder: Path, changes: Mapping[str, str]) -> str | None:
    return of(folder, {**WORKSPACE, **changes}, "apps/web").key


def test_every_member_of_a_workspace_has_a_place(tmp_path: Path) -> None:
    found = of(tmp_path, WORKSPACE, "apps/web")
    folders = ("workspace/node_modules", "workspace/apps/web/node_modules", "workspace/packages/ui/node_modules")
    assert (found.installed_in, found.folders) == ("", (*folders, "home/venv"))


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"packages/ui/index.js": "2"}, True),
        ({"examples/one/package.json": "{}"}, True),  # no member
        ({"packages/ui/package.json": '{"name": "ui", "dependencies": {"x": "1"}}'}, False),
        ({"packages/more/package.json": "{}"}, False),
        ({"package-lock.json": '{"lockfileVersion": 3, "packages": {}}'}, False),
        ({".npmrc": "install-links=true"}, False),
    ],
)
def test_what_a_key_depends_on(tmp_path: Path, changes: Mapping[str, str], same: bool) -> None:
    before, after = key(tmp_path / "before", {}), key(tmp_path / "after", changes)
    assert before is not None
    assert (before == after) is same


def test_a_lockfile_counts_to_its_end(tmp_path: Path) -> None:
    lock = '{"lockfileVersion": 3, "x": "' + "x" * 3 * 1024**2
    keys = {key(tmp_path / end, {"package-lock.json": f'{lock}{end}"}}'}) for end in ("a", "b")}
    assert len(keys) == 2
    assert None not in keys


@pytest.mark.parametrize(
    "changes",
    [
        {"packages/ui/package.json": '{"name": "ui", "scripts": {"prepare": "make"}}'},
        {"packages/ui/package.json": '{"name": "ui", "bin": "ui.js"}'},
        {"packages/ui/package.json": "{"},
    ],
)
def test_an_install_that_does_more_has_none(tmp_path: Path, changes: Mapping[str, str]) -> None:
    assert key(tmp_path, changes) is None


@pytest.mark.parametrize(
    ("files", "is_kept"),
    [
        (PYTHON, True),
        ({**PYTHON, "requirements.txt": "mkdocs>=1\n"}, False),
        ({**PYTHON, "requirements.txt": "mkdocs==1.*\n"}, False),
        ({**PYTHON, "requirements.txt": "mkdocs==1.6.1\n-e .\n"}, False),
        (UV, True),
        ({**UV, "uv.lock": 'source = { editable = "." }\n'}, False),
        ({"mkdocs.yml": "site_name: x\n"}, False),
    ],
)
def test_python(tmp_path: Path, files: Mapping[str, str], is_kept: bool) -> None:
    assert (of(tmp_path, files).key is not None) is is_kept
