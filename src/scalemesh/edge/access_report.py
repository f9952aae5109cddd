"""The keeper's reports to the platform: `POST /v1/edge/access`, from the spool, again until it answers."""

import asyncio
import logging
import sqlite3

from scalemesh.edge.access_spool import AccessSpool
from scalemesh.edge.http_client import HttpClient
from scalemesh.errors import InvalidInput, Unavailable

log = logging.getLogger(__name__)

ANSWER_S = 40.0  # the platform waits for its archive
IDLE_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 3.0
_NEVER = frozenset({400, 413, 422})  # sent again, it would fare no better


class AccessReports:
    """`run` until cancelled, whatever the disk or the platform say.

    A batch that the platform calls invalid is dropped, counted and logged.
    """

    def __init__(self, spool: AccessSpool, base_url: str, token: str) -> None:
        self._spool = spool
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._http = HttpClient(base_url, headers)
        self._told = 0  # of what was dropped

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                pause_s = 0.0 if await self._report() else IDLE_S
                failures = 0
            except (Unavailable, sqlite3.OperationalError) as error:
                if not failures:
                    log.warning("access records wait: %s", error)
                pause_s = min(_FIRST_PAUSE_S * 2**failures, _LONGEST_PAUSE_S)
                failures = min(failures + 1, 10)
            await asyncio.sleep(pause_s)

    async def _report(self) -> bool:
        """Whether there was something to tell."""
        batches = await asyncio.to_thread(self._spool.oldest)
        dropped = await asyncio.to_thread(self._spool.dropped)
        if not batches and dropped == self._told:
            return False
        try:
            await self._post(batches, dropped)
        except InvalidInput as error:
            if len(batches) == 1:
                await self._refused(batches[0][0], error)
            else:
                await self._one_by_one(batches, dropped)
        else:
            if batches:
                await asyncio.to_thread(self._spool.remove, batches[-1][0])
        self._told = dropped
        return True

    async def _one_by_one(self, batches: list[tuple[int, bytes]], dropped: int) -> None:
        for number, rows in batches:
            try:
                await self._post([(number, rows)], dropped)
            except InvalidInput as error:
                await self._refused(number, error)
            else:
                await asyncio.to_thread(self._spool.remove, number)

    async def _refused(self, number: int, error: InvalidInput) -> None:
        log.error("access records dropped: %s", error.message)
        await asyncio.to_thread(self._spool.refuse, number)

    async def _post(self, batches: list[tuple[int, bytes]], dropped: int) -> None:
        """An AccessReport, put together from documents that are written already."""
        spool = self._spool.id.encode()
        written = b",".join(b'{"spool":"%s","number":%d,"rows":%s}' % (spool, *batch) for batch in batches)
        body = b'{"batches":[%s],"dropped":%d}' % (written, dropped)
        status, answer = await self._http.post("/v1/edge/access", body, timeout_s=ANSWER_S)
        if status in _NEVER:
            raise InvalidInput(f"The platform answered {status}: {answer[:500].decode('utf-8', 'replace')}")
        if status >= 300:
            raise Unavailable(f"The platform answered {status} to access records.")

    def close(self) -> None:
        self._http.close()
