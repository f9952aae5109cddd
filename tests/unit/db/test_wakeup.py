"""Wakeups are heard by who listened before."""

import asyncio

from scalemesh.db import Wakeup


async def test_notify_wakes_the_topic_alone() -> None:
    wakeup = Wakeup()
    with wakeup.listen("queue") as queue, wakeup.listen("routes") as routes:
        wakeup.notify("queue")
        assert (await queue.wait(1), await routes.wait(0)) == (True, False)


async def test_heard_before_the_wait() -> None:
    wakeup = Wakeup()
    with wakeup.listen("queue") as listener:
        wakeup.notify("queue")
        assert await listener.wait(0)


async def test_wait_consumes() -> None:
    wakeup = Wakeup()
    with wakeup.listen("queue") as listener:
        wakeup.notify("queue")
        await listener.wait(1)
        assert not await listener.wait(0)


async def test_all_listeners() -> None:
    wakeup = Wakeup()
    waiting = [asyncio.create_task(wakeup.wait("queue", 5)) for _ in range(3)]
    await asyncio.sleep(0)
    wakeup.notify("queue")
    assert await asyncio.gather(*waiting) == [True, True, True]


async def test_nothing_is_kept() -> None:
    wakeup = Wakeup()
    await wakeup.wait("deployment:x", 0)
    wakeup.notify("deployment:x")
    assert not wakeup._listeners
