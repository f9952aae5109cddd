from pathlib import Path

import pytest

from scalemesh.main.banner import Banner, command

URL = "http://localhost:8000"


def test_first_run_has_the_link() -> None:
    link = f"{URL}/setup?token=sms_x"
    assert link in str(Banner(URL, "/data", link)).split()


def test_once_set_up_there_is_none() -> None:
    assert "one-time link" not in str(Banner(URL, "/data", None, "http://demo.localhost:8080"))


def test_live_site() -> None:
    assert "http://demo.localhost:8080" in str(Banner(URL, "/data", None, "http://demo.localhost:8080"))


def test_command_that_is_not_on_the_path_is_named_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    python = Path("/home/ada/mesh/.venv/bin/python")
    assert command(python, Path("/home/ada/mesh")) == ".venv/bin/scalemesh"
    assert command(python, Path("/tmp")) == "/home/ada/mesh/.venv/bin/scalemesh"
