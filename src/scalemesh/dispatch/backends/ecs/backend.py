"""The port on AWS ECS: the task is the attempt, its token's parameter the mark that something is left of it."""

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Self

from scalemesh.core.build import CacheScope
from scalemesh.dispatch.backends.base import Backend, Ended, Handle, Launch, Status
from scalemesh.dispatch.backends.ecs import aws, requests
from scalemesh.dispatch.backends.ecs.board import Board
from scalemesh.dispatch.backends.ecs.outcomes import status_of
from scalemesh.dispatch.backends.ecs.parameters import Tokens
from scalemesh.dispatch.backends.ecs.requests import EcsSettings
from scalemesh.errors import BadSettings, InfrastructureFault

GONE_S = 120.0  # the agent's grace, and the time that Fargate takes to give a network interface back
_BACKOFF_S = 20.0
_DELETED = Ended("deleted", "The build's task is unknown to ECS.")
# Errors of RunTask that pass; every entry of its `failures` is of that kind too.
_NO_ROOM = ("Capacity is unavailable", "You've reached the limit")

Json = dict[str, Any]


class EcsBackend(Backend):
    """Account, region and keys are those of the environment, as AWS's own tools have them."""

    name = "ecs"
    shared = True

    def __init__(self, settings: EcsSettings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Self:
        self._threads = ThreadPoolExecutor(aws.CALLS_AT_ONCE, thread_name_prefix="aws")
        self._ecs, ssm = [await asyncio.to_thread(aws.client, service) for service in ("ecs", "ssm")]
        path = f"{self._settings.parameters.rstrip('/')}/{self._settings.instance}"
        self._tokens = Tokens(ssm, self._threads, path)
        self._board = Board(self._ecs, self._threads, self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def launch(self, launch: Launch) -> Handle:
        task = await self._board.task(launch.attempt)
        if task is None:
            token = await self._tokens.put(launch.attempt, launch.token)
            task = await self._run(requests.run_task(launch, self._settings, token), launch.attempt)
            self._board.note(launch.attempt, task)
        return {"cluster": self._settings.cluster, "task": task["taskArn"]}

    async def poll(self, attempt: str, handle: Handle | None) -> Status:
        task = await self._board.task(attempt, _arn(handle))
        return status_of(task) if task else Status(running=False, detail="no task", ended=_DELETED)

    async def stop(self, attempt: str, handle: Handle | None, keep: CacheScope | None = None) -> None:
        task = await self._board.task(attempt, _arn(handle), fresh=True)
        if task and task["lastStatus"] != "STOPPED":
            arn, cluster = task["taskArn"], self._settings.cluster
            await aws.call(self._threads, self._ecs.stop_task, cluster=cluster, task=arn, reason="Scale Mesh: done")
            await self._until_stopped(attempt, arn)
        await self._tokens.delete(attempt)
        self._board.forget(attempt)

    async def existing(self) -> set[str]:
        return await self._tokens.attempts() | await self._board.attempts()

    async def _run(self, wanted: Json, attempt: str) -> Json:
        """One task, however often it is asked for: ECS answers a repeated `clientToken` with the task it has."""
        deadline = time.monotonic() + self._settings.capacity_s
        for tries in count():
            task, reason = await self._try({**wanted, "clientToken": f"{attempt}-{tries}"})
            if task:
                return task
            wait_s = min(_BACKOFF_S, 2.0**tries) * random.uniform(0.5, 1)
            if time.monotonic() + wait_s > deadline:
                break
            await asyncio.sleep(wait_s)
        raise InfrastructureFault(f"ECS has no room for the build: {reason}", code="no_capacity")

    async def _try(self, wanted: Json) -> tuple[Json | None, str]:
        """The task, or why there was no room for it: then nothing has been started."""
        try:
            answer = await aws.call(self._threads, self._ecs.run_task, **wanted)
        except (BadSettings, InfrastructureFault) as error:
            if any(words in error.message for words in _NO_ROOM):
                return None, error.message
            raise
        reasons = [f"{each.get('reason', '')} {each.get('detail', '')}".strip() for each in answer["failures"]]
        return next(iter(answer["tasks"]), None), "; ".join(reasons)

    async def _until_stopped(self, attempt: str, arn: str) -> None:
        deadline = time.monotonic() + GONE_S
        while (task := await self._board.task(attempt, arn)) and task["lastStatus"] != "STOPPED":
            if time.monotonic() > deadline:
                raise InfrastructureFault(f"The task of {attempt} does not stop.", code="task_stays")
            await asyncio.sleep(self._settings.look_s)


def _arn(handle: Handle | None) -> str | None:
    return handle["task"] if handle else None
