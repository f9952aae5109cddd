import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.buildserver.redaction import MIN_BYTES, Redactor, Stream

SECRET = "s3cr3t/with+odd chars&more"
secrets = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"), min_size=8)


def through(redactor: Redactor, chunks: list[bytes]) -> bytes:
    stream = Stream(redactor)
    return b"".join([*(stream.feed(chunk) for chunk in chunks), stream.finish()])


def test_value_itself() -> None:
    assert Redactor([SECRET]).text(f"token={SECRET}.") == "token=[redacted]."


@pytest.mark.parametrize(
    "encode",
    [
        lambda s: quote(s, safe=""),
        quote_plus,
        lambda s: quote(s, safe="").replace("%2B", "%2b").replace("%2F", "%2f"),
        html.escape,
        lambda s: s.encode().hex(),
        lambda s: s.encode().hex().upper(),
        lambda s: json.dumps({"k": s}),
        lambda s: base64.b64encode(s.encode()).decode(),
        lambda s: base64.urlsafe_b64encode(f"user:{s}".encode()).decode(),
        lambda s: base64.b64encode(f"ab{s}cd".encode()).decode(),
    ],
)
def test_encodings(encode: Callable[[str], str]) -> None:
    encoded = encode(SECRET)
    assert "[redacted]" in Redactor([SECRET]).text(encoded)
    assert encoded[12:-12] not in Redactor([SECRET]).text(encoded)


def test_wrapped_base64() -> None:
    secret = "".join(chr(33 + n % 90) for n in range(200))
    shown = Redactor([secret]).text(base64.encodebytes(secret.encode()).decode())
    assert base64.b64encode(secret.encode()).decode()[:70] not in shown


def test_each_line_of_a_key() -> None:
    key = "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----\n"
    assert Redactor([key]).text("mnopqrstuvwx") == "[redacted]"


def test_too_short_to_hide() -> None:
    assert Redactor(["1", "abc"]).text("1 abc") == "1 abc"


def test_no_secrets_hold_nothing_back() -> None:
    assert Stream(Redactor([])).feed(b"anything") == b"anything"


def test_beginning_of_a_secret_is_held_until_it_is_none() -> None:
    stream = Stream(Redactor(["password1"]))
    assert [stream.feed(b"my passw"), stream.feed(b"ay\n")] == [b"my ", b"passway\n"]


def test_secret_that_begins_with_another() -> None:
    redactor = Redactor(["abcd1234", "abcd1234-and-more"])
    assert through(redactor, [b"x abcd1234", b"-and-more y"]) == b"x [redacted] y"


@given(secret=secrets, before=st.binary(max_size=20), after=st.binary(max_size=20), data=st.data())
def test_no_cut_lets_a_secret_through(secret: str, before: bytes, after: bytes, data: st.DataObject) -> None:
    whole = before + secret.encode() + after
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert secret.encode() not in through(Redactor([secret]), chunks)


@given(chunks=st.lists(st.binary(max_size=30)), secret=st.text("ab", min_size=MIN_BYTES, max_size=6))
def test_what_is_no_secret_arrives_whole(chunks: list[bytes], secret: str) -> None:
    redactor = Redactor([secret])
    if redactor.mask(b"".join(chunks)) == b"".join(chunks):
        assert through(redactor, chunks) == b"".join(chunks)
