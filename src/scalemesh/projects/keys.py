"""Deploy keys: one ed25519 pair per project, in OpenSSH's own format."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def new_pair(comment: str) -> tuple[str, str]:
    """(private, public): the first for ssh's -i, the second for the repository's settings page."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    sealed = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return sealed, f"{public} {comment}"


def context(project_id: str) -> str:
    return f"deploy-key:{project_id}"
