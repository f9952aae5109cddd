"""Submodules in real agents, from a real Git server, and what a hostile .gitmodules cannot do."""

from collections.abc import Mapping

import msgspec
import pytest

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import BuildSettings, Claim, Credentials
from scalemesh.core.ids import new_id
from scalemesh.testing.git_repository import BareRepository
from scalemesh.testing.git_server import GitServer
from tests.integration.builds import Farm, claim, failure, shown, spec, text

SITE = {"index.html": "site"}


def name(kind: str) -> str:
    return f"{kind}-{new_id('x')[-6:]}"


def head(repository: BareRepository) -> str:
    return repository.git("rev-parse", "main").strip()


def gitmodules(**modules: tuple[str, str]) -> str:
    return "".join(f'[submodule "{n}"]\n\tpath = {path}\n\turl = {url}\n' for n, (path, url) in modules.items())


def site(
    git: GitServer, text: str, submodules: Mapping[str, str], links: Mapping[str, str] | None = None, **fields: object
) -> Claim:
    repository = git.repository(name("site"), SITE)
    commit = repository.commit({**SITE, ".gitmodules": text}, submodules=submodules, links=links or {})
    return claim(msgspec.structs.replace(spec(repository.url, commit), **fields))


def pages(control: MemoryControl) -> dict[str, str]:
    assert control.published is not None, shown(control)
    found = control.published.files
    return {path: control.blobs[entry.identity.sha256].decode() for path, entry in found.items()}


async def test_relative_nested_and_at_the_commit_that_is_named(farm: Farm, git: GitServer) -> None:
    inner = git.repository(name("inner"), {"inner.html": "inner"})
    lib = git.repository(name("lib"), {"lib.html": "old"})
    old = lib.commit(
        {"lib.html": "wanted", ".gitmodules": gitmodules(i=("deep/inner", inner.url))},
        submodules={"deep/inner": head(inner)},
    )
    lib.commit({"lib.html": "newer"})
    given = site(git, gitmodules(lib=("libs/lib", f"../{lib.path.name}")), {"libs/lib": old})
    found = pages(await farm.build(given))
    assert {path: found[path] for path in found if path.endswith(".html")} == {
        "/index.html": "site",
        "/libs/lib/lib.html": "wanted",
        "/libs/lib/deep/inner/inner.html": "inner",
    }


@pytest.mark.matrix
async def test_without_an_entry_its_folder_stays_empty(farm: Farm, git: GitServer) -> None:
    given = site(git, gitmodules(other=("elsewhere", "https://127.0.0.1/x")), {"lost": "a" * 40})
    assert "/index.html" in pages(await farm.build(given))


async def test_a_commit_that_is_gone_names_the_submodule(farm: Farm, git: GitServer) -> None:
    lib = git.repository(name("lib"), SITE)
    found = failure(await farm.build(site(git, gitmodules(lib=("lib", lib.url)), {"lib": "a" * 40})))
    assert (found.code, "Submodule 'lib'" in found.message) == ("commit_not_found", True)


async def test_the_password_goes_to_the_projects_own_host_alone(farm: Farm, git: GitServer) -> None:
    secret = Credentials(username="ada", password="secret-password")
    mine = git.repository(name("mine"), {"mine.html": "mine"}, password="ada:secret-password")
    with GitServer(git.root) as other:
        theirs = other.repository(name("theirs"), {"t.html": "t"}, password="ada:secret-password")
        modules = gitmodules(mine=("mine", mine.url), theirs=("theirs", theirs.url))
        given = site(git, modules, {"mine": head(mine), "theirs": head(theirs)})
        built = await farm.build(msgspec.structs.replace(given, credentials=secret))
        assert any(other.requests)
        assert not any(other.authorizations)
    found = failure(built)
    assert (found.code, "Submodule 'theirs'" in found.message) == ("repository_private", True), shown(built)
    assert any(git.authorizations)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "/etc",
        "ext::sh -c touch% /tmp/owned",
        "ssh://-oProxyCommand=touch /x",
        "git://127.0.0.1/x",
        "https://user:password@127.0.0.1/x",
    ],
)
async def test_addresses_that_are_none(farm: Farm, git: GitServer, url: str) -> None:
    found = failure(await farm.build(site(git, gitmodules(bad=("bad", f'"{url}"')), {"bad": "a" * 40})))
    assert found.code == "submodule_invalid"


@pytest.mark.parametrize("entry", ["url = -u./payload:x", "url = --upload-pack=touch", "url = x\n\tupdate = !touch x"])
@pytest.mark.matrix
async def test_what_git_itself_refuses(farm: Farm, git: GitServer, entry: str) -> None:
    """CVE-2018-17456 and its kind do not even arrive: fsck; were they to, they would be no addresses."""
    module = f'[submodule "bad"]\n\tpath = bad\n\t{entry}\n'
    assert failure(await farm.build(site(git, module, {"bad": "a" * 40}))).code == "repository_corrupt"


async def test_private_addresses_are_the_guards_business(farm: Farm, git: GitServer) -> None:
    lib = git.repository(name("lib"), SITE)
    given = site(git, gitmodules(lib=("lib", lib.url)), {"lib": head(lib)})
    made = msgspec.structs.replace(given.spec, git_allow_private=False, egress_allow=[git.address])
    found = failure(await farm.build(msgspec.structs.replace(given, spec=made)))
    assert found.code == "submodule_invalid"
    assert "lib" in found.message


async def test_a_link_in_the_place_of_a_submodule_is_not_followed(farm: Farm, git: GitServer) -> None:
    """As in CVE-2024-32002: `A/modules/x` of the submodule, `a` a link to .git, on a file system without case."""
    lib = git.repository(name("lib"), {"y/hooks/post-checkout": "#!/bin/sh\necho OWNED\n"})
    modules = gitmodules(x=("A/modules/x", lib.url))
    built = await farm.build(site(git, modules, {"A/modules/x": head(lib)}, {"a": ".git"}))
    assert "OWNED" not in text(built)
    assert "/A/modules/x/y/hooks/post-checkout" in pages(built)


async def test_hooks_and_filters_of_a_submodule_are_not_run(farm: Farm, git: GitServer) -> None:
    files = {".gitattributes": "* filter=evil", "evil.html": "x", "hooks/post-checkout": "#!/bin/sh\necho OWNED\n"}
    lib = git.repository(name("lib"), files)
    modules = gitmodules(lib=("lib", lib.url)) + '[filter "evil"]\n\tsmudge = echo OWNED\n'
    built = await farm.build(site(git, modules, {"lib": head(lib)}))
    assert pages(built)["/lib/evil.html"] == "x"
    assert "OWNED" not in text(built).replace(modules, "")


async def test_endless_recursion_ends(farm: Farm, git: GitServer) -> None:
    below = git.repository(name("deep"), SITE)
    for _ in range(6):
        above = git.repository(name("deep"), SITE)
        above.commit({".gitmodules": gitmodules(d=("d", below.url))}, submodules={"d": head(below)})
        below = above
    found = failure(await farm.build(site(git, gitmodules(d=("d", below.url)), {"d": head(below)})))
    assert (found.code, "5 deep" in found.message) == ("submodule_invalid", True)


@pytest.mark.matrix
async def test_the_settings_may_point_into_a_submodule(farm: Farm, git: GitServer) -> None:
    lib = git.repository(name("lib"), {"index.html": "theme"})
    settings = BuildSettings(root_directory="lib")
    assert pages(
        await farm.build(site(git, gitmodules(lib=("lib", lib.url)), {"lib": head(lib)}, settings=settings))
    ) == {"/index.html": "theme"}
