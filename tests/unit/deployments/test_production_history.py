"""What was production before, from the list of who moved it."""

import pytest

from scalemesh.db.tables import Promotion, PromotionKind
from scalemesh.deployments.promotion import _history

A, P, R = PromotionKind.AUTOMATIC, PromotionKind.PROMOTE, PromotionKind.ROLLBACK


@pytest.mark.parametrize(
    ("moves", "stack"),
    [
        ([], []),
        ([(A, "1"), (A, "2")], ["1", "2"]),
        ([(A, "1"), (A, "2"), (A, "3"), (R, "2")], ["1", "2"]),
        ([(A, "1"), (A, "2"), (A, "3"), (R, "2"), (R, "1")], ["1"]),
        ([(A, "1"), (A, "2"), (R, "1"), (P, "3")], ["1", "3"]),
        ([(A, "1"), (P, "2"), (P, "1")], ["1", "2", "1"]),
        ([(A, "1"), (P, "2"), (P, "1"), (R, "2")], ["1", "2"]),
    ],
)
def test_stack(moves: list[tuple[PromotionKind, str]], stack: list[str]) -> None:
    assert _history([Promotion(kind=kind, to_deployment_id=to) for kind, to in moves]) == stack
