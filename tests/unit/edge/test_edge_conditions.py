import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.edge.conditions import byte_range, precondition

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


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"bytes=0-0", (0, 0)),
        (b"bytes=2-4", (2, 4)),
        (b"bytes=2-", (2, 9)),
        (b"bytes=2-99", (2, 9)),
        (b"bytes=-3", (7, 9)),
        (b"bytes=-99", (0, 9)),
        (b"BYTES=1-1", (1, 1)),
        (b"bytes=10-", 416),
        (b"bytes=-0", 416),
        (b"bytes=4-2", 200),
        (b"bytes=", 200),
        (b"bytes=-", 200),
        (b"bytes=a-b", 200),
        (b"lines=0-1", 200),
        (b"bytes=0-1,3-4", 200),
    ],
)
def test_byte_range_of_ten_bytes(field: bytes, expected: tuple[int, int] | int) -> None:
    assert byte_range({b"range": field}, TAG, 10) == expected


def test_if_range_must_match_strongly() -> None:
    assert byte_range({b"range": b"bytes=0-1", b"if-range": TAG}, TAG, 10) == (0, 1)
    assert byte_range({b"range": b"bytes=0-1", b"if-range": b'W/"abc"'}, TAG, 10) == 200
    assert byte_range({b"range": b"bytes=0-1", b"if-range": b"Sat, 29 Oct 1994 19:43:31 GMT"}, TAG, 10) == 200


@given(st.binary(max_size=40), st.integers(0, 1000))
def test_a_range_lies_within_the_file(field: bytes, size: int) -> None:
    found = byte_range({b"range": b"bytes=" + field}, TAG, size)
    if isinstance(found, tuple):
        assert 0 <= found[0] <= found[1] < size
    else:
        assert found in {200, 416}
