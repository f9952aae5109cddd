"""The shapes that others script against."""

import re

from scalemesh.testing.factories import frames, ref
from tests.integration.api.conftest import Api

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_setup(api: Api) -> None:
    token = await api.kit.accounts.first_run()
    body = {"token": token, "email": "ada@example.org", "password": "a long password", "team": "First"}
    answer = await api.ask("POST", "/v1/setup", token="", json=body)
    assert answer.status_code == 201
    assert answer.json().keys() == {"user", "team", "token"}
    assert (await api.ask("GET", "/v1/me", token=answer.json()["token"])).json()["team"]["slug"] == "first"
    assert (await api.ask("POST", "/v1/setup", token="", json=body)).status_code in {401, 403, 409}


async def test_token_is_shown_once(api: Api) -> None:
    made = await api.ok("POST", "/v1/tokens", json={"name": "ci", "scope": "read", "expires_in_days": 7})
    listed = await api.ok("GET", "/v1/tokens")
    assert made["token"].startswith("smp_")
    assert [set(item) & {"token"} for item in listed["items"]] == [set()] * len(listed["items"])
    assert (await api.ask("DELETE", f"/v1/tokens/{made['id']}")).status_code == 204
    assert (await api.ask("GET", "/v1/me", token=made["token"])).status_code == 401


async def test_project(api: Api) -> None:
    new = {"name": "blog", "git_url": "https://git.example/blog.git", "root_directory": "web", "build_command": "make"}
    made = await api.ask("POST", "/v1/projects", json=new)
    assert made.status_code == 201
    assert made.json() == await api.ok("GET", "/v1/projects/blog")
    assert {name: made.json()[name] for name in new} == new
    assert TIME.fullmatch(made.json()["created_at"])


async def test_patch_changes_what_it_names(api: Api) -> None:
    new = {"name": "blog", "git_url": "https://git.example/blog.git", "build_command": "make"}
    await api.ok("POST", "/v1/projects", json=new)
    changed = await api.ok("PATCH", "/v1/projects/blog", json={"output_directory": "out", "build_command": None})
    assert (changed["output_directory"], changed["build_command"]) == ("out", None)
    assert changed["git_url"] == new["git_url"]


async def test_deployment(api: Api) -> None:
    await api.kit.project(await api.actor())
    answer = await api.ask("POST", "/v1/projects/blog/deployments", json={"target": "production", "ref": "main"})
    made = answer.json()
    assert (answer.status_code, made["state"], made["project"]) == (201, "queued", "blog")
    assert made.keys() >= {"id", "url", "aliases", "commit", "attempt", "error", "created_at", "ready_at", "steps"}
    assert (made["error"], made["ready_at"], made["aliases"], made["steps"]) == (None, None, [], [])
    assert re.fullmatch(r"http://blog-[a-z0-9]{12}\.localhost:8080", made["url"])


async def test_ready_deployment(api: Api) -> None:
    actor = await api.actor()
    await api.kit.project(actor)
    made = await api.kit.ready(actor, files={"/index.html": b"hi", "/about.html": b"me"})
    found = await api.ok("GET", f"/v1/deployments/{made.id}")
    assert (found["state"], found["aliases"]) == ("ready", ["http://blog.localhost:8080"])
    assert TIME.fullmatch(found["ready_at"])
    explained = await api.ok("GET", f"/v1/deployments/{made.id}/explain?path=/about?x=1")
    assert (explained["status"], explained["file"]) == (200, "/about.html")


async def test_pages_of_projects(api: Api) -> None:
    for name in ("a1", "a2", "a3"):
        await api.ok("POST", "/v1/projects", json={"name": name})
    first = await api.ok("GET", "/v1/projects?limit=2")
    second = await api.ok("GET", f"/v1/projects?limit=2&cursor={first['next']}")
    assert [item["name"] for item in first["items"] + second["items"]] == ["a3", "a2", "a1"]
    assert second["next"] is None


async def test_pages_of_files(api: Api) -> None:
    actor = await api.actor()
    await api.kit.project(actor)
    made = await api.kit.ready(actor, files={"/index.html": b"hi", "/about.html": b"me"})
    first = await api.ok("GET", f"/v1/deployments/{made.id}/files?limit=1")
    second = await api.ok("GET", f"/v1/deployments/{made.id}/files", params={"limit": 1, "cursor": first["next"]})
    assert [page["items"][0]["path"] for page in (first, second)] == ["/about.html", "/index.html"]
    assert second["next"] is None


async def test_env(api: Api) -> None:
    await api.kit.project(await api.actor())
    await api.ok("PUT", "/v1/projects/blog/env/TOKEN", json={"value": "s3cret", "secret": True})
    await api.ok("POST", "/v1/projects/blog/env", json={"key": "MODE", "value": "fast", "target": "preview"})
    listed = (await api.ok("GET", "/v1/projects/blog/env"))["items"]
    assert {item["key"]: item["value"] for item in listed} == {"MODE": "fast", "TOKEN": None}
    assert (await api.ask("DELETE", "/v1/projects/blog/env/MODE?target=preview")).status_code == 204
    assert (await api.ask("DELETE", "/v1/projects/blog/env/MODE")).status_code == 404


async def test_deploy_key_is_made_once(api: Api) -> None:
    await api.kit.project(await api.actor())
    assert (await api.ok("GET", "/v1/projects/blog/deploy-key")) == {"public_key": None}
    made = await api.ok("POST", "/v1/projects/blog/deploy-key")
    assert made["public_key"].startswith("ssh-ed25519 ")
    assert await api.ok("POST", "/v1/projects/blog/deploy-key") == made
    assert await api.ok("GET", "/v1/projects/blog/deploy-key") == made


async def test_upload_becomes_a_deployment(api: Api) -> None:
    await api.ok("POST", "/v1/projects", json={"name": "folder"})
    page = b"<h1>From a folder</h1>"
    blob = {"sha256": ref(page).sha256, "size": len(page)}
    wanted = await api.ok("POST", "/v1/projects/folder/uploads/missing", json={"blobs": [blob]})
    assert wanted == {"missing": [blob["sha256"]]}
    await api.ok("POST", "/v1/projects/folder/uploads/blobs", content=frames([page]))
    assert await api.ok("POST", "/v1/projects/folder/uploads/missing", json={"blobs": [blob]}) == {"missing": []}
    source = {"kind": "upload", "files": [{"path": "index.html", **blob}]}
    made = await api.ok("POST", "/v1/projects/folder/deployments", json={"source": source})
    assert (made["state"], made["source"], made["commit"]) == ("queued", "upload", None)


async def test_log_pages(api: Api) -> None:
    actor = await api.actor()
    await api.kit.project(actor)
    made = await api.kit.queued(actor)
    await (await api.kit.launched()).log("one", "two", "three")
    first = await api.ok("GET", f"/v1/deployments/{made.id}/logs?limit=2")
    second = await api.ok("GET", f"/v1/deployments/{made.id}/logs?after={first['next']}")
    lines = first["lines"] + second["lines"]
    assert [line["seq"] for line in lines] == [0, 1, 2, 3]
    assert [line["text"] for line in lines[1:]] == ["one", "two", "three"]
    assert lines[1].keys() >= {"seq", "ts", "stream", "level", "step", "text"}
    assert TIME.fullmatch(lines[1]["ts"])
    end = await api.ok("GET", f"/v1/deployments/{made.id}/logs?after={second['next']}")
    assert end == {"lines": [], "next": 3}


async def test_openapi_knows_bodies_answers_and_secrets(api: Api) -> None:
    document = (await api.ask("GET", "/openapi.json", token="")).json()
    create = document["paths"]["/v1/projects"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/CreateProject")
    assert create["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].endswith("/ProjectView")
    assert create["security"] == [{"token": []}, {"session": []}]
    assert document["paths"]["/v1/builds/{attempt}/claim"]["post"]["security"] == [{"build": []}]
    assert "security" not in document["paths"]["/v1/setup"]["post"]
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', (await api.ask("GET", "/openapi.json")).text))
    assert refs <= document["components"]["schemas"].keys()
