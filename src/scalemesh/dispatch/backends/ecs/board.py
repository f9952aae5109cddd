"""The builds' tasks as they are: all of them in few calls, which polls share."""

import asyncio
import time
from concurrent.futures import Executor
from typing import Any

from scalemesh.dispatch.backends.ecs import aws
from scalemesh.dispatch.backends.ecs.requests import ATTEMPT, INSTANCE, EcsSettings

Json = dict[str, Any]

BATCH = 100  # the most that DescribeTasks takes
SETTLE_S = 60.0  # ECS is eventually consistent: a new task may not be shown for a while


class Board:
    """Lists what runs of the task definition's family; a stopped task is only seen by who knew it before."""

    def __init__(self, client: Any, threads: Executor, settings: EcsSettings) -> None:
        self._client = client
        self._threads = threads
        self._settings = settings
        self._family = settings.task_definition.rpartition("/")[2].partition(":")[0]
        self._tasks: dict[str, Json] = {}
        self._arns: dict[str, str] = {}
        self._noted: dict[str, float] = {}
        self._looked = -1e9
        self._looking = asyncio.Lock()

    def note(self, attempt: str, task: Json) -> None:
        """It has just been started."""
        self._tasks[attempt], self._arns[attempt] = task, task["taskArn"]
        self._noted[attempt] = time.monotonic()

    def forget(self, attempt: str) -> None:
        for known in (self._tasks, self._arns, self._noted):
            known.pop(attempt, None)

    async def task(self, attempt: str, arn: str | None = None, *, fresh: bool = False) -> Json | None:
        """As seen in the last `look_s`, or with `fresh` not before now; None where there is no such task."""
        if arn and attempt not in self._arns:
            self._arns[attempt] = arn
            fresh = fresh or attempt not in self._tasks
        await self._look(fresh=fresh)
        return self._tasks.get(attempt)

    async def attempts(self) -> set[str]:
        """Of which a task has not stopped, as of now."""
        await self._look(fresh=True)
        return {attempt for attempt, task in self._tasks.items() if task["lastStatus"] != "STOPPED"}

    async def _look(self, *, fresh: bool) -> None:
        wanted = time.monotonic() - (0 if fresh else self._settings.look_s)
        async with self._looking:
            if self._looked >= wanted:
                return
            began = time.monotonic()
            known = {arn: attempt for attempt, arn in self._arns.items()}
            found: dict[str, Json] = {}
            for task in await self._describe(sorted({*known, *await self._running()})):
                if attempt := known.get(task["taskArn"]) or self._attempt(task):
                    found[attempt] = task
            new = {one: task for one, task in self._tasks.items() if self._noted.get(one, 0) > began - SETTLE_S}
            self._tasks, self._looked = new | found, began

    async def _running(self) -> set[str]:
        arns: set[str] = set()
        more: dict[str, str] = {}
        while True:
            page = await self._call(self._client.list_tasks, family=self._family, desiredStatus="RUNNING", **more)
            arns |= set(page["taskArns"])
            if not page.get("nextToken"):
                return arns
            more = {"nextToken": page["nextToken"]}

    async def _describe(self, arns: list[str]) -> list[Json]:
        tasks: list[Json] = []
        for first in range(0, len(arns), BATCH):
            batch = arns[first : first + BATCH]
            tasks += (await self._call(self._client.describe_tasks, tasks=batch, include=["TAGS"]))["tasks"]
        return tasks

    def _attempt(self, task: Json) -> str | None:
        tags = {each["key"]: each["value"] for each in task.get("tags") or ()}
        return tags.get(ATTEMPT) if tags.get(INSTANCE) == self._settings.instance else None

    async def _call(self, method: Any, **parameters: Any) -> Any:
        return await aws.call(self._threads, method, cluster=self._settings.cluster, **parameters)
