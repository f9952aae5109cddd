"""Whose turn it is: weighted fair sharing between teams, production before previews, first come first served.

Stride scheduling (Waldspurger and Weihl, 1995): each claim moves its team's `turn` on by STRIDE / weight, and the team
with the lowest turn is next. A team that has waited with nothing starts at the queue's own turn, so it is among the
first, and has saved up nothing. Before turns count builds that run: a team with fewer than its weight goes first, so
that one with long builds does not come to hold every slot.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, exists, func, literal, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.state import ACTIVE, State
from scalemesh.db.tables import Counter, Deployment, Target, Team

STRIDE = 1_000_000
PATIENCE_MS = 15 * 60 * 1000  # a preview that has waited so long is as urgent as production
_SAMPLE = 50  # builds that say how long one takes
_TURN = "queue_turn"
_SET_TURN = text(
    "INSERT INTO counters (name, value) VALUES (:name, :turn) ON CONFLICT (name) DO UPDATE SET value = :turn"
)


@dataclass(frozen=True)
class Shares:
    """`weights`: team's slug → share, else 1. `team_limit`: builds at once of one team; 0: no limit."""

    weights: Mapping[str, int]
    team_limit: int = 0


@dataclass(frozen=True)
class Place:
    """`position` 1 is next; `wait_ms` None: nothing has been built yet that would say."""

    position: int
    wait_ms: int | None


async def take(session: AsyncSession, now: int, shares: Shares) -> tuple[str, int] | None:
    """Id and attempt of the next deployment, locked, its team's turn spent. One caller at a time."""
    passed: list[str] = []
    while found := (await session.execute(_team(now, await _turn(session), shares, passed))).first():
        row = (await session.execute(_oldest(found.id, now))).first()
        if row is not None:
            await session.execute(update(Team).where(Team.id == found.id).values(turn=found.turn + found.stride))
            await session.execute(_SET_TURN, {"name": _TURN, "turn": found.turn})
            return row.id, row.attempt
        passed.append(found.id)  # somebody holds its rows at this moment, to cancel them for example
    return None


async def places(session: AsyncSession, ids: Collection[str], now: int, shares: Shares) -> dict[str, Place]:
    """Where these stand if no build ended before; those that do not wait are left out."""
    order = _order(now, await _turn(session), shares)
    rows = (await session.execute(select(order.c.id, order.c.place).where(order.c.id.in_(ids)))).all()
    pace = await _pace(session) if rows else None
    return {row.id: Place(row.place, None if pace is None else round(row.place * pace)) for row in rows}


def _team(now: int, turn: int, shares: Shares, passed: Collection[str]) -> Select[Any]:
    running = _running()
    builds, weight = func.coalesce(running.c.builds, 0), _weight(shares)
    waits = exists().where(
        Deployment.team_id == Team.id, Deployment.state == State.QUEUED, Deployment.not_before <= now
    )
    effective = _effective(turn)
    query = (
        select(Team.id, effective.label("turn"), (literal(STRIDE) // weight).label("stride"))
        .outerjoin(running, running.c.team_id == Team.id)
        .where(waits, Team.id.not_in(passed))
        .order_by(builds // weight, effective, Team.id)
        .limit(1)
    )
    return query.where(builds < shares.team_limit) if shares.team_limit else query


def _oldest(team_id: str, now: int) -> Select[str, int]:
    return (
        select(Deployment.id, Deployment.attempt)
        .where(Deployment.team_id == team_id, Deployment.state == State.QUEUED, Deployment.not_before <= now)
        .order_by(_patience(now), Deployment.id)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    )


def _order(now: int, turn: int, shares: Shares) -> Any:
    """Every waiting deployment, numbered from 1."""
    running = _running()
    ahead = func.row_number().over(partition_by=Deployment.team_id, order_by=(_patience(now), Deployment.id)) - 1
    weight = _weight(shares)
    queued = (
        select(
            Deployment.id,
            ((func.coalesce(running.c.builds, 0) + ahead) // weight).label("level"),
            (_effective(turn) + ahead * (literal(STRIDE) // weight)).label("turn"),
            Team.id.label("team"),
        )
        .join(Team, Team.id == Deployment.team_id)
        .outerjoin(running, running.c.team_id == Team.id)
        .where(Deployment.state == State.QUEUED)
        .subquery()
    )
    columns = queued.c
    place = func.row_number().over(order_by=(columns.level, columns.turn, columns.team, columns.id))
    return select(columns.id, place.label("place")).subquery()


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
    return await session.scalar(select(Counter.value).where(Counter.name == _TURN)) or 0


def _effective(turn: int) -> ColumnElement[int]:
    return case((Team.turn < turn, turn), else_=Team.turn)


def _running() -> Any:
    return (
        select(Deployment.team_id, func.count().label("builds"))
        .where(Deployment.state.in_(ACTIVE))
        .group_by(Deployment.team_id)
        .subquery()
    )


def _weight(shares: Shares) -> Any:
    return case(dict(shares.weights), value=Team.slug, else_=1) if shares.weights else literal(1)


def _patience(now: int) -> ColumnElement[int]:
    urgent = or_(Deployment.target == Target.PRODUCTION, Deployment.created_at < now - PATIENCE_MS)
    return case((urgent, 0), else_=1)
