"""`scalemesh detect`: a folder as this or that deployment would build it."""

from pathlib import Path

from scalemesh.main.detect import plan

TOML = """
[build]
command = "make"
ignore = "git diff --quiet HEAD^ HEAD"
[context.production]
command = "make production"
[context.draft]
command = "make draft"
"""


def test_contexts_of_target_and_branch(tmp_path: Path) -> None:
    (tmp_path / "netlify.toml").write_text(TOML)
    commands = [
        plan(tmp_path)["build_command"],
        plan(tmp_path, target="preview")["build_command"],
        plan(tmp_path, target="preview", branch="draft")["build_command"],
    ]
    assert commands == ["make production", "make", "make draft"]


def test_where_each_value_came_from(tmp_path: Path) -> None:
    (tmp_path / "netlify.toml").write_text(TOML)
    (tmp_path / "vercel.json").write_text('{"ignoreCommand": "exit 1"}')
    found = plan(tmp_path)
    assert (found["ignore_command"], found["sources"]["ignore_command"]) == ("exit 1", "vercel.json")
    assert found["sources"]["build_command"] == "netlify.toml"
