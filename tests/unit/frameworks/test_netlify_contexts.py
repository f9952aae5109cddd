"""netlify.toml's contexts: what applies to which deployment, and what wins over what."""

import json

import pytest

from scalemesh.core.build import BuildSettings, Plan
from scalemesh.errors import BuildFailed
from scalemesh.frameworks import contexts, detect

TOML = """
[build]
command = "build"
publish = "www"
ignore = "false"
environment = { WHERE = "build", KEPT = "yes", COUNT = 3, NODE_VERSION = "20" }
[context.production]
command = "build-production"
[context.production.environment]
WHERE = "production"
[context.deploy-preview]
command = "build-preview"
publish = "preview"
[context.branch-deploy.environment]
WHERE = "branch"
[context."feat/x"]
command = "build-feature"
[context."feat/x".environment]
NODE_VERSION = "22"
"""


def plan(target: str, branch: str | None, *, vercel: dict[str, str] | None = None, **settings: str) -> Plan:
    files = {"netlify.toml": TOML.encode(), "package.json": b"{}"}
    files |= {"vercel.json": json.dumps(vercel).encode()} if vercel else {}
    return detect(list(files), files.get, BuildSettings(**settings), contexts(target, branch))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "branch", "command", "output", "where"),
    [
        ("production", "main", "build-production", "www", "production"),
        ("preview", "other", "build-preview", "preview", "branch"),
        ("preview", "feat/x", "build-feature", "preview", "branch"),
        ("preview", None, "build-preview", "preview", "build"),
    ],
)
def test_the_most_special_context_wins(target: str, branch: str, command: str, output: str, where: str) -> None:
    made = plan(target, branch)
    assert (made.build_command, made.output_directory, made.environment["WHERE"]) == (command, output, where)


def test_environment_of_build_and_contexts_together() -> None:
    expected = {"WHERE": "branch", "KEPT": "yes", "COUNT": "3", "NODE_VERSION": "22"}
    made = plan("preview", "feat/x")
    assert (made.environment, made.node_version) == (expected, "22")


def test_project_settings_then_vercel_json_then_netlify_toml() -> None:
    vercel = {"buildCommand": "from-vercel", "ignoreCommand": "exit 1"}
    made = plan("production", "main", vercel=vercel, ignore_command="true")
    assert (made.build_command, made.sources["build_command"]) == ("from-vercel", "vercel.json")
    assert (made.ignore_command, made.sources["ignore_command"]) == ("true", "project settings")
    assert (made.output_directory, made.sources["output_directory"]) == ("www", "netlify.toml")


def test_ignore_command_of_netlify_toml() -> None:
    made = plan("production", "main")
    assert (made.ignore_command, made.sources["ignore_command"]) == ("false", "netlify.toml")


def test_base_of_a_context() -> None:
    files = {"netlify.toml": b'[context.production]\nbase = "site/"', "site/index.html": b""}
    assert detect(list(files), files.get, BuildSettings()).root_directory == "site"


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[build]\ncommand = 3", "`[build] command` must be a string"),
        ("[context.production.environment]\n'A-B' = 'x'", "'A-B'"),
        ('[build.environment]\nA = "x\\u0000y"', "NUL"),
        ("[build.environment]\nA = []", "`[build] environment A` must be a string"),
    ],
)
def test_refusals_name_the_place(toml: str, says: str) -> None:
    with pytest.raises(BuildFailed) as raised:
        detect(["netlify.toml"], {"netlify.toml": toml.encode()}.get, BuildSettings())
    assert raised.value.code == "invalid_netlify_toml"
    assert says in raised.value.message
