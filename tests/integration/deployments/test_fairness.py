"""The queue against a model of it: who is next, for any mix of teams, weights and what runs."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalemesh.core.state import State
from scalemesh.db import Database
from scalemesh.db.tables import Deployment, Project, Target, Team
from scalemesh.deployments.fairness import STRIDE, Shares, places, take
from scalemesh.testing.engines import Sqlite
from scalemesh.testing.factories import Kit

NOW = 1_800_000_000_000


@dataclass
class Model:
    """What the queue promises, in Python over lists."""

    weights: dict[str, int]
    waiting: dict[str, list[tuple[bool, str]]]  # team → (is a preview, id)
    running: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    turn: int = 0
    limit: int = 0  # of builds at once of a project: each team has one here

    def take(self) -> str | None:
        teams = [
            team
            for team, waiting in self.waiting.items()
            if waiting and not (self.limit and self.running[team] >= self.limit)
        ]
        if not teams:
            return None
        team = min(teams, key=lambda t: (self.running[t] // self.weights[t], max(self.turns[t], self.turn), t))
        self.turn = max(self.turns[team], self.turn)
        self.turns[team] = self.turn + STRIDE // self.weights[team]
        chosen = min(self.waiting[team])
        self.waiting[team].remove(chosen)
        self.running[team] += 1
        return chosen[1]


async def fill(db: Database, waiting: dict[str, list[tuple[bool, str]]]) -> None:
    async with db.write() as session:
        for team, queued in waiting.items():
            session.add(Team(id=team, slug=team, name=team, created_at=NOW))
            await session.flush()
            session.add(Project(id=f"prj_{team}", team_id=team, name="p", created_at=NOW, updated_at=NOW))
            await session.flush()
            session.add_all(row(team, identifier, is_preview=is_preview) for is_preview, identifier in queued)


def row(team: str, identifier: str, *, is_preview: bool = False) -> Deployment:
    return Deployment(
        id=identifier,
        team_id=team,
        project_id=f"prj_{team}",
        host_label=identifier,
        state=State.QUEUED,
        target=Target.PREVIEW if is_preview else Target.PRODUCTION,
        trigger="manual",
        source="{}",
        settings="{}",
        created_at=NOW,
    )


async def claim(db: Database, shares: Shares) -> str | None:
    async with db.write() as session:
        for row in await take(session, NOW, shares):
            row.state = State.BUILDING
            return row.id
        return None


async def claim_many(db: Database, shares: Shares, most: int) -> list[str]:
    async with db.write() as session:
        rows = await take(session, NOW, shares, most)
        for row in rows:
            row.state = State.BUILDING
        return [row.id for row in rows]


async def finish(db: Database, identifier: str) -> None:
    async with db.write() as session:
        (await session.get_one(Deployment, identifier)).state = State.READY


TEAMS = st.lists(st.tuples(st.integers(1, 5), st.lists(st.booleans(), min_size=0, max_size=6)), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
    folder: Path = tmp_path_factory.mktemp("fairness")
    return Sqlite(folder)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(teams=TEAMS, slots=st.integers(1, 4))
def test_claims_are_the_models(files: Sqlite, teams: list[tuple[int, list[bool]]], slots: int) -> None:
    async def run() -> tuple[list[str | None], list[str | None]]:
        weights = {f"team{n}": weight for n, (weight, _) in enumerate(teams)}
        waiting = {
            f"team{n}": [(is_preview, f"d{n}-{k}") for k, is_preview in enumerate(queued)]
            for n, (_, queued) in enumerate(teams)
        }
        model = Model(weights, {team: list(queued) for team, queued in waiting.items()})
        got: list[str | None] = []
        expected: list[str | None] = []
        async with Database(await files.fresh()) as db:
            await fill(db, waiting)
            building: list[str] = []
            for _ in range(sum(len(queued) for _, queued in teams) + 1):
                if len(building) == slots:
                    ended = building.pop(0)
                    await finish(db, ended)
                    model.running["team" + ended[1:].split("-")[0]] -= 1
                got.append(await claim(db, Shares(weights)))
                expected.append(model.take())
                building += [found for found in got[-1:] if found]
        return got, expected

    got, expected = asyncio.run(run())
    assert got == expected
    assert got[-1] is None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(teams=TEAMS, batches=st.lists(st.integers(1, 6), min_size=1, max_size=8), limit=st.integers(0, 3))
def test_a_batch_is_so_many_claims_one_after_the_other(
    files: Sqlite, teams: list[tuple[int, list[bool]]], batches: list[int], limit: int
) -> None:
    async def run() -> tuple[list[list[str]], list[list[str]]]:
        weights = {f"team{n}": weight for n, (weight, _) in enumerate(teams)}
        waiting = {
            f"team{n}": [(is_preview, f"d{n}-{k}") for k, is_preview in enumerate(queued)]
            for n, (_, queued) in enumerate(teams)
        }
        model = Model(weights, {team: list(queued) for team, queued in waiting.items()}, limit=limit)
        got: list[list[str]] = []
        expected: list[list[str]] = []
        async with Database(await files.fresh()) as db:
            await fill(db, waiting)
            for most in batches:
                got.append(await claim_many(db, Shares(weights, project_limit=limit), most))
                expected.append([found for _ in range(most) if (found := model.take())])
        return got, expected

    got, expected = asyncio.run(run())
    assert got == expected


@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=8), slots=st.integers(1, 1))
def test_the_model_shares_by_weight_and_starves_nobody(weights: list[int], slots: int) -> None:
    """One slot, everybody waits all the time: after any number of claims each has its share, give or take one turn."""
    teams = {f"t{n}": weight for n, weight in enumerate(weights)}
    total = sum(weights)
    model = Model(teams, {team: [(False, f"{team}-{k:04}") for k in range(400)] for team in teams})
    counts: Counter[str] = Counter()
    for claims in range(1, 200):
        found = model.take() or ""
        team = found.split("-")[0]
        counts[team] += 1
        model.running[team] -= 1
        for name, weight in teams.items():
            assert abs(counts[name] - claims * weight / total) <= len(teams)


async def test_a_team_with_one_does_not_wait_for_a_thousand(kit: Kit) -> None:
    """Also with one slot, where nobody runs more than anybody else."""
    await fill(kit.db, {"big": [(False, f"big-{k:04}") for k in range(1000)]})
    shares = Shares({})
    for _ in range(10):
        found = await claim(kit.db, shares)
        await finish(kit.db, found or "")
    await fill(kit.db, {"small": [(False, "small-1")]})
    got = []
    for _ in range(2):
        found = await claim(kit.db, shares)
        await finish(kit.db, found or "")
        got.append(found)
    assert "small-1" in got


async def test_a_preview_that_waited_long_is_urgent(kit: Kit) -> None:
    await fill(kit.db, {"one": [(True, "a"), (False, "b")]})
    async with kit.db.write() as session:
        (await session.get_one(Deployment, "a")).created_at = NOW - 20 * 60 * 1000
    assert await claim(kit.db, Shares({})) == "a"


async def test_a_newer_one_of_the_branch_waits_for_the_one_that_is_tried_again(kit: Kit) -> None:
    await fill(kit.db, {"one": [(False, identifier) for identifier in ("a-failed", "b-newer", "c-other-branch")]})
    async with kit.db.write() as session:
        for identifier, ref in (("a-failed", "main"), ("b-newer", "main"), ("c-other-branch", "draft")):
            (await session.get_one(Deployment, identifier)).ref = ref
        failed = await session.get_one(Deployment, "a-failed")
        failed.not_before = NOW + 1
    assert [await claim(kit.db, Shares({})) for _ in range(2)] == ["c-other-branch", None]
    async with kit.db.write() as session:
        (await session.get_one(Deployment, "a-failed")).not_before = NOW
    assert [await claim(kit.db, Shares({})) for _ in range(2)] == ["a-failed", "b-newer"]


async def test_places_are_the_order_of_claims(kit: Kit) -> None:
    waiting = {
        "one": [(k % 2 == 0, f"a{k}") for k in range(5)],
        "two": [(False, "b0")],
        "three": [(False, f"c{k}") for k in range(3)],
    }
    await fill(kit.db, waiting)
    shares = Shares({"three": 2})
    every = [identifier for queued in waiting.values() for _, identifier in queued]
    async with kit.db.read() as session:
        found = await places(session, every, NOW, shares)
    assert [(await claim(kit.db, shares)) for _ in every] == sorted(every, key=lambda each: found[each].position)
    assert sorted(place.position for place in found.values()) == list(range(1, 10))
