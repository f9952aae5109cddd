"""Ctrl-C while a log is shown."""

import pytest
from typer.testing import CliRunner

from scalemesh.cli.app import app
from scalemesh.client import stream


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_says_how_to_watch_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEMESH_TOKEN", "smp_x")
    monkeypatch.setattr(stream, "follow", interrupted)
    done = CliRunner().invoke(app, ["logs", "dpl_1", "-f"])
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == "No longer watching. Go on with: scalemesh logs dpl_1 -f\n"
