"""How much there is of what, over all teams: for /metrics."""

from sqlalchemy import func, select

from scalemesh.core.state import State
from scalemesh.db import Database
from scalemesh.db.tables import Deployment


async def by_state(db: Database) -> dict[State, int]:
    """Deployments in each state."""
    query = select(Deployment.state, func.count()).group_by(Deployment.state)
    async with db.read() as session:
        found = {State(state): count for state, count in await session.execute(query)}
    return {state: found.get(state, 0) for state in State}
