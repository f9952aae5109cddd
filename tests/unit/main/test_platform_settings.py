"""What the settings become in the services."""

import pytest

from scalemesh.errors import BadSettings
from scalemesh.main.platform import _weights


def test_weights() -> None:
    assert _weights(("acme:4", "globex:1")) == {"acme": 4, "globex": 1}


@pytest.mark.parametrize("wrong", ["acme", ":4", "acme:", "acme:0", "acme:-1", "acme:x", "acme:1001"])
def test_wrong_weights_are_refused(wrong: str) -> None:
    with pytest.raises(BadSettings, match="team:share"):
        _weights((wrong,))
