"""`make fuzz`: atheris on one target, `python -m tests.fuzz.run TARGET …`; what follows is libFuzzer's.

For example `-max_total_time=60`, a folder for what it learns, or a file that failed. llhttp and RE2 cannot be watched
from here, so each target begins with examples and words that get past them.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import atheris

with atheris.instrument_imports(include=["scalemesh.edge", "scalemesh.rules"]):
    from tests import rules_cases
    from tests.fuzz import targets

_HEADS = (
    "GET /a.txt HTTP/1.1|Host: s|Range: bytes=0-4,9-|Accept-Encoding: gzip;q=0.5||GET / HTTP/1.1||",
    'HEAD /old/x?y=%2f HTTP/1.0|Connection: keep-alive|If-None-Match: "a", *||OPTIONS * HTTP/1.1|Host: s||',
    "POST http://s/q?x=1 HTTP/1.1|Host: s|Transfer-Encoding: chunked||3|abc|0|X: y||GET /c",
    "GET /c HTTP/1.1|Host: s|Cookie: n=v|Upgrade: websocket|Connection: upgrade||\x81\x00",
    "PUT /%c3%a9/../a HTTP/1.1|Host: s:80|Content-Length: 3|Expect: 100-continue|If-Match: x||abc",
)
REQUESTS = [head.replace("|", "\r\n").encode("latin-1") for head in _HEADS]


class Target(NamedTuple):
    """`examples` are made when wanted."""

    run: Callable[[bytes], object]
    examples: Callable[[], Iterator[bytes]]
    words: Sequence[str]


def request_path() -> Target:
    """The first byte says how large the pieces are; the rest is what a client sends."""
    path = targets.RequestPath()

    def feed(data: bytes) -> None:
        size, stream = 1 + (data[0] if data else 0), data[1:]
        path.feed(*(stream[start : start + size] for start in range(0, len(stream), size)))

    words = sorted({word for request in REQUESTS for word in request.decode("latin-1").split()})
    return Target(feed, lambda: (b"\xff" + request for request in REQUESTS), [*words, "\r\n", "\r\n\r\n"])


def rules() -> Target:
    def examples() -> Iterator[bytes]:
        for case in rules_cases.cases():
            for path in case.iterdir():
                if path.name in targets.NAMES:
                    yield from (bytes([targets.NAMES.index(path.name), n]) + path.read_bytes() for n in range(3))

    words = "redirects rewrites headers routes source destination has missing [[redirects]] from to status force"
    return Target(targets.read_any_rules, examples, [*words.split(), "(?!", ":splat", "/*", "301!", "[[headers]]"])


def matcher() -> Target:
    fixed = rules_cases.parse(targets.RULES, *targets.PATHS).rules
    examples = [b"/old/a/b\n?x=1", b"/q\nx=%2f%2fe.example", b"/c\nn=%0d%0a", b"/a/b.txt", b"/api/x"]
    return Target(
        lambda data: targets.answer_any(fixed, data), lambda: iter(examples), ["%2e", "%2f", "//", "..", "\\"]
    )


TARGETS = {"request": request_path, "rules": rules, "matcher": matcher}


def main() -> None:
    target = TARGETS[sys.argv[1]]()
    with tempfile.TemporaryDirectory(prefix="scalemesh-fuzz-") as folder:
        examples, words = Path(folder) / "examples", Path(folder) / "words"
        examples.mkdir()
        for number, example in enumerate(target.examples()):
            (examples / str(number)).write_bytes(example)
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        options = [f"-dict={words}", "-max_len=4096", *sys.argv[2:]]
        single = [Path(option) for option in sys.argv[2:] if Path(option).is_file()]
        atheris.Setup([sys.argv[0], *options, *([] if single else [str(examples)])], target.run)
        atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(f"\\x{ord(letter):02x}" for letter in word)


if __name__ == "__main__":
    main()
