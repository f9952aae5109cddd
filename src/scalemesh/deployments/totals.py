"""Totals that only grow, for /metrics: rows of `counters`, added to in the transactions that they count.

Deleting a deployment takes nothing back. Add as the last thing of a transaction, so that everybody locks these rows
after all others, and in the order of their names.
"""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.db.tables import Counter, Deployment
from scalemesh.deployments.views import StepRow

_PREFIX = "total:"
_ADD = text(
    "INSERT INTO counters (name, value) VALUES (:name, :amount)"
    " ON CONFLICT (name) DO UPDATE SET value = counters.value + :amount"
)


async def add(session: AsyncSession, amounts: Mapping[str, int]) -> None:
    """What is nothing is left out."""
    rows = [{"name": f"{_PREFIX}{name}", "amount": amount} for name, amount in sorted(amounts.items()) if amount]
    if rows:
        await session.execute(_ADD, rows)


async def read(session: AsyncSession) -> Mapping[str, int]:
    """0 for what has never been counted is the caller's to say."""
    rows = await session.execute(select(Counter.name, Counter.value).where(Counter.name.startswith(_PREFIX)))
    return {name.removeprefix(_PREFIX): value for name, value in rows}


def of_claims(rows: Sequence[Deployment], now: int) -> Mapping[str, int]:
    """Of deployments just claimed: how long they waited counts once, at the first attempt."""
    first = [row for row in rows if row.attempt == 1]
    return {
        "claims": len(rows),
        "retries": len(rows) - len(first),
        "wait_count": len(first),
        "wait_ms": sum(now - row.created_at for row in first),
    }


def of_steps(row: Deployment) -> Mapping[str, int]:
    """Of an attempt that ends: its steps that have ended."""
    amounts = {}
    for step in msgspec.json.decode(row.steps, type=list[StepRow]):
        if step.finished_at is not None:
            amounts[f"step_count:{step.step}"] = 1
            amounts[f"step_ms:{step.step}"] = step.finished_at - step.started_at
    return amounts
