"""Push hooks: one secret per project, and whether a request was signed with it."""

import hashlib
import hmac

PREFIX = "sha256="


def context(project_id: str) -> str:
    return f"hook:{project_id}"


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """GitHub's `X-Hub-Signature-256` over the raw bytes, compared in constant time. An empty secret signs nothing.

    https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    """
    if not secret:
        return False
    expected = PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())
