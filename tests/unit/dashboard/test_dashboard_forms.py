"""What the forms do: one act each, then another page."""

import httpx
import pytest

from scalemesh.errors import Conflict, InvalidInput
from tests.unit.dashboard.memory_services import MemoryServices, deployment, project

READY = "dpl_01jdy5q8v3k5w7x9z2b4c6d8f0"
FOUND = {
    "git_url": "https://github.com/acme/blog.git",
    "name": "blog",
    "branch": "main",
    "root_directory": "",
    "framework_name": "Vite",
    "commit": "3f9c2ab",
    "message": "m",
    "install_command": "npm ci",
    "build_command": "npm run build",
    "output_directory": "dist",
    "detected_install_command": "npm ci",
    "detected_build_command": "npm run build",
    "detected_output_directory": "dist",
    "env": "",
}


async def test_peek_shows_what_was_found(member: httpx.AsyncClient) -> None:
    answer = await member.post("/new/peek", data={"git_url": "https://github.com/acme/blog.git"})

    assert 'value="npm run build"' in answer.text
    assert 'name="name" type="text" value="blog"' in answer.text
    assert "Vite" in answer.text


async def test_peek_failure_is_said_beside_the_field(member: httpx.AsyncClient, services: MemoryServices) -> None:
    services.sources.refuse = InvalidInput("There is no repository.", field="git_url")

    answer = await member.post("/new/peek", data={"git_url": "https://github.com/acme/blog"})

    assert answer.status_code == 422
    assert "There is no repository." in answer.text
    assert 'value="git@github.com:acme/blog.git"' in answer.text  # the way in for a private one


async def test_a_repository_that_nothing_recognises_can_still_be_set_by_hand(
    member: httpx.AsyncClient, services: MemoryServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.dashboard import memory_services

    monkeypatch.setattr(memory_services.MemoryPeek, "plan", None)
    monkeypatch.setattr(memory_services.MemoryPeek, "problem", "No build script and no index.html.")

    answer = await member.post("/new/peek", data={"git_url": "https://github.com/acme/blog.git"})

    assert answer.status_code == 200
    assert "No build script and no index.html." in answer.text


async def test_one_click_deploys(member: httpx.AsyncClient, services: MemoryServices) -> None:
    answer = await member.post("/new", data=FOUND)

    assert answer.headers["Location"] == "/deployments/dpl_new"
    (_, made) = services.projects.calls[0]
    assert made.git_url == FOUND["git_url"]
    assert made.production_branch == "main"
    assert services.deployments.calls[0][2].target == "production"


async def test_what_was_detected_is_left_to_detection(member: httpx.AsyncClient, services: MemoryServices) -> None:
    await member.post("/new", data=FOUND)

    settings = services.projects.calls[0][1].settings
    assert (settings.install_command, settings.build_command, settings.output_directory) == (None, None, None)


async def test_what_was_changed_becomes_a_setting(member: httpx.AsyncClient, services: MemoryServices) -> None:
    await member.post("/new", data=FOUND | {"build_command": "make site", "install_command": ""})

    settings = services.projects.calls[0][1].settings
    assert settings.build_command == "make site"
    assert settings.install_command == ""
    assert settings.output_directory is None


async def test_pasted_variables_are_secret(member: httpx.AsyncClient, services: MemoryServices) -> None:
    await member.post("/new", data=FOUND | {"env": "A=1\nB=two words"})

    kept = [call for call in services.projects.calls if call[0] == "set_env"]
    assert kept == [("set_env", "A", "1", {"secret": True}), ("set_env", "B", "two words", {"secret": True})]


async def test_no_project_is_left_when_its_first_deployment_fails(
    member: httpx.AsyncClient, services: MemoryServices
) -> None:
    services.deployments.refuse = InvalidInput("No branch 'main'.", field="branch")

    answer = await member.post("/new", data=FOUND)

    assert answer.status_code == 422
    assert services.projects.calls[-1] == ("delete", "prj_blog")
    assert "No branch" in answer.text
    assert 'value="npm run build"' in answer.text


async def test_a_bad_variable_line_makes_nothing(member: httpx.AsyncClient, services: MemoryServices) -> None:
    answer = await member.post("/new", data=FOUND | {"env": "A=1\nnonsense"})

    assert "Line 2" in answer.text
    assert services.projects.calls == []


async def test_deploy_with_a_key_leads_to_the_key(member: httpx.AsyncClient, services: MemoryServices) -> None:
    answer = await member.post("/new/with-key", data={"git_url": "git@github.com:acme/blog.git", "name": "blog"})

    assert answer.headers["Location"] == "/projects/blog/settings?notice=key-made"


@pytest.mark.parametrize(
    ("path", "form", "call", "to"),
    [
        (f"/deployments/{READY}/promote", {"next": "/projects/shop"}, "promote", "/projects/shop?notice=promoted"),
        (f"/deployments/{READY}/promote", {"next": "//evil"}, "promote", "/?notice=promoted"),
        (f"/deployments/{READY}/cancel", {}, "cancel", f"/deployments/{READY}?notice=canceled"),
        (f"/deployments/{READY}/redeploy", {}, "redeploy", "/deployments/dpl_new"),
        ("/projects/shop/rollback", {}, "rollback", "/projects/shop?notice=rolled-back"),
        ("/projects/shop/deploy", {}, "create", "/deployments/dpl_new"),
        ("/projects/shop/delete", {"confirm": "shop"}, "delete_project", "/?notice=deleted"),
    ],
)
async def test_an_act_and_where_it_leads(
    member: httpx.AsyncClient, services: MemoryServices, path: str, form: dict[str, str], call: str, to: str
) -> None:
    answer = await member.post(path, data=form)

    assert answer.status_code == 303
    assert answer.headers["Location"] == to
    assert [made[0] for made in services.deployments.calls] == [call]


async def test_deploying_a_branch_as_a_preview(member: httpx.AsyncClient, services: MemoryServices) -> None:
    await member.post("/projects/shop/deploy", data={"ref": "feature/x", "target": "preview"})

    new = services.deployments.calls[0][2]
    assert (new.ref, new.target) == ("feature/x", "preview")


@pytest.mark.parametrize("path", [f"/deployments/{READY}/cancel", "/projects/shop/rollback"])
async def test_a_conflict_is_said_on_the_page(member: httpx.AsyncClient, services: MemoryServices, path: str) -> None:
    services.deployments.refuse = Conflict("It is over already.", hint="Nothing to do.")

    answer = await member.post(path)

    assert answer.status_code == 409
    assert "It is over already." in answer.text


async def test_deleting_needs_the_name(member: httpx.AsyncClient, services: MemoryServices) -> None:
    answer = await member.post("/projects/shop/delete", data={"confirm": "shpo"})

    assert answer.status_code == 422
    assert services.deployments.calls == []


async def test_saving_settings_resets_what_is_empty(member: httpx.AsyncClient, services: MemoryServices) -> None:
    await member.post("/projects/shop/settings", data={"git_url": "https://x/y", "build_command": "make"})

    changes = services.projects.calls[0][2]
    assert changes.git_url == "https://x/y"
    assert changes.settings["build_command"] == "make"
    assert changes.settings["install_command"] is None


async def test_saving_how_the_queue_is_shared(member: httpx.AsyncClient, services: MemoryServices) -> None:
    page = (await member.get("/projects/shop/settings")).text
    assert 'name="skip_unaffected" value="yes" checked' in page
    assert 'name="cancel_running" value="yes">' in page
    form = {"concurrency": " 3 ", "cancel_running": "yes"}
    answer = await member.post("/projects/shop/queue", data=form)
    assert answer.headers["Location"] == "/projects/shop/settings?notice=saved"
    changes = services.projects.calls[0][2]
    assert (changes.concurrency, changes.cancel_running, changes.skip_unaffected) == (3, True, False)
    assert changes.settings == {}
    await member.post("/projects/shop/queue", data={"concurrency": ""})
    assert services.projects.calls[1][2].concurrency is None


async def test_concurrency_that_is_no_number_is_said_beside_its_field(
    member: httpx.AsyncClient, services: MemoryServices
) -> None:
    answer = await member.post("/projects/shop/queue", data={"concurrency": "many"})
    assert answer.status_code == 422
    assert "&#39;many&#39; is not a number." in answer.text
    assert services.projects.calls == []


async def test_setting_a_variable(member: httpx.AsyncClient, services: MemoryServices) -> None:
    form = {"key": "A", "value": " kept \r\nas typed", "target": "preview", "branch": "", "secret": "yes"}

    answer = await member.post("/projects/shop/env", data=form)

    options = {"secret": True, "target": "preview", "branch": None}
    assert services.projects.calls == [("set_env", "A", " kept \nas typed", options)]
    assert answer.headers["Location"] == "/projects/shop/env?notice=env-saved"


async def test_removing_a_variable_of_every_branch(member: httpx.AsyncClient, services: MemoryServices) -> None:
    await member.post("/projects/shop/env/remove", data={"key": "A", "target": "all", "branch": ""})

    assert services.projects.calls == [("remove_env", "A", "all", "")]


async def test_a_new_token_is_shown_once(member: httpx.AsyncClient) -> None:
    made = await member.post("/tokens", data={"name": "ci", "scope": "full", "days": "90"})
    later = await member.get("/tokens")

    assert "smp_0123456789" in made.text
    assert made.headers["Cache-Control"] == "no-store"
    assert "smp_0123456789" not in later.text


async def test_a_token_without_a_name_is_said_beside_the_field(member: httpx.AsyncClient) -> None:
    answer = await member.post("/tokens", data={"name": "", "days": "30"})

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert 'role="alert"' not in answer.text


async def test_an_error_that_no_field_shows_is_said_above(member: httpx.AsyncClient) -> None:
    answer = await member.post("/tokens", data={"name": "ci", "days": "never"})

    assert answer.status_code == 422
    assert answer.text.count('role="alert"') == 1
    assert "Days are a number." in answer.text


async def test_a_repository_error_of_a_deploy_is_said_above(
    member: httpx.AsyncClient, services: MemoryServices
) -> None:
    services.deployments.refuse = InvalidInput("The repository is gone.", field="git_url")

    answer = await member.post("/projects/shop/deploy")

    assert answer.text.count('role="alert"') == 1
    assert "The repository is gone." in answer.text


async def test_revoking_a_token(member: httpx.AsyncClient, services: MemoryServices) -> None:
    answer = await member.post("/tokens/tok_1/revoke")

    assert services.accounts.revoked == ["tok_1"]
    assert answer.headers["Location"] == "/tokens?notice=token-revoked"


async def test_notices_are_ours_alone(member: httpx.AsyncClient) -> None:
    known = (await member.get("/tokens?notice=token-revoked")).text
    forged = (await member.get("/tokens?notice=Call+this+number")).text

    assert "Token revoked." in known
    assert "Call this number" not in forged


async def test_a_form_over_the_limit_is_refused(member: httpx.AsyncClient) -> None:
    answer = await member.post("/new", data={"env": "x" * 300_000})

    assert answer.status_code == 413


async def test_a_form_that_is_not_text_is_refused(member: httpx.AsyncClient) -> None:
    answer = await member.post("/new", content=b"name=%ff%fe")

    assert answer.status_code == 422


async def test_what_is_live_is_shown_however_old_it_is(member: httpx.AsyncClient, services: MemoryServices) -> None:
    services.projects.all = [project("shop", production_deployment="dpl_old")]
    services.deployments.all = [deployment(f"dpl_{n}", "error") for n in range(20)] + [deployment("dpl_old")]

    assert 'href="/deployments/dpl_old"' in (await member.get("/projects/shop")).text
