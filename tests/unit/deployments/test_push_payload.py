"""What GitHub's push payload says."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.deployments.push import Push, parse
from scalemesh.errors import InvalidInput
from scalemesh.projects.hooks import is_signed

COMMIT, TREE = "1" * 40, "2" * 40


def payload(**changes: Any) -> bytes:
    head = {"id": COMMIT, "tree_id": TREE, "message": "Hello", "author": {"name": "Ada", "email": "a@example.org"}}
    whole = {"ref": "refs/heads/feat/x", "before": "0" * 40, "after": COMMIT, "deleted": False, "head_commit": head}
    return json.dumps(whole | {"repository": {"default_branch": "main"}} | changes).encode()


def push(message: str) -> Push:
    found = parse(payload(head_commit={"id": COMMIT, "message": message}))
    assert isinstance(found, Push)
    return found


def test_branch() -> None:
    assert parse(payload()) == Push("feat/x", COMMIT, TREE, "Hello", "Ada", "main")


def test_form() -> None:
    form = urlencode({"payload": payload().decode()}).encode()
    assert parse(form, "application/x-www-form-urlencoded; charset=utf-8") == parse(payload())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ref": "refs/tags/v1"}, "tag"),
        ({"deleted": True, "head_commit": None}, "branch_deleted"),
        ({"after": "0" * 40, "head_commit": None}, "branch_deleted"),
    ],
)
def test_none_of_ours(changes: dict[str, Any], why: str) -> None:
    assert parse(payload(**changes)) == why


@pytest.mark.parametrize(
    "marker",
    ["[skip ci]", "[ci skip]", "[CI Skip]", "[CI-Skip]", "[Skip-CI]", "[no ci]", "[skip cd]", "[CF-Pages-Skip]"],
)
def test_skip_markers(marker: str) -> None:
    assert push(f"Fix a typo\n\n{marker} it is only text").is_skipped


@pytest.mark.parametrize("message", ["skip ci", "Explain [skip] and ci", "Do not [skipci]", ""])
def test_other_messages_are_built(message: str) -> None:
    assert not push(message).is_skipped


@pytest.mark.parametrize("after", ["main", "--upload-pack=x", COMMIT[:-1]])
def test_after_must_be_a_commit(after: str) -> None:
    with pytest.raises(InvalidInput):
        parse(payload(after=after))


@given(st.binary(max_size=200), st.sampled_from(["application/json", "application/x-www-form-urlencoded"]))
def test_anything_else_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidInput):
        parse(body, content_type)


def test_githubs_own_example_of_a_signature() -> None:
    """From GitHub's documentation on validating deliveries."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert is_signed("It's a Secret to Everybody", b"Hello, World!", signature)
    assert not is_signed("It's a Secret to Everybody", b"Hello, World?", signature)


@pytest.mark.parametrize("signature", ["", "sha256=", "sha1=x", "ünicode"])
def test_no_secret_signs_nothing(signature: str) -> None:
    assert not is_signed("", b"", signature)
    assert not is_signed("secret", b"", signature)
