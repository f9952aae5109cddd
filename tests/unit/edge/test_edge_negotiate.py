import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.edge.negotiate import preference


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, (("identity",),)),
        (b"", (("identity",),)),
        (b"gzip", (("gzip",), ("identity",))),
        (b"gzip, deflate, br, zstd", (("br", "gzip", "zstd"), ("identity",))),
        (b"br;q=0.5, gzip;q=1.0", (("gzip",), ("br",), ("identity",))),
        (b"br;q=0, gzip", (("gzip",), ("identity",))),
        (b"GZIP ; Q=0.8", (("gzip",), ("identity",))),
        (b"x-gzip", (("gzip",), ("identity",))),
        (b"*", (("br", "gzip", "identity", "zstd"),)),
        (b"*;q=0.5, gzip", (("gzip",), ("br", "identity", "zstd"))),
        (b"gzip;q=0.5, identity", (("identity",), ("gzip",))),
        (b"gzip, identity;q=0", (("gzip",),)),
        (b"gzip, *;q=0", (("gzip",),)),
        (b"*;q=0", (("identity",),)),
        (b"identity;q=0", (("identity",),)),
        (b"gzip;q=0.0001", (("identity",),)),
        (b"gzip;q=7", (("identity",),)),
        (b"compress", (("identity",),)),
    ],
)
def test_preference(accept: bytes | None, expected: tuple[tuple[str, ...], ...]) -> None:
    assert preference(accept) == expected


@given(st.binary(max_size=100))
def test_any_field_gives_an_order_without_repeats(accept: bytes) -> None:
    codings = [coding for group in preference(accept) for coding in group]
    assert codings
    assert len(codings) == len(set(codings))
    assert set(codings) <= {"br", "zstd", "gzip", "identity"}
