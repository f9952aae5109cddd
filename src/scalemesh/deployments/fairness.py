"""Whose turn it is: weighted fair sharing between teams, production before previews, first come first served.

Stride scheduling (Waldspurger and Weihl, 1995): each claim moves its team's `turn` on by STRIDE / weight, and the team
with the lowest turn is next. A team that has waited with nothing starts at the queue's own turn, so it is among the
first, and has saved up nothing. Before turns count builds that run: a team with fewer than its weight goes first, so
that one with long builds does not come to hold every slot.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from scalemesh.core.state import ACTIVE, State
from scalemesh.db.tables import Counter as StoredCounter
from scalemesh.db.tables import Deployment, Project, Target, Team

STRIDE = 1_000_000
PATIENCE_MS = 15 * 60 * 1000  # a preview that has waited so long is as urgent as production
_SAMPLE = 50  # builds that say how long one takes
_TURN = "queue_turn"
_SET_TURN = text(
    "INSERT INTO counters (name, value) VALUES (:name, :turn) ON CONFLICT (name) DO UPDATE SET value = :turn"
)
_NOW = bindparam("now", type_=BigInteger)
_AT = bindparam("turn", type_=BigInteger)
_MOST = bindparam("most", type_=Integer)
_PASSED: BindParameter[str] = bindparam("passed", expanding=True)
_TEAMS: BindParameter[str] = bindparam("teams", expanding=True)


@dataclass(frozen=True)
class Shares:
    """`weights`: team's slug → share, else 1. Limits are of builds at once, 0 is none; a project may set its own."""

    weights: Mapping[str, int]
    team_limit: int = 0
    project_limit: int = 0

    def __hash__(self) -> int:
        return hash((*sorted(self.weights.items()), self.team_limit, self.project_limit))


@dataclass(frozen=True)
class Place:
    """`position` 1 is next; `wait_ms` None: nothing has been built yet that would say."""

    position: int
    wait_ms: int | None


async def take(session: AsyncSession, now: int, shares: Shares, most: int = 1) -> Sequence[Deployment]:
    """The next `most` deployments in their order, locked, their teams' turns spent. One caller at a time."""
    passed: list[str] = []
    facts = {"now": now, "turn": await _turn(session), "most": most, "passed": passed}
    while teams := (await session.execute(_teams(shares), facts)).all():
        of_these = facts | {"teams": [team.id for team in teams]}
        ids = (await session.scalars(_next(shares), of_these)).all()
        rows = {row.id: row for row in await session.scalars(_locking(ids))}
        if rows:
            taken = Counter(row.team_id for row in rows.values())
            await _spend(session, [(team.id, team.turn, team.stride, taken[team.id]) for team in teams])
            return [rows[each] for each in ids if each in rows]
        passed += ids  # somebody holds these at this moment, to cancel them for example
        if not ids:
            break
    return []


async def places(session: AsyncSession, ids: Collection[str], now: int, shares: Shares) -> dict[str, Place]:
    """Where these stand if no build ended before; those that do not wait are left out."""
    order = _order(shares, _waiting(Deployment.state == State.QUEUED))
    query = select(order.c.id, order.c.place).where(order.c.id.in_(ids))
    rows = (await session.execute(query, {"now": now, "turn": await _turn(session)})).all()
    pace = await _pace(session) if rows else None
    return {row.id: Place(row.place, None if pace is None else round(row.place * pace)) for row in rows}


@lru_cache(maxsize=4)  # to write these two statements anew takes longer than to run them
def _teams(shares: Shares) -> Select[Any]:
    """The teams that come first: the next `most` deployments are all of theirs."""
    running = _running(Deployment.team_id)
    builds, weight, effective = func.coalesce(running.c.builds, 0), _weight(shares), _effective()
    query = (
        select(Team.id, effective.label("turn"), (literal(STRIDE) // weight).label("stride"))
        .outerjoin(running, running.c.key == Team.id)
        .where(Team.id.in_(select(Deployment.team_id).where(*_claimable(shares))))
        .order_by(builds // weight, effective, Team.id)
        .limit(_MOST)
    )
    return query.where(builds < shares.team_limit) if shares.team_limit else query


def _claimable(shares: Shares) -> Sequence[ColumnElement[bool]]:
    """Waits, may be tried by now, and its project may have one more build."""
    running = _running(Deployment.project_id)
    limit = _project_limit(shares)
    full = (
        select(Project.id).join(running, running.c.key == Project.id).where(limit > 0, running.c.builds >= limit)
    ).correlate(None)
    return (
        Deployment.state == State.QUEUED,
        Deployment.not_before <= _NOW,
        Deployment.project_id.not_in(full),
        Deployment.id.not_in(_behind()),
        Deployment.id.not_in(_PASSED),
    )


def _behind() -> Select[str]:
    """What is newer than a deployment of its own branch that waits until it may be tried again."""
    older, newer = aliased(Deployment), aliased(Deployment)
    same = (newer.project_id == older.project_id, newer.ref == older.ref, newer.target == older.target)
    return (
        select(newer.id)
        .join(older, and_(*same, newer.id > older.id))
        .where(older.state == State.QUEUED, older.not_before > _NOW, newer.state == State.QUEUED)
    )


def _waiting(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(Deployment.id, Deployment.team_id, _urgency().label("urgency")).where(*conditions)


def _fitting(shares: Shares, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Of what waits: of each project no more than may begin by its limit."""
    running, limit = _running(Deployment.project_id), _project_limit(shares)
    order = (_urgency(), Deployment.id)
    nth = func.row_number().over(partition_by=Deployment.project_id, order_by=order)
    fits = or_(limit == 0, func.coalesce(running.c.builds, 0) + nth <= limit)
    waiting = (
        _waiting(*conditions)
        .add_columns(fits.label("fits"))
        .join(Project, Project.id == Deployment.project_id)
        .outerjoin(running, running.c.key == Deployment.project_id)
        .subquery()
    )
    return select(waiting).where(waiting.c.fits)


def _order(shares: Shares, waiting: Select[Any]) -> Subquery:
    """What waits, numbered from 1; `of_team`: builds of its team that come before, those that run included."""
    running, weight, w = _running(Deployment.team_id), _weight(shares), waiting.subquery().c
    ahead = func.row_number().over(partition_by=w.team_id, order_by=(w.urgency, w.id)) - 1
    of_team = func.coalesce(running.c.builds, 0) + ahead
    ranked = (
        select(
            w.id,
            of_team.label("of_team"),
            (of_team // weight).label("level"),
            (_effective() + ahead * (literal(STRIDE) // weight)).label("turn"),
            Team.id.label("team"),
        )
        .join(Team, Team.id == w.team_id)
        .outerjoin(running, running.c.key == w.team_id)
        .subquery()
    )
    c = ranked.c
    place = func.row_number().over(order_by=(c.level, c.turn, c.team, c.id))
    return select(c.id, c.of_team, place.label("place")).subquery()


@lru_cache(maxsize=4)
def _next(shares: Shares) -> Select[str]:
    """The next `most` deployments' ids, all of `teams`."""
    order = _order(shares, _fitting(shares, Deployment.team_id.in_(_TEAMS), *_claimable(shares)))
    query = select(order.c.id).order_by(order.c.place).limit(_MOST)
    return query.where(order.c.of_team < shares.team_limit) if shares.team_limit else query


def _locking(ids: Collection[str]) -> Select[Deployment]:
    return (
        select(Deployment)
        .where(Deployment.id.in_(ids), Deployment.state == State.QUEUED)
        .with_for_update(skip_locked=True, key_share=True)
        .execution_options(populate_existing=True)
    )


async def _spend(session: AsyncSession, teams: Iterable[tuple[str, int, int, int]]) -> None:
    """`teams`: id, turn, stride, how many were taken."""
    spent = [(team, at, stride, taken) for team, at, stride, taken in teams if taken]
    turns = [{"id": team, "turn": at + stride * taken} for team, at, stride, taken in spent]
    await session.execute(update(Team), turns)
    last = max(at + stride * (taken - 1) for _, at, stride, taken in spent)
    await session.execute(_SET_TURN, {"name": _TURN, "turn": last})


async def _pace(session: AsyncSession) -> float | None:
    """Milliseconds between two builds' ends: how long one takes, over how many run at once."""
    took = (
        select((Deployment.finished_at - Deployment.started_at).label("ms"))
        .where(Deployment.state.in_((State.READY, State.ERROR)), Deployment.attempt > 0)
        .order_by(Deployment.finished_at.desc())
        .limit(_SAMPLE)
        .subquery()
    )
    average = await session.scalar(select(func.avg(took.c.ms)))
    running = await session.scalar(select(func.count()).where(Deployment.state.in_(ACTIVE)))
    return None if average is None else float(average) / max(running or 0, 1)


async def _turn(session: AsyncSession) -> int:
    return await session.scalar(select(StoredCounter.value).where(StoredCounter.name == _TURN)) or 0


def _effective() -> ColumnElement[int]:
    return case((Team.turn < _AT, _AT), else_=Team.turn)


def _running(key: InstrumentedAttribute[str]) -> Any:
    """How many builds run, by `key`."""
    counted = select(key.label("key"), func.count().label("builds")).where(Deployment.state.in_(ACTIVE))
    return counted.group_by(key).subquery()


def _project_limit(shares: Shares) -> ColumnElement[int]:
    return func.coalesce(Project.concurrency, shares.project_limit)


def _weight(shares: Shares) -> Any:
    return case(dict(shares.weights), value=Team.slug, else_=1) if shares.weights else literal(1)


def _urgency() -> ColumnElement[int]:
    urgent = or_(Deployment.target == Target.PRODUCTION, Deployment.created_at < _NOW - PATIENCE_MS)
    return case((urgent, 0), else_=1)
