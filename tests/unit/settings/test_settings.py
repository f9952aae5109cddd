import importlib.util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.errors import BadSettings
from scalemesh.settings import load
from scalemesh.settings.load import parse_size

DOCS = Path(__file__).parents[3] / "docs"


def make_configuration() -> Any:
    spec = importlib.util.spec_from_file_location("make_configuration", DOCS / "make_configuration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_lists_every_setting_as_it_is() -> None:
    assert (DOCS / "configuration.md").read_text() == make_configuration().render()


def test_urls_follow_from_folder_and_ports() -> None:
    settings = load({}, data_dir=Path("/srv/mesh"), api_port=9000, edge_port=9001)
    assert settings.database_url == "sqlite+aiosqlite:////srv/mesh/scalemesh.db"
    assert (settings.url, settings.internal_url) == ("http://localhost:9000", "http://127.0.0.1:9000")
    assert settings.sites_url == "http://*.localhost:9001"


def test_command_line_wins_over_environment() -> None:
    settings = load({"SCALEMESH_API_PORT": "7000", "SCALEMESH_EDGE_PORT": "7001"}, api_port=9000, edge_port=None)
    assert (settings.api_port, settings.edge_port) == (9000, 7001)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCALEMESH_API_PORT", "eighty"),
        ("SCALEMESH_API_PORT", "70000"),
        ("SCALEMESH_GIT_ALLOW_PRIVATE", "maybe"),
        ("SCALEMESH_BUILD_MEMORY", "4 bananas"),
        ("SCALEMESH_SITES_URL", "http://apps.example.org"),
        ("SCALEMESH_BUILD_SANDBOX", "chroot"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(BadSettings) as caught:
        load({name: value})
    assert caught.value.field == name


def test_secrets_are_masked() -> None:
    settings = load({"SCALEMESH_SECRET_KEY": "c2VjcmV0", "SCALEMESH_SETUP_TOKEN": "hush"})
    assert "c2VjcmV0" not in repr(settings)
    assert "hush" not in repr(settings)


@given(st.integers(min_value=0, max_value=10**6), st.sampled_from(["KB", "MB", "GB", "TB", "kb", " gb"]))
def test_sizes_are_powers_of_1024(count: int, unit: str) -> None:
    power = {"K": 1, "M": 2, "G": 3, "T": 4}[unit.strip()[0].upper()]
    assert parse_size(f"{count}{unit}") == count * 1024**power


@pytest.mark.parametrize("name", ["DATABASE_URL", "LOG_BUS_URL", "LOG_ARCHIVE_URL"])
def test_addresses_with_passwords_are_masked(name: str) -> None:
    assert "hunter2" not in repr(load({f"SCALEMESH_{name}": "scheme://user:hunter2@host/name"}))
