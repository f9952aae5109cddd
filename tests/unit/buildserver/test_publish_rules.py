from pathlib import Path

from scalemesh.buildserver.steps.publish import _pack
from scalemesh.core.build import Limits, Plan


def test_rules_come_from_the_project_and_its_output(tmp_path: Path) -> None:
    output = tmp_path / "work" / "web" / "dist"
    output.mkdir(parents=True)
    (output / "index.html").write_text("home")
    (output / "_redirects").write_text("/a /b\nbad\n")
    (tmp_path / "work" / "netlify.toml").write_text('[[headers]]\nfor = "/*"\n[headers.values]\nX-A = "1"\n')
    plan = Plan(root_directory="web", output_directory="dist")
    with _pack(tmp_path / "work", tmp_path / "spool", plan, Limits()) as packed:
        rules = packed.manifest.rules
        assert (rules.flavour, rules.rules[0].paths, rules.headers[0].source) == (
            "netlify",
            ["/a", "/a/"],
            "netlify.toml",
        )
        assert list(packed.manifest.files) == ["/index.html"]
        assert packed.manifest.complaints == ["_redirects:2: a destination is missing"]


def test_the_projects_flavour_goes_before_the_files_that_are_there(tmp_path: Path) -> None:
    output = tmp_path / "work"
    output.mkdir()
    (output / "index.html").write_text("home")
    (output / "_redirects").write_text("/a /b\n")
    with _pack(output, tmp_path / "spool", Plan(output_directory="."), Limits(), "cloudflare") as packed:
        assert (packed.manifest.rules.flavour, packed.manifest.rules.rules[0].status) == ("cloudflare", 302)


def test_a_rule_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    output = tmp_path / "work" / "dist"
    output.mkdir(parents=True)
    (tmp_path / "secret").write_text("/a /b")
    (output / "index.html").write_text("home")
    (output / "_redirects").symlink_to(tmp_path / "secret")
    with _pack(tmp_path / "work", tmp_path / "spool", Plan(output_directory="dist"), Limits()) as packed:
        assert packed.manifest.rules.rules == []
