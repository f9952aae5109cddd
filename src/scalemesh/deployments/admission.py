"""Whether one more deployment may come into the queue: limits per team, and room on the disk."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.state import State
from scalemesh.db.tables import Deployment
from scalemesh.deployments.policy import BuildPolicy
from scalemesh.errors import TooManyRequests, Unavailable

HOUR_MS = 3600 * 1000
_QUEUE_RETRY_S = 30


async def admit(session: AsyncSession, team_id: str, policy: BuildPolicy, now: int) -> None:
    """Raises TooManyRequests or Unavailable (`disk_full`). What is being served goes on either way."""
    if not policy.has_room():
        raise Unavailable(
            "The disk is nearly full: no new deployments.",
            code="disk_full",
            hint="The operator makes room (`scalemesh gc`) or lowers SCALEMESH_MIN_FREE_DISK. Sites go on.",
        )
    if policy.queue_limit and await _queued(session, team_id) >= policy.queue_limit:
        raise TooManyRequests(
            f"The team has {policy.queue_limit} deployments in the queue already.",
            retry_after_s=_QUEUE_RETRY_S,
            code="queue_full",
            hint="Wait until some are built, or cancel some.",
        )
    if policy.hourly_limit and (oldest := await _oldest_that_counts(session, team_id, policy.hourly_limit, now)):
        raise TooManyRequests(
            f"The team has made {policy.hourly_limit} deployments within an hour.",
            retry_after_s=max(1, (oldest + HOUR_MS - now) // 1000 + 1),
            code="hourly_limit",
        )


async def _queued(session: AsyncSession, team_id: str) -> int:
    query = select(func.count()).where(Deployment.team_id == team_id, Deployment.state == State.QUEUED)
    return await session.scalar(query) or 0


async def _oldest_that_counts(session: AsyncSession, team_id: str, limit: int, now: int) -> int | None:
    """When the deployment was made that must become an hour old before another one may be; None: none must."""
    lately = select(Deployment.created_at).where(Deployment.team_id == team_id, Deployment.created_at > now - HOUR_MS)
    return await session.scalar(lately.order_by(Deployment.created_at.desc()).offset(limit - 1).limit(1))
