"""The hook over HTTP: raw bytes, headers, and who may see the secret."""

import hashlib
import hmac
import json

from scalemesh.db.tables import Role
from tests.integration.api.conftest import Api, token_of

BODY = json.dumps({"ref": "refs/heads/main", "after": "a" * 40, "repository": {"default_branch": "main"}}).encode()


def headers(secret: str, body: bytes = BODY) -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1"}


async def test_push(api: Api) -> None:
    await api.kit.project(await api.actor())
    assert (await api.ok("GET", "/v1/projects/blog/hook"))["secret"] is None
    hook = await api.ok("POST", "/v1/projects/blog/hook")
    assert hook == await api.ok("GET", "/v1/projects/blog/hook")
    path = hook["url"].removeprefix("http://localhost:8000")
    answer = await api.ask("POST", path, token="", content=BODY, headers=headers(hook["secret"]))
    again = await api.ask("POST", path, token="", content=BODY, headers=headers(hook["secret"]))
    assert (answer.status_code, answer.json()) == (202, again.json())
    made = await api.ok("GET", f"/v1/deployments/{answer.json()['deployment']}")
    assert (made["trigger"], made["target"], made["state"]) == ("hook", "production", "queued")


async def test_changed_body_is_refused(api: Api) -> None:
    await api.kit.project(await api.actor())
    hook = await api.ok("POST", "/v1/projects/blog/hook")
    answer = await api.ask("POST", "/v1/hooks/blog", token="", content=BODY + b" ", headers=headers(hook["secret"]))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")


async def test_viewers_do_not_see_the_secret(api: Api) -> None:
    await api.kit.project(await api.actor())
    await api.ok("POST", "/v1/projects/blog/hook")
    viewer = await token_of(api.kit, "acme", Role.VIEWER)
    assert (await api.ask("GET", "/v1/projects/blog/hook", token=viewer)).status_code == 403
