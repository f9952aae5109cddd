"""Holds one session as an agent does: argv[1] is a JSON request; each result is a JSON line on stdout as it comes."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from scalemesh.core.build import Limits
from scalemesh.egress.guard import Guard
from scalemesh.sandbox.session import Session
from scalemesh.sandbox.step import StepCommand


def say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def main(request: dict[str, Any]) -> None:
    notices: list[str] = []
    directory = Path(request["directory"])
    async with Session(
        directory, limits=Limits(**request["limits"]), mode=request["mode"], on_notice=notices.append
    ) as session:
        for step in request["steps"]:
            seen = {"stdout": b"", "stderr": b""}

            async def on_output(stream: str, data: bytes, seen: dict[str, bytes] = seen) -> None:
                seen[stream] += data
                say(output=data.decode(errors="replace"))

            guard = None if step["egress"] is None else Guard(**step["egress"])
            if step["cancel_after_s"] is not None:
                asyncio.get_running_loop().call_later(
                    step["cancel_after_s"], lambda: asyncio.create_task(session.cancel())
                )
            command = StepCommand(
                tuple(step["argv"]),
                cwd=session.view(session.workspace),
                timeout_s=step["timeout_s"],
                env={**step["env"], "HOLDER": str(os.getpid())},
                egress=guard,
            )
            result = await session.run(command, on_output)
            say(
                result={
                    "reason": result.reason,
                    "exit_code": result.exit_code,
                    "duration_ms": result.duration_ms,
                    **{name: data.decode(errors="replace") for name, data in seen.items()},
                    "notices": list(notices),
                }
            )
            notices.clear()


asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
