import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.core.git_url import DEFAULT_PORTS, GitUrl
from scalemesh.errors import InvalidInput

ALL = tuple(DEFAULT_PORTS)


@pytest.mark.parametrize(
    ("url", "text", "transport", "host", "port", "name"),
    [
        ("https://github.com/a/b", "https://github.com/a/b", "https", "github.com", 443, "b"),
        (" https://GitHub.com/a/b.git ", "https://github.com/a/b.git", "https", "github.com", 443, "b"),
        ("https://git.example.org:8443/b", "https://git.example.org:8443/b", "https", "git.example.org", 8443, "b"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git", "ssh", "github.com", 22, "b"),
        ("ssh://git@example.org:2222/a/b", "ssh://git@example.org:2222/a/b", "ssh", "example.org", 2222, "b"),
        ("https://h.example/%C3%BC%20x.git", "https://h.example/%C3%BC%20x.git", "https", "h.example", 443, "ü x"),
        ("http://[2606:4700::1]:80/b", "http://[2606:4700::1]/b", "http", "2606:4700::1", 80, "b"),
        ("file:///srv/b.git", "file:///srv/b.git", "file", "", 0, "b"),
    ],
)
def test_parses(url: str, text: str, transport: str, host: str, port: int, name: str) -> None:
    parsed = GitUrl.parse(url, ALL)
    expected = (text, transport, host, port, name)
    assert (parsed.text, parsed.transport, parsed.host, parsed.port, parsed.name) == expected


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "invalid_git_url"),
        ("--upload-pack=touch /tmp/x", "invalid_git_url"),
        ("-oProxyCommand=x", "invalid_git_url"),
        ("ssh://-oProxyCommand=x/a", "invalid_git_url"),
        ("ssh://-oProxyCommand@h.example/a", "invalid_git_url"),
        ("git@-oProxyCommand=x:a", "invalid_git_url"),
        ("git@h.example:-x", "invalid_git_url"),
        ("https://h.example/a/--upload-pack=x", "invalid_git_url"),
        ("https://h.example/a/%2d-upload-pack=x", "invalid_git_url"),
        ("https://h.example", "invalid_git_url"),
        ("https://h.example/../a", "invalid_git_url"),
        ("https://h.example/%2e%2e/a", "invalid_git_url"),
        ("https://h.example/a?x=1", "invalid_git_url"),
        ("https://h.example/a#main", "invalid_git_url"),
        ("https://h.example/a b", "invalid_git_url"),
        ("https://h.example/a\nb", "invalid_git_url"),
        ("https://h.example/a%0ab", "invalid_git_url"),
        ("https://h.example/$(id)", "invalid_git_url"),
        ("https://h.example:0/a", "invalid_git_url"),
        ("https://h.example:99999/a", "invalid_git_url"),
        ("https:///a", "invalid_git_url"),
        ("https://2130706433/a", "invalid_git_url"),
        ("https://0x7f.1/a", "invalid_git_url"),
        ("https://127.1/a", "invalid_git_url"),
        ("https://[::1/a", "invalid_git_url"),
        ("just-a-name", "invalid_git_url"),
        ("/srv/repository", "invalid_git_url"),
        ("../repository", "invalid_git_url"),
        ("https://" + "a" * 3000, "invalid_git_url"),
        ("https://ada@h.example/a", "credentials_in_url"),
        ("https://ada:secret@h.example/a", "credentials_in_url"),
        ("https://:@h.example/a", "credentials_in_url"),
        ("ssh://git:secret@h.example/a", "credentials_in_url"),
        ("http://h.example/a", "forbidden_transport"),
        ("git://h.example/a", "forbidden_transport"),
        ("file:///etc", "forbidden_transport"),
        ("ext::sh -c id", "invalid_git_url"),
        ("ext::id", "forbidden_transport"),
        ("fd::17/a", "forbidden_transport"),
        ("ftp://h.example/a", "forbidden_transport"),
        ("javascript://h.example/a", "forbidden_transport"),
        ("https://localhost/a", "address_forbidden"),
        ("https://x.localhost./a", "address_forbidden"),
        ("https://127.0.0.1/a", "address_forbidden"),
        ("https://10.0.0.1/a", "address_forbidden"),
        ("https://169.254.169.254/a", "address_forbidden"),
        ("https://100.64.0.1/a", "address_forbidden"),
        ("https://[::1]/a", "address_forbidden"),
        ("https://[::ffff:127.0.0.1]/a", "address_forbidden"),
        ("git@localhost:a", "address_forbidden"),
    ],
)
def test_refuses(url: str, code: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        GitUrl.parse(url)
    assert raised.value.code == code


@pytest.mark.parametrize("url", ["https://ada:secret@h.example/a", "https://ada:secret@h.example/a?b", "a:secret@b\nc"])
def test_no_refusal_repeats_a_password(url: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        GitUrl.parse(url)
    assert "secret" not in f"{raised.value.message} {raised.value.hint}"


def test_private_addresses_where_the_operator_allows_them() -> None:
    assert GitUrl.parse("http://127.0.0.1:3000/a", allow_private=True).port == 3000


def test_allowing_private_addresses_allows_no_other_transport() -> None:
    with pytest.raises(InvalidInput) as raised:
        GitUrl.parse("file:///etc", allow_private=True)
    assert raised.value.code == "forbidden_transport"


HOSTS = ["host.example", "127.0.0.1", "[::1]", "git@", "a:b@", "repo.git"]
MARKS = [":", "/", "-", "..", "%2e", "%0a", "?", "#", "é", "\\", "$(id)", "`", "@", "\n", " ", "--x=y"]
PIECES = st.sampled_from(["https://", "ssh://", "file://", "ext::", *HOSTS, *MARKS])


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=8).map("".join)))
def test_anything_is_either_refused_or_harmless(url: str) -> None:
    try:
        parsed = GitUrl.parse(url, ALL)
    except InvalidInput:
        return
    assert not parsed.text.startswith("-")
    assert not parsed.host.startswith("-")
    assert "::" not in parsed.text.replace(f"[{parsed.host}]", "")
    assert parsed.text.isprintable()
    assert parsed.text.isascii()


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=8).map("".join)))
def test_parsing_its_own_text_again_changes_nothing(url: str) -> None:
    try:
        parsed = GitUrl.parse(url, ALL)
    except InvalidInput:
        return
    assert GitUrl.parse(parsed.text, ALL) == parsed
