"""Redis: one stream; the pumps are a consumer group, and every process with readers follows it by itself.

An answer to XADD means durable because `open` insists on the append-only file. The stream is trimmed below what all
pumps have committed, and a little later, so that live readers need not go to the archive.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from scalemesh.core.grouping import Grouped
from scalemesh.core.ids import new_id
from scalemesh.errors import BadSettings
from scalemesh.logs.bus.base import SetAside
from scalemesh.logs.bus.broker import CALL_S, BrokerBus, Record

STREAM = "scalemesh:logs"
ASIDE = "scalemesh:logs:set-aside"
GROUP = "pumps"
MAX_RECORDS = 1_000_000  # publishers are held back beyond that: no pump is running
SEND_RECORDS = 100
RECEIVE_RECORDS = 500
RECLAIM_S = 2.0  # below what `tail` waits for a number that the archive lacks
FORGET_CONSUMER_S = 3600.0
TRIM_EVERY_S = 1.0
KEPT_FOR_READERS_MS = 10_000

log = structlog.get_logger(__name__)


class Full(RedisError):
    """As many records as are allowed wait for a pump."""


class RedisBus(BrokerBus):
    """`redis://[user:password@]host[:port][/db]`, or `rediss://`; Redis 6.2 or newer with `appendonly yes`."""

    errors = (RedisError, OSError)

    def __init__(
        self, url: str, *, timeout_s: float = 30, reclaim_s: float = RECLAIM_S, max_records: int = MAX_RECORDS
    ) -> None:
        super().__init__(timeout_s=timeout_s)
        self._reclaim_s = reclaim_s
        self._max_records = max_records
        self._consumer = f"{socket.gethostname()[:30]}-{new_id('cns')}"
        pool = BlockingConnectionPool.from_url(
            url,
            protocol=2,
            max_connections=32,
            timeout=None,
            socket_timeout=None,  # with one, redis-py 7 swallows cancellations; deadlines are BrokerBus's
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        _check(url, pool)
        self._redis = Redis.from_pool(pool)
        self._sending = Grouped(self._send_all, SEND_RECORDS)
        self._length = 0
        self._reclaim_at = 0.0
        self._reclaim_from = b"0-0"
        self._held: set[bytes] = set()
        self._holding: asyncio.Task[None] | None = None
        self._trim_at = 0.0

    async def _connect(self) -> None:
        try:
            facts = await self._redis.info()
        except AuthenticationError as error:
            raise _refused(str(error), "Correct user and password in the URL.") from error
        _require_durable(facts)
        await self._warn_of_delayed_sync()
        await self._make_group()

    async def _disconnect(self) -> None:
        if self._holding:
            self._holding.cancel()
            await asyncio.wait([self._holding], timeout=CALL_S)
        await self._redis.aclose()

    async def _warn_of_delayed_sync(self) -> None:
        try:
            found = await self._redis.config_get("appendfsync")
        except ResponseError:
            return  # hosted ones hide their configuration
        if found.get("appendfsync") != "always":
            log.warning("Redis can lose its last second of log lines with its machine", fix="appendfsync always")

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _send(self, record: Record) -> None:
        """With those of other writers in one exchange: an answer waits for the disk, once for all of them."""
        await self._sending(record)

    async def _send_all(self, records: Sequence[Record]) -> Sequence[Exception | None]:
        if self._length >= self._max_records:
            self._length = await self._redis.xlen(STREAM)
            if self._length >= self._max_records:
                raise Full(f"{self._length} records wait for a log pump")
        async with asyncio.timeout(CALL_S), self._redis.pipeline(transaction=False) as pipe:
            for record in records:
                pipe.xadd(STREAM, {"deployment": record.deployment, "lines": record.data})
            pipe.xlen(STREAM)
            *answers, self._length = await pipe.execute()
        return [None] * len(answers)

    async def _receive(self, wait_s: float) -> list[tuple[bytes, Record]]:
        try:
            async with asyncio.timeout(CALL_S):
                found = await self._reclaim() or await self._read(wait_s)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self._make_group()  # somebody emptied this Redis
            return []
        self._held.update(at for at, _ in found)
        self._holding = self._holding or asyncio.create_task(self._hold(), name="log bus holding")
        return found

    async def _hold(self) -> None:
        """Tells Redis that we still live, however long the archive takes: nobody then takes our records over."""
        while True:
            await asyncio.sleep(self._reclaim_s / 3)
            try:
                async with asyncio.timeout(CALL_S):
                    held: list[Any] = list(self._held)
                    if held:
                        await self._redis.xclaim(STREAM, GROUP, self._consumer, 0, held, justid=True)
            except self.errors as error:  # another may have them now, too: they count once
                log.warning("log bus does not answer", cause=str(error) or repr(error))

    async def _read(self, wait_s: float) -> list[tuple[bytes, Record]]:
        block_ms = int(wait_s * 1000) or None
        answer = await self._redis.xreadgroup(
            GROUP, self._consumer, {STREAM: ">"}, count=RECEIVE_RECORDS, block=block_ms
        )
        return _records(answer)

    async def _reclaim(self) -> list[tuple[bytes, Record]]:
        """Now and then: what a pump took that has not been heard of since."""
        now = asyncio.get_running_loop().time()
        if now < self._reclaim_at:
            return []
        self._reclaim_at = now + self._reclaim_s / 3
        await self._forget_consumers()
        idle_ms = int(self._reclaim_s * 1000)
        answer = await self._redis.xautoclaim(
            STREAM, GROUP, self._consumer, idle_ms, self._reclaim_from, count=RECEIVE_RECORDS
        )
        self._reclaim_from = answer[0]
        if self._reclaim_from != b"0-0":  # there is more to look through
            self._reclaim_at = now
        return [(at, _record(fields)) for at, fields in answer[1] if fields]

    async def _forget_consumers(self) -> None:
        for consumer in await self._redis.xinfo_consumers(STREAM, GROUP):
            if consumer["pending"] == 0 and consumer["idle"] > FORGET_CONSUMER_S * 1000:
                await self._redis.xgroup_delconsumer(STREAM, GROUP, consumer["name"])

    async def _acknowledge(self, receipts: Sequence[bytes]) -> None:
        await self._redis.xack(STREAM, GROUP, *receipts)
        self._held.difference_update(receipts)
        now = asyncio.get_running_loop().time()
        if now >= self._trim_at:
            self._trim_at = now + TRIM_EVERY_S
            await self._trim()

    async def _trim(self) -> None:
        """Below the oldest record that is pending; where none is, below the last one given to a pump.

        The order of the two questions makes it safe while other pumps work: the answers only ever grow.
        """
        (group,) = [g for g in await self._redis.xinfo_groups(STREAM) if g["name"] == GROUP.encode()]
        pending = await self._redis.xpending(STREAM, GROUP)
        committed = _number(pending["min"] or group["last-delivered-id"])
        kept_from = (time.time_ns() // 1_000_000 - KEPT_FOR_READERS_MS, 0)
        milliseconds, serial = min(committed, kept_from)
        await self._redis.xtrim(STREAM, minid=f"{milliseconds}-{serial}", approximate=True)

    async def _add_aside(self, record: Record, reason: str) -> None:
        await self._redis.xadd(ASIDE, {"deployment": record.deployment, "reason": reason, "lines": record.data})

    async def _count_aside(self) -> int:
        return int(await self._redis.xlen(ASIDE))

    async def _list_aside(self, limit: int) -> list[SetAside]:
        messages = await self._redis.xrevrange(ASIDE, count=limit)
        return [
            SetAside(fields[b"deployment"].decode(), fields[b"reason"].decode(), _number(at)[0], fields[b"lines"])
            for at, fields in messages
        ]

    async def _end(self) -> bytes:
        found: bytes = (await self._redis.xinfo_stream(STREAM))["last-generated-id"]
        return found

    async def _follow(self, position: bytes) -> AsyncIterator[tuple[bytes, Record]]:
        while True:
            async with asyncio.timeout(CALL_S):
                answer = await self._redis.xread({STREAM: position}, RECEIVE_RECORDS, block=1000)
            for at, record in _records(answer):
                position = at
                yield at, record


def _require_durable(facts: Mapping[str, Any]) -> None:
    if not facts.get("aof_enabled"):
        raise _refused(
            "this Redis keeps no append-only file, and would lose log lines",
            "Set `appendonly yes` (and `appendfsync always`) in its configuration.",
        )
    if int(facts.get("maxmemory", 0)) and facts.get("maxmemory_policy") != "noeviction":
        raise _refused("this Redis throws data away when its memory is full", "Set `maxmemory-policy noeviction`.")


def _check(url: str, pool: BlockingConnectionPool) -> None:
    """What redis-py reads over (a database that is no number), or finds out at the first connection (options)."""
    database = urlsplit(url).path.strip("/")
    if database and not database.isdecimal():
        raise _refused(f"database {database!r} is not a number", "redis://host:port/0")
    try:
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as error:
        known = parse_qs(urlsplit(url).query)
        wrong = next((name for name in known if f"'{name}'" in str(error)), "")
        raise _refused(f"unknown option {wrong!r}", "Options are those of redis-py's Connection.") from error


def _refused(why: str, hint: str) -> BadSettings:
    return BadSettings(f"SCALEMESH_LOG_BUS_URL: {why}.", hint=hint, field="SCALEMESH_LOG_BUS_URL")


def _records(answer: Any) -> list[tuple[bytes, Record]]:
    """Of XREAD's and XREADGROUP's form: [[stream, messages]], or nothing."""
    return [(at, _record(fields)) for _, messages in answer or () for at, fields in messages]


def _record(fields: Mapping[bytes, bytes]) -> Record:
    return Record(fields.get(b"deployment", b"").decode(errors="replace"), fields.get(b"lines", b""))


def _number(at: bytes) -> tuple[int, int]:
    milliseconds, _, serial = at.decode().partition("-")
    return int(milliseconds), int(serial)
