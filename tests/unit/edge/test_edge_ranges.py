import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.edge.ranges import Span, byte_ranges

TAG = b'"abc"'


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"bytes=0-0", [(0, 0)]),
        (b"bytes=2-4", [(2, 4)]),
        (b"bytes=2-", [(2, 9)]),
        (b"bytes=2-99", [(2, 9)]),
        (b"bytes=-3", [(7, 9)]),
        (b"bytes=-99", [(0, 9)]),
        (b"bytes=2-99999999999999999999999", [(2, 9)]),
        (b"bytes=99999999999999999999999-", 416),
        (b"BYTES=1-1", [(1, 1)]),
        (b"bytes=10-", 416),
        (b"bytes=-0", 416),
        (b"bytes=4-2", 200),
        (b"bytes=", 200),
        (b"bytes=-", 200),
        (b"bytes=a-b", 200),
        (b"lines=0-1", 200),
        (b"bytes=0-1,3-4", [(0, 4)]),
        (b"bytes=5-6, 0-7", [(0, 7)]),
        (b"bytes=99-,1-2", [(1, 2)]),
        (b"bytes=1-2,,", [(1, 2)]),
        (b"bytes=0-1,x", 200),
        (b"bytes=0-1,4-2", 200),
        (b"bytes=99-,-0", 416),
        (b"bytes=" + b",".join([b"0-0"] * 16), [(0, 0)]),
        (b"bytes=" + b",".join([b"0-0"] * 17), 200),
    ],
)
def test_byte_range_of_ten_bytes(field: bytes, expected: list[Span] | int) -> None:
    assert byte_ranges({b"range": field}, TAG, 10) == expected


def test_if_range_must_match_strongly() -> None:
    assert byte_ranges({b"range": b"bytes=0-1", b"if-range": TAG}, TAG, 10) == [(0, 1)]
    assert byte_ranges({b"range": b"bytes=0-1", b"if-range": b'W/"abc"'}, TAG, 10) == 200
    assert byte_ranges({b"range": b"bytes=0-1", b"if-range": b"Sat, 29 Oct 1994 19:43:31 GMT"}, TAG, 10) == 200


def test_ranges_far_apart_stay_apart_and_come_in_order() -> None:
    assert byte_ranges({b"range": b"bytes=900-999,0-9,-1"}, TAG, 10_000) == [(0, 9), (900, 999), (9999, 9999)]


@given(st.lists(st.from_regex(rb"\d{0,4}-\d{0,4}", fullmatch=True) | st.binary(max_size=9)), st.integers(0, 3000))
def test_ranges_lie_within_the_file_and_never_overlap(fields: list[bytes], size: int) -> None:
    found = byte_ranges({b"range": b"bytes=" + b",".join(fields)}, TAG, size)
    if isinstance(found, int):
        assert found in {200, 416}
    else:
        edges = [edge for span in found for edge in span]
        assert edges == sorted(edges)
        assert edges[0] >= 0
        assert edges[-1] < size
