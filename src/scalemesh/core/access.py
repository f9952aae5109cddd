"""What an edge tells of the requests that it answered: totals of each second, and single records up to a rate."""

from typing import Annotated, Literal

import msgspec

from scalemesh.core.documents import Document

MAX_ROWS = 250  # totals and records of one batch: below what log brokers take as one message
MAX_BATCHES = 100  # of one report
MAX_PATH = 512
MAX_HOST = 255
MAX_AT = 4_102_444_800_000  # 2100
LATENCY_BOUNDS_US = tuple(64 << power for power in range(20))
"""`latency[n]` counts the answers that took less than bound n; one more counts those of over half a minute."""

Cache = Literal["hit", "miss", "upstream"]
"""`hit`: answered from the edge's memory or disk; `miss`: the file had to be fetched first; `upstream`: another site
answered."""

_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
_Time = Annotated[int, msgspec.Meta(ge=0, lt=MAX_AT)]
_Status = Annotated[int, msgspec.Meta(ge=100, le=599)]
_BUCKETS = len(LATENCY_BOUNDS_US) + 1


class AccessTotals(Document, frozen=True):
    """All requests of one project within one second (`at`: its first UTC millisecond) that went alike."""

    at: _Time
    project: _Name
    status: _Status
    cache: Cache
    requests: _Count
    bytes: _Count
    took_us: _Count
    latency: Annotated[list[_Count], msgspec.Meta(min_length=_BUCKETS, max_length=_BUCKETS)]


class AccessRecord(Document, frozen=True):
    """One request. `path` has no query and at most MAX_PATH bytes, `client` is a network (/24 or /48), `bytes` are the
    body's. `rate`: the share of its project's requests of that second, in one worker, that have a record."""

    at: _Time
    project: _Name
    host: Annotated[str, msgspec.Meta(max_length=MAX_HOST)]
    method: Annotated[str, msgspec.Meta(max_length=32)]
    path: Annotated[str, msgspec.Meta(max_length=MAX_PATH)]
    status: _Status
    cache: Cache
    bytes: _Count
    took_us: _Count
    client: Annotated[str, msgspec.Meta(max_length=64)]
    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0


class AccessRows(Document, frozen=True):
    """What a worker gives to its keeper at once."""

    totals: Annotated[list[AccessTotals], msgspec.Meta(max_length=MAX_ROWS)] = []
    records: Annotated[list[AccessRecord], msgspec.Meta(max_length=MAX_ROWS)] = []


class AccessBatch(Document, frozen=True):
    """Rows under a number that their keeper's spool gave them: (spool, number) counts once, however often it comes."""

    spool: _Name
    number: _Count
    rows: AccessRows


class AccessReport(Document, frozen=True):
    """The body of `POST /v1/edge/access`. `dropped`: requests that the edge could tell nothing of, ever since."""

    batches: Annotated[list[AccessBatch], msgspec.Meta(max_length=MAX_BATCHES)]
    dropped: _Count = 0
