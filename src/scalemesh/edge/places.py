"""Whether workers of an edge folder live, told by a lock that each holds; stdlib only: the supervisor asks, too."""

import fcntl
from pathlib import Path
from typing import IO

_LOCK = "workers.lock"


def left_behind(folder: Path) -> bool:
    """Whether workers of this folder still run although their keeper does not."""
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def hold_place(folder: Path) -> IO[str]:
    """A worker's sign of life, for as long as the answer is open."""
    lock = (folder / _LOCK).open("a")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock
