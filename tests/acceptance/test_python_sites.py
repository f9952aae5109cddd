"""Sites of Python generators, installed by uv from the package index and built in the sandbox."""

import pytest

from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(600)]

SPHINX = "project = 'Notes'\nextensions = []\nexclude_patterns = ['_build']\n"
SITES: dict[str, tuple[str, dict[str, str | bytes]]] = {
    "mkdocs-material": (
        "mkdocs",
        {
            "mkdocs.yml": "site_name: Notes\ntheme:\n  name: material\n  font: false\n",
            "requirements.txt": "mkdocs-material\n",
            "docs/index.md": "# Notes\n\nWritten *today*.\n",
        },
    ),
    "sphinx-top": ("sphinx", {"conf.py": SPHINX, "index.rst": "Notes\n=====\n\nWritten *today*.\n"}),
    "sphinx-source": (
        "sphinx",
        {
            "docs/source/conf.py": SPHINX,
            "docs/source/index.rst": "Notes\n=====\n\nWritten *today*.\n",
            "pyproject.toml": "[project]\nname = 'notes'\nversion = '1'\ndependencies = ['sphinx']\n",
            ".python-version": "3\n",
        },
    ),
    "pelican": (
        "pelican",
        {
            "pelicanconf.py": "SITENAME = 'Notes'\nTIMEZONE = 'UTC'\n",
            "content/one.md": "Title: One\nDate: 2026-01-01\n\nWritten *today*.\n",
        },
    ),
}


@pytest.mark.parametrize("name", SITES)
def test_a_python_site(platform: Platform, git: Repositories, name: str) -> None:
    framework, files = SITES[name]
    platform.project(name, git.create(name, files))
    deployed = platform.ended(platform.deploy(name)["id"], within_s=500)
    assert deployed["state"] == "ready", platform.log_text(deployed["id"])
    assert deployed["plan"]["framework"] == framework
    assert b"<em>today</em>" in platform.get(deployed["url"]).body


def test_a_python_that_is_not_there(platform: Platform, git: Repositories) -> None:
    platform.project("old-python", git.create("old-python", {"mkdocs.yml": "site_name: x", ".python-version": "3.99"}))
    deployed = platform.ended(platform.deploy("old-python")["id"], within_s=200)
    assert deployed["error"]["code"] == "python_version", platform.log_text(deployed["id"])
