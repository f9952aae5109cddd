"""Ready is shown when the edges have it, or a second later."""

import pytest

from scalemesh.core.state import State
from scalemesh.db.tables import Deployment
from scalemesh.deployments.views import SETTLING_MS, shown_state


@pytest.mark.parametrize(
    ("acknowledged", "after_ms", "expected"),
    [
        (4, 0, State.BUILDING),
        (5, 0, State.READY),
        (6, 0, State.READY),
        (None, 0, State.READY),
        (4, SETTLING_MS - 1, State.BUILDING),
        (4, SETTLING_MS, State.READY),
    ],
)
def test_ready(acknowledged: int | None, after_ms: int, expected: State) -> None:
    row = Deployment(state=State.READY, ready_at=1000, route_version=5)
    assert shown_state(row, 1000 + after_ms, acknowledged) == expected


@pytest.mark.parametrize("state", [State.QUEUED, State.BUILDING, State.ERROR, State.CANCELED])
def test_others_are_what_they_are(state: State) -> None:
    assert shown_state(Deployment(state=state), 0, 0) == state
