"""API, dashboard, log pump and, unless they run apart, the dispatcher: one process, one event loop."""

import argparse
import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import uvicorn

from scalemesh.api import GatheringWebSockets, Services, create_app
from scalemesh.main import process
from scalemesh.main.dispatcher import dispatching, require_sandbox
from scalemesh.main.platform import Platform, open_platform
from scalemesh.settings import Settings

LOCAL_EDGE = "local"
_STOP_S = 1  # for answers that are on their way when we stop; longer ones are cut


class Status:
    """What the supervisor is told, through a pipe; nobody is, where there is none."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd

    def tell(self, **facts: object) -> None:
        if self._fd is not None:
            with contextlib.suppress(BrokenPipeError):  # a supervisor that was killed needs no news
                os.write(self._fd, json.dumps(facts).encode() + b"\n")


def main() -> None:
    """As a child of `scalemesh up`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--status-fd", type=int, required=True)
    parser.add_argument("--demo", action="store_true")
    given = parser.parse_args()
    for fd in (given.listen_fd, given.status_fd):
        os.set_inheritable(fd, False)  # builds outlive us, and must not hold our port
    listener = socket.socket(fileno=given.listen_fd)
    process.run(lambda settings: serve(settings, listener, Status(given.status_fd), demo=given.demo))


async def serve(
    settings: Settings, listener: socket.socket, status: Status, *, is_apart: bool = False, demo: bool = False
) -> None:
    """Until SIGTERM or SIGINT. `is_apart`: dispatcher and pump are processes of their own."""
    stopping = process.stop_on_signal()
    async with AsyncExitStack() as stack:
        trying = None if is_apart else asyncio.create_task(require_sandbox(settings))  # half a second, beside the rest
        platform = await stack.enter_async_context(open_platform(settings, pump=not is_apart))
        if trying:
            await trying
        await _prepare(platform, status)
        parts = [await stack.enter_async_context(_serving(platform, listener, stopping))]
        if not is_apart:
            parts.append(await stack.enter_async_context(dispatching(platform)))
        if demo:
            stack.enter_context(_demonstrating(platform, status))
        await process.until(stopping, *parts)


async def _prepare(platform: Platform, status: Status) -> None:
    if token := platform.settings.edge.token:
        await platform.deployments.routes.ensure_edge(LOCAL_EDGE, token)
    setup_token = await platform.accounts.first_run(platform.settings.setup_token)
    status.tell(ready=True, needs_setup=setup_token is not None)


@asynccontextmanager
async def _serving(
    platform: Platform, listener: socket.socket, stopping: asyncio.Event
) -> AsyncIterator[asyncio.Task[None]]:
    """The server as a running task. It begins to stop together with everything else."""
    from scalemesh import dashboard

    services = _services(platform, stopping)
    server = _Server(_config(create_app(services, [dashboard.router(services)])))
    running = asyncio.create_task(server.serve([listener]), name="server")
    watching = asyncio.create_task(_stop_with(server, stopping))
    try:
        yield running
    finally:
        watching.cancel()
        server.should_exit = True
        await asyncio.wait([running], timeout=_STOP_S + 1)


async def _stop_with(server: uvicorn.Server, stopping: asyncio.Event) -> None:
    await stopping.wait()
    server.should_exit = True


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the whole process, not for its server alone."""
        yield


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own ASGI types and starlette's do not know each other
        http="httptools",
        ws=GatheringWebSockets,
        ws_per_message_deflate=False,  # lines are short, and many
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ws_max_size=64 * 1024,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_STOP_S,
    )


def _services(platform: Platform, stopping: asyncio.Event) -> Services:
    settings = platform.settings
    return Services(
        db=platform.db,
        accounts=platform.accounts,
        projects=platform.projects,
        deployments=platform.deployments,
        sources=platform.sources,
        logs=platform.logs,
        url=settings.url,
        sites_url=settings.sites_url,
        hosts=_hosts(settings),
        stopping=stopping,
    )


def _hosts(settings: Settings) -> frozenset[str]:
    """The names that we answer to: our addresses, this machine's own names, and what the operator adds."""
    own = {urlsplit(url).hostname or "" for url in (settings.url, settings.internal_url)}
    return frozenset(
        {*own, "localhost", "127.0.0.1", "::1", settings.host, *settings.allowed_hosts} - {"", "0.0.0.0", "::"}  # noqa: S104  no name of ours
    )


@contextmanager
def _demonstrating(platform: Platform, status: Status) -> Iterator[None]:
    from scalemesh.main.demo import deploy_demo

    running = asyncio.create_task(deploy_demo(platform, lambda url: status.tell(demo=url)), name="demo")
    try:
        yield
    finally:
        running.cancel()


if __name__ == "__main__":
    main()
