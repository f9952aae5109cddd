"""Kafka: one topic keyed by deployment; the pumps are a consumer group, readers follow every partition by themselves.

`acks=all` makes an answer durable. How long Kafka keeps records is the topic's own `retention`: longer than a pump may
be away.
"""

import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import CommitFailedError, IllegalGenerationError, IllegalStateError, KafkaError
from aiokafka.helpers import create_ssl_context

from scalemesh.errors import BadSettings
from scalemesh.logs.bus.base import SetAside
from scalemesh.logs.bus.broker import RECORD_BYTES, BrokerBus, Record

TOPIC = "scalemesh-logs"
GROUP = "scalemesh-pumps"
PARTITIONS = 8
RECEIVE_RECORDS = 500
_LIVE_POLL_MS = 50  # a broker answers at once; Tansu looks only this often
_CALL_MS = 10_000
_SESSION_MS = 10_000  # until the group gives a dead pump's partitions to another
_EXISTS = 36
_OPTIONS = {
    "enable_idempotence": "true|false",
    "partitions": r"[1-9]\d{0,4}",
    "replication": r"[1-9]\d?",
    "security_protocol": "PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL",
    "sasl_mechanism": "PLAIN|SCRAM-SHA-256|SCRAM-SHA-512",
}

Receipt = tuple[TopicPartition, int]


class KafkaBus(BrokerBus):
    """`kafka://[user:password@]host:port[,host:port][/topic][?option=…]`.

    Options: `enable_idempotence` (true), `partitions` (8) and `replication` (1) of a topic that is made here,
    `security_protocol` (PLAINTEXT), `sasl_mechanism` (PLAIN where a user is given).
    """

    errors = (KafkaError, OSError)
    settled_s = 3 * _SESSION_MS / 1000

    def __init__(self, url: str, *, timeout_s: float = 30) -> None:
        super().__init__(timeout_s=timeout_s)
        options = _options(url)
        self._topic = urlsplit(url).path.strip("/") or TOPIC
        self._aside = f"{self._topic}-set-aside"
        self._client = _client(url, options)
        self._idempotent = options.get("enable_idempotence") != "false"
        self._partitions = int(options.get("partitions", PARTITIONS))
        self._replication = int(options.get("replication", 1))
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._taken: defaultdict[TopicPartition, set[int]] = defaultdict(set)
        self._behind: dict[TopicPartition, int] = {}

    async def _connect(self) -> None:
        await self._make_topics()
        producer = AIOKafkaProducer(
            **self._client, acks="all", enable_idempotence=self._idempotent, max_request_size=2 * RECORD_BYTES
        )
        self._producer = await _started(producer)

    async def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        consumer, self._consumer = self._consumer, None
        for client in (consumer, producer):
            if client:
                await client.stop()

    async def _make_topics(self) -> None:
        admin = AIOKafkaAdminClient(**self._client)
        try:
            await admin.start()
            wanted = [
                NewTopic(self._topic, self._partitions, self._replication),
                NewTopic(self._aside, 1, self._replication),
            ]
            answer = await admin.create_topics(wanted)
        finally:
            await admin.close()
        for topic, code, *message in answer.topic_errors:
            if code not in (0, _EXISTS):
                raise KafkaError(f"topic {topic}: error {code} {message}")

    async def _send(self, record: Record) -> None:
        await self._produce(self._topic, record)

    async def _receive(self, wait_s: float) -> list[tuple[Receipt, Record]]:
        consumer = await self._pumping()
        batches = await consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=RECEIVE_RECORDS)
        found: list[tuple[Receipt, Record]] = []
        for partition, messages in batches.items():
            for message in messages:
                self._taken[partition].add(message.offset)
                self._behind[partition] = message.offset + 1
                found.append(((partition, message.offset), _record(message)))
        return found

    async def _pumping(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                self._topic,
                **self._client,
                group_id=f"{GROUP}-{self._topic}",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=_SESSION_MS,
            )
            self._consumer = await _started(consumer)
        return self._consumer

    async def _acknowledge(self, receipts: Sequence[Receipt]) -> None:
        """Commits up to the oldest record that is still on its way: an acknowledgement may overtake another's."""
        for partition, offset in receipts:
            self._taken[partition].discard(offset)
        changed = {partition for partition, _ in receipts}
        consumer = await self._pumping()
        mine = changed & consumer.assignment()
        if not mine:
            return  # another pump has these partitions now, and takes the records again
        try:
            await consumer.commit({each: min(self._taken[each], default=self._behind[each]) for each in mine})
        except (CommitFailedError, IllegalGenerationError, IllegalStateError):
            return  # so it is while the group settles

    async def _add_aside(self, record: Record, reason: str) -> None:
        await self._produce(self._aside, record, [("reason", reason.encode())])

    async def _count_aside(self) -> int:
        async with self._reading() as consumer:
            begin, end = await self._aside_range(consumer)
            return end - begin

    async def _list_aside(self, limit: int) -> list[SetAside]:
        async with self._reading() as consumer:
            partition = TopicPartition(self._aside, 0)
            consumer.assign([partition])
            begin, end = await self._aside_range(consumer)
            consumer.seek(partition, max(begin, end - limit))
            found: list[SetAside] = []
            while await consumer.position(partition) < end:
                found += [
                    _set_aside(message) for message in (await consumer.getmany(partition, timeout_ms=1000))[partition]
                ]
            return found[::-1]

    async def _aside_range(self, consumer: AIOKafkaConsumer) -> tuple[int, int]:
        """From the first record that is kept to behind the last one."""
        partition = TopicPartition(self._aside, 0)
        begins, ends = await consumer.beginning_offsets([partition]), await consumer.end_offsets([partition])
        return begins[partition], ends[partition]

    async def _end(self) -> dict[TopicPartition, int]:
        async with self._reading() as consumer:
            numbers = await self._connected().partitions_for(self._topic)
            ends: dict[TopicPartition, int] = await consumer.end_offsets(
                [TopicPartition(self._topic, n) for n in numbers]
            )
            return ends

    async def _follow(self, position: Mapping[TopicPartition, int]) -> AsyncIterator[tuple[Any, Record]]:
        async with self._reading(fetch_max_wait_ms=_LIVE_POLL_MS) as consumer:
            positions = dict(position)
            consumer.assign(list(positions))
            for partition, offset in positions.items():
                consumer.seek(partition, offset)
            async for message in consumer:
                positions[TopicPartition(message.topic, message.partition)] = message.offset + 1
                yield positions, _record(message)

    @asynccontextmanager
    async def _reading(self, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer in no group."""
        consumer = await _started(AIOKafkaConsumer(**self._client, **options))
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def _produce(self, topic: str, record: Record, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        key = record.deployment.encode()
        await self._connected().send_and_wait(topic, record.data, key=key, headers=list(headers))

    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise KafkaError("not connected")
        return self._producer


async def _started(client: Any) -> Any:
    """Started, or stopped again."""
    try:
        await client.start()
    except BaseException:
        await client.stop()
        raise
    return client


def _options(url: str) -> dict[str, str]:
    options = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    for name, value in options.items():
        if name not in _OPTIONS:
            raise _refused(f"unknown option {name!r}", f"Known are {', '.join(sorted(_OPTIONS))}.")
        if not re.fullmatch(_OPTIONS[name], value):
            raise _refused(f"{name}={value!r} is no value of it", f"Expected is {_OPTIONS[name]}.")
    return options


def _brokers(netloc: str) -> list[str]:
    found = netloc.rpartition("@")[2].split(",")
    if not all(re.fullmatch(r"([^:\s]+|\[[^\]]+\])(:\d{1,5})?", broker) for broker in found):
        raise _refused("its brokers are not given as host:port", "kafka://[user:password@]host:port[,host:port]/topic")
    return found


def _refused(why: str, hint: str) -> BadSettings:
    return BadSettings(f"SCALEMESH_LOG_BUS_URL: {why}", hint=hint, field="SCALEMESH_LOG_BUS_URL")


def _client(url: str, options: Mapping[str, str]) -> dict[str, Any]:
    netloc = urlsplit(url).netloc
    credentials = netloc.rpartition("@")[0]
    protocol = options.get("security_protocol", "SASL_PLAINTEXT" if credentials else "PLAINTEXT")
    given: dict[str, Any] = {
        "bootstrap_servers": _brokers(netloc),
        "request_timeout_ms": _CALL_MS,
        "security_protocol": protocol,
    }
    if "SSL" in protocol.split("_"):
        given["ssl_context"] = create_ssl_context()
    if credentials:
        user, _, password = credentials.partition(":")
        given |= {
            "sasl_mechanism": options.get("sasl_mechanism", "PLAIN"),
            "sasl_plain_username": unquote(user),
            "sasl_plain_password": unquote(password),
        }
    return given


def _record(message: ConsumerRecord) -> Record:
    return Record((message.key or b"").decode(errors="replace"), message.value or b"")


def _set_aside(message: ConsumerRecord) -> SetAside:
    reason = dict(message.headers).get("reason", b"").decode(errors="replace")
    record = _record(message)
    return SetAside(record.deployment, reason, message.timestamp or time.time_ns() // 1_000_000, record.data)
