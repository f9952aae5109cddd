"""A log line as every part of the pipeline sees it."""

from typing import Literal

from scalemesh.core.documents import Document

MAX_LINE_BYTES = 16 * 1024

Stream = Literal["stdout", "stderr", "system"]
Level = Literal["debug", "info", "warn", "error"]


class LogLine(Document, frozen=True):
    """One numbered line of one deployment.

    `seq` counts from 0 without gaps per deployment, across attempts. `ts` is UTC milliseconds. `text` is valid UTF-8
    of at most MAX_LINE_BYTES, without its newline; a longer line is split and every piece but the last is `partial`.
    """

    deployment: str
    attempt: int
    seq: int
    ts: int
    stream: Stream = "stdout"
    level: Level = "info"
    step: str = ""
    text: str = ""
    partial: bool = False
