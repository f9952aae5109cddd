"""The real worker, the real sandbox, the real git, a real server."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scalemesh.core.build import BuildSettings, Credentials
from scalemesh.errors import InvalidInput
from scalemesh.sources import Sources
from scalemesh.testing.git_server import GitServer

MakeSources = Callable[..., Sources]
SITE = {"index.html": "hello"}
PACKAGE = '{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}'


async def code_of(sources: Sources, url: str, ref: str | None = None, credentials: Credentials | None = None) -> str:
    with pytest.raises(InvalidInput) as raised:
        await sources.resolve(url, ref, credentials)
    assert raised.value.hint
    return raised.value.code


class TestResolve:
    async def test_default_branch(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("site", SITE, branch="trunk")
        commit = repository.commit({"index.html": "changed"}, branch="trunk")
        found = await sources.resolve(repository.url, None)
        assert (found.commit, found.ref) == (commit, "trunk")

    async def test_default_branch_that_is_an_argument(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("site", SITE)
        (repository.path / "refs/heads/-x").write_text(repository.git("rev-parse", "main"))
        (repository.path / "HEAD").write_text("ref: refs/heads/-x\n")
        assert await code_of(sources, repository.url) == "invalid_ref"

    async def test_branch_with_a_slash(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("site", SITE)
        commit = repository.commit({"index.html": "ü"}, branch="feature/ü-1")
        assert (await sources.resolve(repository.url, "feature/ü-1")).commit == commit

    async def test_annotated_tag_stands_for_its_commit(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("site", SITE)
        commit = repository.commit({"index.html": "v1"})
        repository.tag("v1.0", commit, message="First release")
        repository.commit({"index.html": "v2"})
        assert (await sources.resolve(repository.url, "v1.0")).commit == commit

    async def test_branch_before_a_tag_of_the_same_name(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("site", SITE)
        tagged = repository.commit({"index.html": "tag"})
        repository.tag("next", tagged)
        commit = repository.commit({"index.html": "branch"}, branch="next")
        assert (await sources.resolve(repository.url, "next")).commit == commit

    async def test_full_commit_that_is_no_tip(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("site", None)
        old = repository.commit(SITE)
        repository.commit({"index.html": "new"})
        assert (await sources.resolve(repository.url, old)).commit == old

    async def test_branch_that_ends_like_another(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("site", SITE)
        repository.commit({"index.html": "x"}, branch="x/refs/heads/main2")
        assert await code_of(sources, repository.url, "main2") == "branch_not_found"

    async def test_nothing_is_left_behind(self, sources: Sources, server: GitServer, tmp_path: Path) -> None:
        await sources.resolve(server.repository("site", SITE).url, None)
        assert list((tmp_path / "git").iterdir()) == []


class TestRefused:
    async def test_unknown_branch(self, sources: Sources, server: GitServer) -> None:
        assert await code_of(sources, server.repository("site", SITE).url, "nope") == "branch_not_found"

    async def test_unknown_commit(self, sources: Sources, server: GitServer) -> None:
        assert await code_of(sources, server.repository("site", SITE).url, "a" * 40) == "commit_not_found"

    async def test_empty_repository(self, sources: Sources, server: GitServer) -> None:
        assert await code_of(sources, server.repository("hollow").url) == "repository_empty"

    async def test_branch_of_an_empty_repository(self, sources: Sources, server: GitServer) -> None:
        assert await code_of(sources, server.repository("hollow").url, "main") == "repository_empty"

    async def test_no_such_repository(self, sources: Sources, server: GitServer) -> None:
        assert await code_of(sources, server.url("nothing")) in {"repository_not_found", "repository_private"}

    async def test_nobody_listens(self, sources: Sources, server: GitServer) -> None:
        url = server.url("site")
        server.__exit__(None, None, None)
        assert await code_of(sources, url) == "repository_unreachable"

    async def test_no_such_host(self, sources: Sources) -> None:
        assert await code_of(sources, "https://nothing.invalid/a/b") == "repository_unreachable"

    async def test_broken_objects(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("site", SITE)
        blob = repository.git("hash-object", "-w", "--stdin", stdin=b"x").strip()
        entry = b"100644 .git\0" + bytes.fromhex(blob)
        tree = repository.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=entry).strip()
        commit = repository.git(
            *("-c", "user.name=x", "-c", "user.email=x@example.org", "commit-tree", "-m", "evil", tree)
        ).strip()
        repository.git("update-ref", "refs/heads/evil", commit)
        with pytest.raises(InvalidInput) as raised:
            await sources.peek(repository.url, "evil")
        assert raised.value.code == "repository_corrupt"

    @pytest.mark.parametrize("ref", ["--upload-pack=touch /tmp/pwned", "-x", "main:refs/heads/x", "../x", "a\nb", "*"])
    async def test_refs_that_are_arguments(self, sources: Sources, server: GitServer, ref: str) -> None:
        assert await code_of(sources, server.repository("site", SITE).url, ref) == "invalid_ref"

    async def test_local_files(self, sources: Sources, server: GitServer) -> None:
        assert await code_of(sources, f"file://{server.repository('site', SITE).path}") == "forbidden_transport"


class TestCredentials:
    async def test_asked_for(self, sources: Sources, server: GitServer) -> None:
        url = server.repository("private", SITE, password="ada:secret").url
        assert await code_of(sources, url) == "repository_private"

    async def test_right(self, sources: Sources, server: GitServer) -> None:
        url = server.repository("private", SITE, password="ada:s'e c$ret\"").url
        found = await sources.resolve(url, None, Credentials(username="ada", password="s'e c$ret\""))
        assert found.ref == "main"

    async def test_wrong(self, sources: Sources, server: GitServer) -> None:
        url = server.repository("private", SITE, password="ada:secret").url
        assert await code_of(sources, url, None, Credentials(username="ada", password="no")) == "repository_private"

    async def test_not_given_to_another_host(
        self, make_sources: MakeSources, server: GitServer, tmp_path: Path
    ) -> None:
        with GitServer(tmp_path / "other") as other:
            sources = make_sources(egress_allow=(other.address,))  # opens its port
            target = other.repository("trap", SITE, password="ada:secret").url
            url = server.redirect("moved", target)
            await code_of(sources, url, None, Credentials(username="ada", password="secret"))
            assert other.requests
            assert set(other.authorizations) == {""}


class TestAddresses:
    async def test_private_name(self, own_name: str, make_sources: MakeSources) -> None:
        url = f"https://{own_name}/a/b"
        assert await code_of(make_sources(allow_private=False), url) == "address_forbidden"

    async def test_redirect_is_followed(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("site", SITE)
        assert (await sources.resolve(server.redirect("moved", repository.url), None)).ref == "main"

    async def test_redirect_to_what_the_guard_has_closed(
        self, sources: Sources, make_sources: MakeSources, server: GitServer, tmp_path: Path
    ) -> None:
        with GitServer(tmp_path / "other") as other:
            url = server.redirect("moved", other.repository("site", SITE).url)
            assert await code_of(sources, url) == "repository_unreachable"
            assert other.requests == []
            opened = make_sources(egress_allow=(other.address,))
            assert (await opened.resolve(url, None)).ref == "main"

    async def test_redirect_to_the_metadata_address(self, sources: Sources, server: GitServer) -> None:
        url = server.redirect("moved", "http://169.254.169.254/latest")
        assert await code_of(sources, url) in {"address_forbidden", "repository_unreachable"}

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
    async def test_redirect_to_another_transport(self, sources: Sources, server: GitServer, target: str) -> None:
        code = await code_of(sources, server.redirect("moved", target))
        assert code in {"forbidden_transport", "repository_unreachable"}

    async def test_redirect_in_circles(self, sources: Sources, server: GitServer) -> None:
        assert await code_of(sources, server.redirect("round", server.url("round"))) == "repository_unreachable"


async def test_a_server_that_hangs_hits_the_deadline(
    sources: Sources, server: GitServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("scalemesh.sources.service.DEADLINE_S", 4.0)
    assert await code_of(sources, server.hang("slow")) == "git_timeout"
    assert server.request_seen.is_set()
    assert list((tmp_path / "git").iterdir()) == []


class TestPeek:
    async def test_shows_the_plan(self, sources: Sources, server: GitServer) -> None:
        files: dict[str, str | bytes] = {
            "web/package.json": PACKAGE,
            "web/package-lock.json": "{}",
            "big.bin": b"x" * 2**21,
        }
        repository = server.repository("app", files)
        commit = repository.commit(files, message="Subject\n\nBody ü", author="Zoë <z@example.org>")
        found = await sources.peek(repository.url, None, BuildSettings(root_directory="web"))
        assert (found.commit, found.ref, found.message, found.problem) == (commit, "main", "Subject\n\nBody ü", None)
        assert set(found.files) == set(files)
        assert found.plan is not None
        assert (found.plan.framework, found.plan.install_command) == ("vite", "npm ci")

    async def test_says_why_it_cannot_be_built(self, sources: Sources, server: GitServer) -> None:
        found = await sources.peek(server.repository("words", {"README.md": "only"}).url)
        assert found.plan is None
        assert "index.html" in (found.problem or "")

    async def test_names_the_line_of_a_broken_file(self, sources: Sources, server: GitServer) -> None:
        found = await sources.peek(server.repository("broken", {"package.json": '{\n"a": }'}).url)
        assert "package.json:2" in (found.problem or "")

    async def test_a_link_is_not_followed(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("links", SITE)
        blob = repository.git("hash-object", "-w", "--stdin", stdin=b"/etc/passwd").strip()
        tree = repository.git("mktree", stdin=f"120000 blob {blob}\tpackage.json\n".encode()).strip()
        commit = repository.git(
            *("-c", "user.name=x", "-c", "user.email=x@example.org", "commit-tree", "-m", "link", tree)
        ).strip()
        repository.git("update-ref", "refs/heads/link", commit)
        found = await sources.peek(repository.url, "link")
        assert (found.files, found.plan) == ([], None)

    async def test_a_server_without_filters(self, sources: Sources, server: GitServer) -> None:
        repository = server.repository("old", {"package.json": PACKAGE})
        repository.git("config", "uploadpack.allowFilter", "false")
        found = await sources.peek(repository.url)
        assert found.plan is not None


async def test_local_repositories_where_the_platform_allows_them(make_sources: MakeSources, server: GitServer) -> None:
    repository = server.repository("demo", SITE)
    local = make_sources(transports=("file",), allow_private=False, readable=(server.root,))
    found = await local.peek(f"file://{repository.path}")
    assert found.plan is not None
    assert (found.ref, found.plan.output_directory) == ("main", ".")
