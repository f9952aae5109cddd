"""Run as `python -m scalemesh.sandbox.trial DIRECTORY`: one isolated step. Exit code 1 and the reason on stderr."""

import asyncio
import sys
from pathlib import Path

from scalemesh.core.build import Limits
from scalemesh.errors import ScaleMeshError
from scalemesh.sandbox.session import Session
from scalemesh.sandbox.step import StepCommand

_ISOLATED = "test $$ -le 9 && test ! -e /root && test ! -w /usr"


async def _trial(directory: Path) -> str | None:
    said = bytearray()

    async def on_output(_stream: str, data: bytes) -> None:
        said.extend(data)
        await asyncio.sleep(0)

    try:
        async with Session(directory, limits=Limits()) as session:
            step = StepCommand(("/bin/sh", "-c", _ISOLATED), cwd=session.view(session.workspace), timeout_s=20)
            result = await session.run(step, on_output)
    except ScaleMeshError as error:
        return f"{error.message} {said.decode(errors='replace')}".strip()
    return None if result.ok else f"a trial step ended with {result.exit_code}: {said.decode(errors='replace')}"


if __name__ == "__main__":
    sys.exit(asyncio.run(_trial(Path(sys.argv[1]))))
