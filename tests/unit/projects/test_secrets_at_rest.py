"""AES-GCM, the key id, and the key's file."""

import base64
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.errors import BadSettings
from scalemesh.projects import Cipher, load_or_create_key

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_round_trip(plain: str, context: str) -> None:
    cipher = Cipher(KEY)
    assert cipher.decrypt(cipher.encrypt(plain, context), context) == plain


def test_same_plain_text_looks_different_each_time() -> None:
    assert Cipher(KEY).encrypt("x", "c") != Cipher(KEY).encrypt("x", "c")


def test_moved_to_another_place() -> None:
    sealed = Cipher(KEY).encrypt("x", "env:1")
    with pytest.raises(BadSettings, match="moved"):
        Cipher(KEY).decrypt(sealed, "env:2")


def test_damaged() -> None:
    sealed = Cipher(KEY).encrypt("x", "c")
    with pytest.raises(BadSettings):
        Cipher(KEY).decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]), "c")


def test_other_key_names_the_setting() -> None:
    with pytest.raises(BadSettings) as caught:
        Cipher(OTHER).decrypt(Cipher(KEY).encrypt("x", "c"), "c")
    assert caught.value.field == "SCALEMESH_SECRET_KEY"


def test_rotated() -> None:
    old = Cipher(KEY).encrypt("x", "c")
    both = Cipher(OTHER, KEY)
    assert both.decrypt(old, "c") == "x"
    assert Cipher(OTHER).decrypt(both.encrypt("y", "c"), "c") == "y"


def test_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    key = load_or_create_key("", path)
    assert load_or_create_key("", path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_setting_wins_over_the_file(tmp_path: Path) -> None:
    load_or_create_key("", tmp_path / "secret.key")
    assert load_or_create_key(base64.b64encode(KEY).decode(), tmp_path / "secret.key") == KEY


@pytest.mark.parametrize(
    "key", ["change-me", "not base64!", base64.b64encode(bytes(32)).decode(), base64.b64encode(KEY[:16]).decode()]
)
def test_weak_key_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings) as caught:
        load_or_create_key(key, tmp_path / "secret.key")
    assert key not in str(caught.value)
