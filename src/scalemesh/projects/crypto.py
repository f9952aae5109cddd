"""Secrets at rest: AES-256-GCM. A ciphertext is version (1 byte), key id (4), nonce (12), then the sealed bytes.

The context (`env:<project>:<key>…`) is authenticated: a ciphertext moved to another row does not open.
"""

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scalemesh.errors import BadSettings

KEY_BYTES = 32
_VERSION = b"\x01"
_HINT = "Make one with: python3 -c 'import base64,os; print(base64.b64encode(os.urandom(32)).decode())'"


class Cipher:
    """Seals with the first key, opens with any of them: put a new key in front to rotate."""

    def __init__(self, *keys: bytes) -> None:
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def encrypt(self, plain: str, context: str) -> bytes:
        nonce = secrets.token_bytes(12)
        sealed = self._keys[self._current].encrypt(nonce, plain.encode(), context.encode())
        return _VERSION + self._current + nonce + sealed

    def decrypt(self, data: bytes, context: str) -> str:
        """Raises BadSettings when the key is not ours, or the bytes are not what was sealed for this context."""
        key = self._keys.get(data[1:5])
        if data[:1] != _VERSION or key is None:
            raise BadSettings(
                "A stored secret was encrypted with another key.",
                hint="Set SCALEMESH_SECRET_KEY to the key of this database, or put back <data>/secret.key.",
                field="SCALEMESH_SECRET_KEY",
            )
        try:
            return key.decrypt(data[5:17], data[17:], context.encode()).decode()
        except InvalidTag as error:
            raise BadSettings("A stored secret has been damaged or moved.", code="secret_damaged") from error


def load_or_create_key(secret_key: str, path: Path) -> bytes:
    """The key from the setting, else from the file `path` (0600), which is made the first time."""
    if secret_key:
        return _decode(secret_key, "SCALEMESH_SECRET_KEY")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _decode(path.read_text().strip(), str(path))
    key = secrets.token_bytes(KEY_BYTES)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(key) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return key


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BadSettings(f"{where}: not base64.", hint=_HINT, field="SCALEMESH_SECRET_KEY") from error
    if len(key) != KEY_BYTES or len(set(key)) < 8:  # a constant is no key
        raise BadSettings(f"{where}: expected {KEY_BYTES} random bytes.", hint=_HINT, field="SCALEMESH_SECRET_KEY")
    return key


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"scalemesh key id" + key).digest()[:4]
