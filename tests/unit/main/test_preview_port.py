import socket
from pathlib import Path

import pytest

from scalemesh.errors import BadSettings
from scalemesh.main.preview import preview


def test_a_taken_port_names_the_option_and_nothing_is_said_to_be_served(tmp_path: Path) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadSettings) as refused:
        preview(tmp_path, taken.getsockname()[1], said.append)
    assert ("--port" in (refused.value.hint or ""), said) == (True, [])
