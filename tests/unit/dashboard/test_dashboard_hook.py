"""The push hook among a project's settings."""

import httpx

from scalemesh.db.tables import Role
from tests.unit.dashboard.memory_services import MemoryServices


async def test_made_shown_removed(member: httpx.AsyncClient, services: MemoryServices) -> None:
    page = await member.get("/projects/shop/settings")
    assert 'value="http://localhost:8000/v1/hooks/prj_shop"' in page.text
    made = await member.post("/projects/shop/hook")
    assert made.headers["Location"] == "/projects/shop/settings?notice=hook-made"
    assert 'value="smh_secret-of-the-hook"' in (await member.get("/projects/shop/settings")).text
    await member.post("/projects/shop/hook/remove")
    assert "smh_" not in (await member.get("/projects/shop/settings")).text


async def test_viewers_do_not_see_the_secret(member: httpx.AsyncClient, services: MemoryServices) -> None:
    services.projects.hook_secret = "smh_hush"
    actor = services.accounts.actor
    services.accounts.actor = type(actor)(actor.user_id, actor.team_id, actor.team_slug, Role.VIEWER)
    page = await member.get("/projects/shop/settings")
    assert page.status_code == 200
    assert "smh_hush" not in page.text
