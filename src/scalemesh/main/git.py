"""The git worker's process: `python -I -m scalemesh.main.git FD`; reads one Ask from FD, prints one Answer, ends."""

import asyncio
import os
import sys
from pathlib import Path

from scalemesh.core.documents import decode, encode
from scalemesh.errors import InvalidInput, ScaleMeshError
from scalemesh.sandbox.session import Session
from scalemesh.sources.documents import Answer, Ask, Refusal
from scalemesh.sources.repository import Repository


def main() -> None:
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        ask = decode(Ask, file.read())
    sys.stdout.buffer.write(encode(asyncio.run(_answer(ask))))


async def _answer(ask: Ask) -> Answer:
    try:
        async with asyncio.timeout(ask.deadline_s):
            return await _look(ask)
    except TimeoutError:
        message = f"{ask.url} did not answer within {ask.deadline_s:.0f} s."
        return Answer(refusal=Refusal(code="git_timeout", message=message, hint="Is its server up?", field="git_url"))
    except InvalidInput as error:
        return Answer(refusal=Refusal(code=error.code, message=error.message, hint=error.hint, field=error.field))
    except ScaleMeshError as error:
        return Answer(refusal=Refusal(code=error.code, message=error.message, hint=error.hint))


async def _look(ask: Ask) -> Answer:
    notices: list[str] = []
    mode = ask.sandbox
    async with Session(Path(ask.directory), limits=ask.limits, mode=mode, on_notice=notices.append) as session:
        repository = Repository(session, ask, lambda: next((n for n in notices if "denied" in n), None))
        repository.write_files()
        if ask.settings is None:
            return Answer(resolved=await repository.resolve())
        return Answer(peek=await repository.peek(ask.settings))


if __name__ == "__main__":
    main()
