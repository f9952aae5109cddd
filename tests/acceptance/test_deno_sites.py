"""Sites that Deno builds: with its lockfile, in TypeScript, and with packages from npm."""

import json

import pytest

from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories

pytestmark = pytest.mark.matrix

LOCKED = {
    "package.json": json.dumps({"name": "locked", "private": True, "scripts": {"build": "deno run -A build.ts"}}),
    "deno.lock": '{"version": "5"}',
    "build.ts": 'const page: string = `Deno ${Deno.version.deno}`; Deno.mkdirSync("dist");'
    ' Deno.writeTextFileSync("dist/index.html", page);',
}
WITH_A_PACKAGE = {
    "package.json": json.dumps({
        "name": "with-a-package",
        "private": True,
        "packageManager": "deno@2",
        "scripts": {"build": "deno run -A build.ts"},
        "dependencies": {"picocolors": "1.1.1"},
    }),
    "build.ts": 'import colors from "picocolors"; Deno.mkdirSync("dist");'
    ' Deno.writeTextFileSync("dist/index.html", `Deno with ${typeof colors.red}`);',
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "files", "page"),
    [("locked", LOCKED, b"Deno 2."), ("with-a-package", WITH_A_PACKAGE, b"Deno with function")],
)
def test_site_of_deno(
    platform: Platform, git: Repositories, name: str, files: dict[str, str | bytes], page: bytes
) -> None:
    platform.project(f"deno-{name}", git.create(f"deno-{name}", files))
    deployed = platform.ended(platform.deploy(f"deno-{name}")["id"], within_s=300)
    assert deployed["state"] == "ready", platform.log_text(deployed["id"])
    assert deployed["plan"]["package_manager"] == "deno"
    assert platform.get(deployed["url"]).body.startswith(page)
