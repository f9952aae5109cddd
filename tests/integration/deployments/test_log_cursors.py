"""The cursor of a deployment's log when many agents report at once."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.db import Database
from scalemesh.deployments.ingest import Advance, Cursors
from scalemesh.testing.factories import Agent, Kit


async def _agents(kit: Kit, count: int) -> list[Agent]:
    made = []
    for number in range(count):
        actor = await kit.actor(f"team{number}")
        await kit.project(actor)
        await kit.queued(actor)
        made.append(await kit.launched())
    return made


def _wanted(agent: Agent, count: int = 1, *, skip: int = 0) -> Advance:
    build = agent.build
    return Advance(build.deployment, build.attempt, agent.next_seq + skip, count)


async def test_advances_at_once_share_a_transaction(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    agents, cursors = await _agents(kit, 3), Cursors(kit.db)
    begun: list[Database] = []
    write = Database.write

    def counted(db: Database) -> AbstractAsyncContextManager[AsyncSession]:
        begun.append(db)
        return write(db)

    monkeypatch.setattr(Database, "write", counted)
    found = await asyncio.gather(*(cursors.advance(_wanted(agent)) for agent in agents))
    assert [each.next_seq for each in found if each] == [agent.next_seq + 1 for agent in agents]
    assert len(begun) == 1


async def test_one_that_leaves_a_gap_holds_nobody_back(kit: Kit) -> None:
    (one, two), cursors = await _agents(kit, 2), Cursors(kit.db)
    ahead, right = await asyncio.gather(cursors.advance(_wanted(one, skip=5)), cursors.advance(_wanted(two)))
    assert ahead is None
    assert right
    assert right.taken


async def test_one_may_continue_another_of_its_group(kit: Kit) -> None:
    (agent,), cursors = await _agents(kit, 1), Cursors(kit.db)
    group = [_wanted(agent, 2), _wanted(agent, 3, skip=2), _wanted(agent, 1), _wanted(agent, skip=6)]
    found = await asyncio.gather(*map(cursors.advance, group))
    assert [each and each.next_seq - agent.next_seq for each in found] == [2, 5, 5, None]


async def test_one_that_fails_fails_alone(kit: Kit) -> None:
    (one, two), cursors = await _agents(kit, 2), Cursors(kit.db)
    too_many = _wanted(one, 1 << 70)  # no database's integer
    failed, right = await asyncio.gather(
        cursors.advance(too_many), cursors.advance(_wanted(two)), return_exceptions=True
    )
    assert isinstance(failed, Exception)
    assert not isinstance(right, BaseException | None)
    assert right.taken
