import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.egress.allow import Entry, parse
from scalemesh.errors import BadSettings


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("db.example.org", Entry("db.example.org", None, None)),
        (" DB.example.org:5432 ", Entry("db.example.org", None, 5432)),
        ("localhost:8080", Entry("localhost", None, 8080)),
        ("10.0.0.0/8", Entry(None, ipaddress.ip_network("10.0.0.0/8"), None)),
        ("10.0.0.7:80", Entry(None, ipaddress.ip_network("10.0.0.7/32"), 80)),
        ("fd00::/8", Entry(None, ipaddress.ip_network("fd00::/8"), None)),
        ("fd00::1", Entry(None, ipaddress.ip_network("fd00::1/128"), None)),
        ("[::1]:80", Entry(None, ipaddress.ip_network("::1/128"), 80)),
    ],
)
def test_entries(text: str, entry: Entry) -> None:
    assert parse(text) == entry


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("localhost", "needs a port"),
        ("app.localhost", "needs a port"),
        ("127.0.0.1", "needs a port"),
        ("127.0.0.0/8", "needs a port"),
        ("0.0.0.0/0", "needs a port"),
        ("::1", "needs a port"),
        ("10.0.0.1/8", "host bits"),
        ("host:0", "not a port"),
        ("host:65536", "not a port"),
        ("host:http", "not a port"),
        ("http://host", "expected host"),
        ("-host", "expected host"),
        ("a b", "expected host"),
        ("*.example.org", "expected host"),
        ("", "expected host"),
    ],
)
def test_a_wrong_entry_says_why(text: str, why: str) -> None:
    with pytest.raises(BadSettings, match=why):
        parse(text)


@given(st.text(max_size=60))
def test_nothing_else_is_ever_raised(text: str) -> None:
    try:
        entry = parse(text)
    except BadSettings:
        return
    assert (entry.host is None) != (entry.network is None)
