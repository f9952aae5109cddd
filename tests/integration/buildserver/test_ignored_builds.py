"""The ignored build step in real agents: what it sees, and what its answer does."""

import msgspec
import pytest

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import BuildIgnored, BuildSettings, StepFinished
from scalemesh.core.ids import new_id
from scalemesh.testing.git_server import GitServer
from tests.integration.builds import Farm, claim, shown, spec, text


async def built(farm: Farm, git: GitServer, command: str, **fields: object) -> MemoryControl:
    """Three commits: the last one changes docs/ alone."""
    repository = git.repository(f"ignored-{new_id('x')[-6:]}", {"index.html": "one", "docs/a.html": "a"})
    first = repository.git("rev-parse", "main").strip()
    repository.commit({"index.html": "two", "docs/a.html": "a"})
    commit = repository.commit({"index.html": "two", "docs/a.html": "b"})
    settings = BuildSettings(ignore_command=command)
    made = spec(repository.url, commit, settings=settings, ignorable=True, previous_commit=first)
    return await farm.build(claim(msgspec.structs.replace(made, **fields)))


def ignored(control: MemoryControl) -> bool:
    return any(isinstance(event, BuildIgnored) for event in control.events)


async def test_zero_ends_it_and_every_step_was_well(farm: Farm, git: GitServer) -> None:
    control = await built(farm, git, "git diff --quiet HEAD^ HEAD -- index.html")
    assert (ignored(control), control.published) == (True, None), shown(control)
    finished = [(event.step, event.exit_code) for event in control.events if isinstance(event, StepFinished)]
    assert finished == [("clone", 0), ("detect", 0)]


async def test_one_builds(farm: Farm, git: GitServer) -> None:
    control = await built(farm, git, "git diff --quiet HEAD^ HEAD -- docs")
    assert control.published is not None, shown(control)
    assert not ignored(control)
    assert "ended with 1: the build goes on" in text(control)


@pytest.mark.matrix
async def test_a_command_that_fails_builds(farm: Farm, git: GitServer) -> None:
    assert (await built(farm, git, "no-such-program")).published is not None


@pytest.mark.parametrize("variable", ["VERCEL_GIT_PREVIOUS_SHA", "CACHED_COMMIT_REF"])
async def test_the_commit_deployed_before_can_be_compared_with(farm: Farm, git: GitServer, variable: str) -> None:
    control = await built(
        farm, git, f"git diff --quiet ${variable} HEAD -- docs && echo DOCS; git diff --stat ${variable}"
    )
    assert ignored(control), shown(control)
    assert "2 files changed" in text(control)


@pytest.mark.matrix
async def test_it_runs_in_the_root_directory(farm: Farm, git: GitServer) -> None:
    settings = BuildSettings(ignore_command="test -e a.html", root_directory="docs", output_directory=".")
    assert ignored(await built(farm, git, "", settings=settings))


async def test_a_redeploy_is_built(farm: Farm, git: GitServer) -> None:
    assert (await built(farm, git, "true", ignorable=False)).published is not None


async def test_a_previous_commit_that_is_gone_is_no_failure(farm: Farm, git: GitServer) -> None:
    control = await built(farm, git, "git rev-parse HEAD^^", previous_commit="a" * 40)
    assert ignored(control), shown(control)
