"""Search over ten million log lines in the ClickHouse engine: p50 and p95 per kind of question."""

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.report import report
from scalemesh.logs.archive.clickhouse import ClickHouseArchive
from scalemesh.logs.hits import find
from scalemesh.logs.search import Search
from scalemesh.testing.log_engines import ClickHouseEngine

LINES, DEPLOYMENTS, ASKED = 10_000_000, 1000, 20
_AT_ONCE = 250_000  # lines by one INSERT
_PER_DEPLOYMENT = LINES // DEPLOYMENTS
_FILL = f"""
INSERT INTO log_lines (deployment, seq, attempt, ts, stream, level, step, text, partial)
SELECT concat('dpl_', leftPad(toString(intDiv(number, {_PER_DEPLOYMENT})), 6, '0')), number % {_PER_DEPLOYMENT},
    1, fromUnixTimestamp64Milli(toInt64(1700000000000 + number)), 'stdout',
    if(number % 500 = 0, 'error', 'info'), 'build',
    concat('[', toString(number), '] transformed src/', lower(hex(cityHash64(number % 5000))), '.tsx in ',
        toString(cityHash64(number) % 900), ' ms, chunk ', hex(cityHash64(number + 7))), 0
FROM numbers({{first:UInt64}}, {_AT_ONCE})"""


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ClickHouseEngine(Path(folder)) as engine:
        async with ClickHouseArchive(engine.url) as archive:
            for first in range(0, LINES, _AT_ONCE):  # by the engine itself: what is measured is the search
                await archive._client.command(_FILL, {"first": first})  # noqa: SLF001
            deployments = [f"dpl_{n:06}" for n in reversed(range(DEPLOYMENTS))]
            rare = [f"[{random.randrange(LINES)}]" for _ in range(ASKED)]
            asked = {
                "project_rare": [(deployments, Search(text, "substring")) for text in rare],
                "project_common": [(deployments, Search("transformed"))] * ASKED,
                "project_regex": [
                    (deployments, Search(rf"{n}. transformed src/.*tsx", "regex")) for n in range(10**6, 10**6 + ASKED)
                ],
                "project_none": [(deployments, Search(f"nothing{n}zq")) for n in range(ASKED)],
                "deployment_word": [
                    ([random.choice(deployments)], Search("chunk", level="error")) for _ in range(ASKED)
                ],
            }
            results: dict[str, object] = {"lines": LINES}
            for name, questions in asked.items():
                times = sorted([await _timed(archive, *question) for question in questions])
                results[f"{name}_p50_ms"] = round(statistics.median(times), 1)
                results[f"{name}_p95_ms"] = round(times[int(ASKED * 0.95) - 1], 1)
            report("log_search", results, {}, {name: 300 for name in results if "p95" in name})


async def _timed(archive: ClickHouseArchive, deployments: list[str], search: Search) -> float:
    started = time.perf_counter()
    await find(archive, deployments, search, None, limit=50, context=0)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    asyncio.run(main())
