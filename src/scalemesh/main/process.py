"""What every asyncio process of the platform does alike: its log, its loop, its end."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import structlog
import uvloop

from scalemesh.errors import BadSettings
from scalemesh.settings import Settings, load

BAD_SETTINGS = 2


def run(main: Callable[[Settings], Coroutine[Any, Any, None]], **options: Any) -> NoReturn:
    """Loads the settings, runs `main` on uvloop and exits: 0, or 2 with one line on stderr for BadSettings."""
    try:
        settings = load(os.environ, **options)
        configure_log(settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main(settings))
    except BadSettings as error:
        sys.stderr.write(f"error: {error.message} {error.hint or ''}".rstrip() + "\n")
        sys.exit(BAD_SETTINGS)
    sys.exit(0)


def configure_log(level: str) -> None:
    """Events with keys on stderr: for people where a terminal reads them, as JSON elsewhere."""
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    if sys.stderr.isatty():
        processors.append(structlog.dev.ConsoleRenderer(pad_event_to=0, pad_level=False))
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def stop_on_signal() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def until_signal(*parts: "asyncio.Task[None]") -> None:
    """Returns at SIGTERM or SIGINT; a part that ends by itself before has failed, and raises here."""
    await until(stop_on_signal(), *parts)


async def until(stopping: asyncio.Event, *parts: "asyncio.Task[None]") -> None:
    """Returns once `stopping` is set; a part that ends by itself before has failed, and raises here."""
    stop = asyncio.create_task(stopping.wait())
    gc.freeze()  # what is loaded stays: full collections that look at it again stop everything for 80 ms
    try:
        await asyncio.wait([stop, *parts], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
    if not stopping.is_set():
        for part in parts:
            if part.done():
                part.result()
                raise RuntimeError(f"{part.get_name()} ended by itself")
