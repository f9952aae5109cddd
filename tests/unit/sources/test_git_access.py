import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.core.build import Credentials
from scalemesh.core.git import KNOWN_HOSTS, GitAccess, check_commit, check_ref, fetch
from scalemesh.core.git_url import GitUrl
from scalemesh.errors import InvalidInput

# As published by GitHub, GitLab and Atlassian.
FINGERPRINTS = {
    "github.com": "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
    "gitlab.com": "eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
    "bitbucket.org": "ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
}


def access(url: str, **credentials: str) -> GitAccess:
    return GitAccess.of(GitUrl.parse(url, ("https", "ssh", "http")), Credentials(**credentials), "/git")


def test_host_keys_are_the_published_ones() -> None:
    keys = {host: base64.b64decode(line.split()[1]) for host, line in KNOWN_HOSTS.items()}
    digests = {host: base64.b64encode(hashlib.sha256(key).digest()).decode() for host, key in keys.items()}
    assert digests == {host: fingerprint + "=" for host, fingerprint in FINGERPRINTS.items()}


def test_only_the_repository_s_own_transport_is_allowed() -> None:
    assert access("https://h.example/a").environment()["GIT_ALLOW_PROTOCOL"] == "https"


def test_credentials_belong_to_the_repository_s_own_host() -> None:
    files = access("https://h.example:8443/a", username="ada", password="secret").files()
    assert '[credential "https://h.example:8443"]' in files["config"]
    assert files["login"] == "username=ada\npassword=secret\n"


def test_no_secret_is_in_the_environment() -> None:
    assert "secret" not in str(access("https://h.example/a", password="secret").environment())


def test_ssh_without_a_deploy_key() -> None:
    with pytest.raises(InvalidInput) as raised:
        access("git@github.com:a/b")
    assert raised.value.code == "deploy_key_missing"


def test_ssh_to_a_host_whose_key_is_not_known() -> None:
    with pytest.raises(InvalidInput) as raised:
        access("git@h.example:a/b", deploy_key="key")
    assert raised.value.code == "host_key_unknown"


def test_own_known_hosts_replace_the_shipped_ones() -> None:
    files = access("git@github.com:a/b", deploy_key="key", known_hosts="github.com ssh-rsa A").files()
    assert files["known_hosts"] == "github.com ssh-rsa A\n"


def test_a_password_that_would_add_lines_is_refused() -> None:
    with pytest.raises(InvalidInput) as raised:
        access("https://h.example/a", password="a\nhost=other.example")
    assert raised.value.code == "invalid_credentials"


BAD_REFS = [
    "",
    "-x",
    "+x",
    "--upload-pack=x",
    "a b",
    "a..b",
    "a:b",
    "*",
    "a\nb",
    ".a",
    "a/.b",
    "a.lock",
    "@",
    "@{1}",
    "a/",
]
MORE_BAD_REFS = ["/a", "a//b", "a^", "a~1", "a\\b", "a?", "a[b", "é\u202e", "a.", "x" * 1001]


@pytest.mark.parametrize("ref", [*BAD_REFS, *MORE_BAD_REFS])
def test_refuses_refs(ref: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        check_ref(ref)
    assert raised.value.code == "invalid_ref"


@pytest.mark.parametrize(
    "ref", ["main", "feature/ü-1", "v1.0", "refs/heads/x", "a@b", "dependabot/npm_and_yarn/x-1.2.3"]
)
def test_accepts_refs(ref: str) -> None:
    assert check_ref(ref) == ref


@given(st.text(max_size=50))
def test_an_accepted_ref_is_one_name(ref: str) -> None:
    try:
        check_ref(ref)
    except InvalidInput:
        return
    assert not ref.startswith(("-", "+"))
    assert not set(ref) & set(" :*?[\\^~\n\0")


@pytest.mark.parametrize("commit", ["main", "A" * 40, "a" * 39, "a" * 41, "a" * 40 + "\n"])
def test_refuses_commits(commit: str) -> None:
    with pytest.raises(InvalidInput):
        check_commit(commit)


def test_the_address_follows_the_end_of_options() -> None:
    argv = fetch(GitUrl.parse("https://h.example/a"), "a" * 40)
    assert argv[argv.index("--") :] == ("--", "https://h.example/a", "a" * 40)
