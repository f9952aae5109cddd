from pathlib import Path

import pytest

from scalemesh.main.serve import serve


@pytest.mark.parametrize("part", ["api", "dispatcher"])
def test_processes_of_their_own_do_not_share_an_sqlite_file(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCALEMESH_LOG_BUS_URL", "redis://localhost:1")
    with pytest.raises(SystemExit, match="2"):
        serve(part, data_dir=tmp_path)
    assert "SCALEMESH_DATABASE_URL: SQLite" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["api", "dispatcher", "pump"])
def test_processes_of_their_own_need_a_bus_between_them(
    part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        serve(part, data_dir=tmp_path)
    assert "SCALEMESH_LOG_BUS_URL" in capsys.readouterr().err
