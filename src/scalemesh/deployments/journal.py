"""The control plane's own lines in a deployment's log: before the first attempt, between attempts, at the end.

The number is reserved in the transaction that makes the line true (so nobody else can take it, and a reader knows the
end), the line is published after its commit. A crash in between leaves a number that readers skip.
"""

import structlog

from scalemesh.core.logs import Level, LogLine
from scalemesh.db.tables import Deployment
from scalemesh.errors import Unavailable
from scalemesh.logs.service import LogService

log = structlog.get_logger(__name__)


def reserve(row: Deployment, text: str, now: int, level: Level = "info") -> LogLine:
    """The next line of a locked deployment, on which no agent writes at this moment."""
    line = LogLine(
        deployment=row.id, attempt=row.attempt, seq=row.log_next, ts=now, stream="system", level=level, text=text
    )
    row.log_next += 1
    return line


async def publish(logs: LogService, *lines: LogLine | None) -> None:
    """A log that cannot be reached must not undo what has been committed: that is reported, not raised."""
    given = [line for line in lines if line is not None]
    if not given:
        return
    try:
        await logs.publish(given)
    except Unavailable as error:
        log.warning("log lines lost", lines=[(line.deployment, line.seq) for line in given], cause=str(error))
