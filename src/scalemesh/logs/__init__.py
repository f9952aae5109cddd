"""The log pipeline: publish → bus → pump → archive, and `tail`, which joins the archive with what is live.

LogService is the way in. Invariants: `publish` returns once the lines are durable; the archive counts a line once, by
(deployment, seq); `tail` yields every line once and in order, across reconnects and attempts. A slow subscriber never
loses a line: its queue is bounded, and past that it reads the archive again. Imports core and errors only.
"""

from scalemesh.logs.registry import open_archive, open_bus
from scalemesh.logs.service import LogService
from scalemesh.logs.tail import End, tail

__all__ = ["End", "LogService", "open_archive", "open_bus", "tail"]
