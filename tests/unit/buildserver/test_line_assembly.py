import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.buildserver.lines import LineAssembler, Piece, level_of, split
from scalemesh.core.logs import MAX_LINE_BYTES


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def assembled(*chunks: bytes) -> list[Piece]:
    assembler = LineAssembler(Seconds())
    return [piece for chunk in chunks for piece in assembler.feed(chunk)] + list(assembler.finish())


def texts(*chunks: bytes) -> list[str]:
    return [piece.text for piece in assembled(*chunks)]


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a\r\nb"], ["a", "b"]),
        ([b"a\r", b"\nb\n"], ["a", "b"]),
        ([b"one", b" line\n"], ["one line"]),
        ([b"\n\n"], ["", ""]),
        ([b"no newline"], ["no newline"]),
        ([b"\xff\xfe\n"], ["\ufffd\ufffd"]),
        (["é\n".encode()[:1], "é\n".encode()[1:]], ["é"]),
        ([b"nul\0\n"], ["nul\ufffd"]),
        ([], []),
    ],
)
def test_lines(chunks: list[bytes], lines: list[str]) -> None:
    assert texts(*chunks) == lines


def test_progress_shows_its_first_and_its_last_state() -> None:
    assert texts(b"10%\r20%\r30%\r", b"100%\n") == ["10%", "100%"]


def test_progress_is_sampled_once_a_second() -> None:
    clock = Seconds()
    assembler = LineAssembler(clock)
    shown = []
    for n in range(6):
        clock.now = n * 0.5
        shown += [piece.text for piece in assembler.feed(b"%d\rx" % n)]
    assert shown == ["0", "x2", "x4"]


def test_long_line_is_split_and_marked() -> None:
    pieces = assembled(b"x" * (2 * MAX_LINE_BYTES + 10) + b"\n")
    assert [(len(p.text), p.partial) for p in pieces] == [(MAX_LINE_BYTES, True), (MAX_LINE_BYTES, True), (10, False)]


def test_endless_line_is_not_kept_in_memory() -> None:
    assembler = LineAssembler(Seconds())
    pieces = [piece for _ in range(100) for piece in assembler.feed(b"y" * 4096)]
    assert sum(len(p.text) for p in pieces) > 90 * 4096
    assert all(p.partial for p in pieces)


@given(st.binary(max_size=100), st.lists(st.integers(0, 100)))
def test_chunks_do_not_matter(data: bytes, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    data = data.replace(b"\r", b"")
    assert texts(*(data[a:b] for a, b in pairwise(bounds))) == texts(data)


@given(st.text(min_size=1, max_size=200), st.integers(4, 50))
def test_split_keeps_every_character(text: str, limit: int) -> None:
    text = text.encode(errors="replace").decode()
    pieces = split(text, limit)
    assert "".join(p.text for p in pieces) == text
    assert all(len(p.text.encode()) <= limit for p in pieces)
    assert [p.partial for p in pieces] == [True] * (len(pieces) - 1) + [False]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("npm warn deprecated rimraf@3", "warn"),
        ("npm ERR! code E404", "error"),
        ("\x1b[31merror\x1b[0m during build", "error"),
        ("[WARN] careful", "warn"),
        ("Error: no such file", "error"),
        ("errors: 0", "info"),
        ("compiled without warnings", "info"),
    ],
)
def test_level(text: str, level: str) -> None:
    assert level_of(text) == level


def test_a_flood_of_returns_costs_time_in_proportion_and_no_memory() -> None:
    assembler = LineAssembler()
    started = time.process_time()
    shown = [piece for _ in range(40) for piece in assembler.feed(b"\r" * 65536)]  # by its square: minutes
    assert time.process_time() - started < 5
    assert shown == []
    assert [piece.text for piece in assembler.feed(b"\nafter\n")] == ["", "after"]
