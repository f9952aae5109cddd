"""The agent's process: `python -I -m scalemesh.main.agent OPTIONS` (core.build.AgentOptions as JSON).

What a build waits for is started first: the sandbox opens and the HTTP client is imported side by side.
"""

import asyncio
import contextlib
import importlib
import signal
import sys
from pathlib import Path

from scalemesh.core.build import AgentOptions
from scalemesh.core.documents import decode
from scalemesh.sandbox.session import Session
from scalemesh.sandbox.step import Mount


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # process 1 ignores it otherwise
    options = decode(AgentOptions, sys.argv[1])
    sys.exit(asyncio.run(_run(options, _token(options))))


def _token(options: AgentOptions) -> str:
    if options.token.startswith("ssm:"):
        from scalemesh.dispatch.backends.ecs import parameters

        return parameters.read(options)
    token_file = Path(options.token)
    token = token_file.read_text().strip()
    if "container" not in options.sandbox:
        token_file.unlink()
    return token


async def _run(options: AgentOptions, token: str) -> int:
    notices: list[str] = []
    notice = notices.append  # until there is an agent to hear them

    def on_notice(line: str) -> None:
        notice(line)

    session = Session(
        Path(options.directory),
        limits=options.limits,
        mode=options.sandbox,
        mounts=[Mount(Path(options.toolchains), "/opt")],
        on_notice=on_notice,
    )
    opening = asyncio.create_task(session.__aenter__())
    try:
        sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its command line: 50 ms of imports
        await asyncio.to_thread(importlib.import_module, "scalemesh.buildserver.control.http")
        from scalemesh.buildserver.agent import Agent
        from scalemesh.buildserver.control.http import HttpControl
        from scalemesh.buildserver.toolchains import BrokeredToolchains

        async with _broker(options), HttpControl(options.url, options.attempt, token) as control:
            agent = Agent(control, BrokeredToolchains(Path(options.broker)), _caches(options))
            notice = agent.notice
            running = asyncio.create_task(agent.run(await agent.claim(), opening))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
            return await running
    finally:
        opening.cancel()
        await asyncio.wait([opening])
        await session.__aexit__(None, None, None)


def _caches(options: AgentOptions) -> list[Path] | None:
    """A container sees no folder of other builds."""
    return None if "container" in options.sandbox else [Path(path) for path in options.caches]


def _broker(options: AgentOptions) -> "contextlib.AbstractAsyncContextManager[object]":
    """In a container of its own there is no platform's broker: the agent fetches toolchains itself."""
    if "container" not in options.sandbox:
        return contextlib.nullcontext()
    from scalemesh.dispatch.toolchains.broker import Broker
    from scalemesh.dispatch.toolchains.store import Store

    return Broker(Store(Path(options.toolchains)), Path(options.broker), ())


if __name__ == "__main__":
    main()
