import pytest

from scalemesh.frameworks.files import Files
from scalemesh.frameworks.managers import has_member


def workspace(**files: str) -> Files:
    named = {name.replace("__", "."): text.encode() for name, text in files.items()}
    return Files(list(named), named.get)


@pytest.mark.parametrize(
    ("patterns", "project", "expected"),
    [
        ('["apps/*"]', "apps/web", True),
        ('["apps/*"]', "apps/web/deep", False),
        ('["apps/**"]', "apps/web/deep", True),
        ('["./apps/web/"]', "apps/web", True),
        ('["apps/*", "!apps/old"]', "apps/old", False),
        ('{"packages": ["apps/*"]}', "apps/web", True),
        ("[]", "apps/web", False),
        ('"apps"', "apps", False),
    ],
)
def test_package_json(patterns: str, project: str, expected: bool) -> None:
    files = workspace(package__json=f'{{"workspaces": {patterns}}}')
    assert has_member(files, "", project) is expected


def test_pnpm_workspace_without_packages_has_no_members() -> None:
    files = Files(["pnpm-workspace.yaml"], {"pnpm-workspace.yaml": b"onlyBuiltDependencies:\n  - esbuild\n"}.get)
    assert has_member(files, "", "esbuild") is False


def test_pnpm_workspace_ends_at_the_next_key() -> None:
    text = b"packages:\n  - apps/*\n\ncatalog:\n  - docs\n"
    files = Files(["pnpm-workspace.yaml"], {"pnpm-workspace.yaml": text}.get)
    assert [has_member(files, "", name) for name in ("apps/a", "docs")] == [True, False]
