"""The API with a log bus and a number of running builds, as a process of its own; prints where they are as JSON."""

import asyncio
import json
import socket
import sys
from pathlib import Path

import uvicorn
import uvloop

from scalemesh.api import GatheringWebSockets, Services, create_app
from scalemesh.logs import LogService, open_archive, open_bus
from scalemesh.main import process
from scalemesh.testing.engines import Sqlite
from scalemesh.testing.factories import Kit, open_kit
from tests.integration.api.conftest import token_of


async def main(folder: Path, bus: str, archive: str, builds: int) -> None:
    process.configure_log("info")  # to stderr, as the platform's own: nobody reads on from stdout
    url = await Sqlite(folder).fresh()
    async with LogService(open_bus(bus), open_archive(archive)) as logs, open_kit(url, logs=logs) as kit:
        token = await token_of(kit, "acme")
        agents = [await _build(kit, token, number) for number in range(builds)]
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(200)
            port = listener.getsockname()[1]
            services = Services(
                db=kit.db,
                accounts=kit.accounts,
                projects=kit.projects,
                deployments=kit.deployments,
                sources=None,  # type: ignore[arg-type]  # nobody asks for a source here
                logs=logs,
                url=f"http://localhost:{port}",
                sites_url="http://*.localhost:8080",
                hosts=frozenset({"localhost", "127.0.0.1"}),
            )
            config = uvicorn.Config(
                create_app(services),
                http="httptools",
                ws=GatheringWebSockets,
                ws_per_message_deflate=False,  # lines are short, and many
                lifespan="off",
                log_config=None,
                access_log=False,
            )
            print(json.dumps({"port": port, "token": token, "agents": agents}), flush=True)
            serving = asyncio.create_task(uvicorn.Server(config).serve([listener]))
            await process.until(asyncio.Event(), serving)


async def _build(kit: Kit, token: str, number: int) -> dict[str, object]:
    actor = await kit.accounts.actor_for_token(token)
    await kit.project(actor, f"blog{number}")
    await kit.queued(actor, f"blog{number}")
    claimed = await kit.claim()
    assert claimed
    agent = await kit.launched(claimed)
    return {
        "deployment": agent.build.deployment,
        "attempt": claimed.attempt,
        "token": claimed.token,
        "first": agent.next_seq,
    }


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
