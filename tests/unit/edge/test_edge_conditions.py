import pytest

from scalemesh.edge.conditions import precondition

TAG = b'"abc"'


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({b"if-none-match": b'"abc"'}, 304),
        ({b"if-none-match": b'W/"abc"'}, 304),
        ({b"if-none-match": b'"x", "abc"'}, 304),
        ({b"if-none-match": b"*"}, 304),
        ({b"if-none-match": b'"x"'}, None),
        ({b"if-none-match": b"abc"}, None),
        ({b"if-match": b'"abc"'}, None),
        ({b"if-match": b"*"}, None),
        ({b"if-match": b'"x"'}, 412),
        ({b"if-match": b'W/"abc"'}, 412),
        ({b"if-match": b'"x"', b"if-none-match": b'"abc"'}, 412),
    ],
)
def test_precondition(headers: dict[bytes, bytes], status: int | None) -> None:
    assert precondition(headers, TAG) == status
