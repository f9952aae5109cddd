"""What every log archive must do: subclass ArchiveContract and give it an `archive` fixture."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from scalemesh.core.logs import MAX_LINE_BYTES, LogLine
from scalemesh.errors import InvalidInput
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.search import Search
from scalemesh.testing.log_lines import DEPLOYMENT, lines, numbers


class ArchiveContract(ABC):
    @abstractmethod
    @pytest.fixture
    def archive(self) -> AsyncIterator[Archive]:
        """An open, empty archive."""

    async def test_gives_back_every_field(self, archive: Archive) -> None:
        plain = LogLine(deployment=DEPLOYMENT, attempt=1, seq=0, ts=1)
        full = LogLine(
            deployment=DEPLOYMENT,
            attempt=2,
            seq=1,
            ts=1_700_000_000_123,
            stream="stderr",
            level="error",
            step="build",
            text="naïve 🦀 \x1b[31mred\x1b[0m \x00 \u202e",
            partial=True,
        )
        await archive.append([plain, full])
        assert await archive.read(DEPLOYMENT) == [plain, full]

    async def test_takes_the_longest_line(self, archive: Archive) -> None:
        line = LogLine(deployment=DEPLOYMENT, attempt=1, seq=0, ts=1, text="x" * MAX_LINE_BYTES)
        await archive.append([line])
        assert await archive.read(DEPLOYMENT) == [line]

    async def test_counts_a_line_once(self, archive: Archive) -> None:
        await archive.append(lines(0, 1, 2))
        await archive.append(lines(1, 2, 3))
        assert numbers(await archive.read(DEPLOYMENT)) == [0, 1, 2, 3]

    async def test_counts_a_line_once_within_a_batch(self, archive: Archive) -> None:
        await archive.append(lines(0, 1, 1, 0))
        assert numbers(await archive.read(DEPLOYMENT)) == [0, 1]

    async def test_keeps_the_first_of_two_lines_with_one_number(self, archive: Archive) -> None:
        await archive.append(lines(0, attempt=1))
        await archive.append(lines(0, attempt=2))
        assert await archive.read(DEPLOYMENT) == lines(0, attempt=1)

    async def test_reads_in_order_whatever_the_order_of_arrival(self, archive: Archive) -> None:
        await archive.append(lines(5, 3))
        await archive.append(lines(4, 0))
        assert numbers(await archive.read(DEPLOYMENT)) == [0, 3, 4, 5]

    async def test_reads_after_a_number(self, archive: Archive) -> None:
        await archive.append(lines(0, 1, 2))
        assert numbers(await archive.read(DEPLOYMENT, after=0)) == [1, 2]

    async def test_reads_at_most_the_limit(self, archive: Archive) -> None:
        await archive.append(lines(0, 1, 2))
        assert numbers(await archive.read(DEPLOYMENT, limit=2)) == [0, 1]

    async def test_nothing_lies_after_the_end(self, archive: Archive) -> None:
        await archive.append(lines(0, 1))
        assert await archive.read(DEPLOYMENT, after=1) == []

    async def test_no_number_is_too_high_to_read_after(self, archive: Archive) -> None:
        await archive.append(lines(0, 1))
        assert await archive.read(DEPLOYMENT, after=2**62) == []

    async def test_an_unknown_deployment_has_no_lines(self, archive: Archive) -> None:
        assert await archive.read("dpl_unknown") == []

    async def test_keeps_deployments_apart(self, archive: Archive) -> None:
        await archive.append([*lines(0, deployment="dpl_a"), *lines(0, 1, deployment="dpl_b")])
        assert await archive.read("dpl_a") == lines(0, deployment="dpl_a")

    async def test_an_empty_batch_is_no_trouble(self, archive: Archive) -> None:
        await archive.append([])
        assert await archive.read(DEPLOYMENT) == []

    async def test_delete_forgets_one_deployment(self, archive: Archive) -> None:
        await archive.append([*lines(0, deployment="dpl_a"), *lines(0, deployment="dpl_b")])
        await archive.delete("dpl_a")
        assert [await archive.read(d) for d in ("dpl_a", "dpl_b")] == [[], lines(0, deployment="dpl_b")]

    async def test_delete_twice_is_no_trouble(self, archive: Archive) -> None:
        await archive.append(lines(0))
        await archive.delete(DEPLOYMENT)
        await archive.delete(DEPLOYMENT)
        assert await archive.read(DEPLOYMENT) == []

    async def test_a_deleted_log_can_be_written_anew(self, archive: Archive) -> None:
        await archive.append(lines(0, 1))
        await archive.delete(DEPLOYMENT)
        await archive.append(lines(0))
        assert numbers(await archive.read(DEPLOYMENT)) == [0]

    @pytest.mark.parametrize(
        ("search", "wanted"),
        [
            (Search("error"), [0, 3]),
            (Search("ERROR file"), [0]),
            (Search("erro"), []),
            (Search("erro", "substring"), [0, 1, 3]),
            (Search("100%_\\", "substring"), [2]),
            (Search("naïve", "words"), [4]),
            (Search(r"^(\w+) \d+%"), []),
            (Search(r"^(\w+) \d+%", "regex"), [2]),
            (Search("d.ne", "regex"), [2]),
            (Search(level="error"), [1]),
            (Search("erro", "substring", stream="stderr"), [3]),
            (Search(step="install"), [4]),
            (Search(since=1002, until=1004), [2, 3]),
            (Search(), [0, 1, 2, 3, 4]),
        ],
        ids=repr,
    )
    async def test_finds(self, archive: Archive, search: Search, wanted: list[int]) -> None:
        await archive.append(SEARCHED)
        assert numbers(await archive.find([DEPLOYMENT], search)) == wanted

    async def test_finds_in_the_order_of_the_deployments_asked(self, archive: Archive) -> None:
        await archive.append([*lines(0, 1, deployment="dpl_a"), *lines(0, deployment="dpl_b"), *lines(0)])
        found = await archive.find(["dpl_b", "dpl_a"], Search("line"))
        assert [(line.deployment, line.seq) for line in found] == [("dpl_b", 0), ("dpl_a", 0), ("dpl_a", 1)]

    async def test_finds_what_comes_after_in_the_first_deployment(self, archive: Archive) -> None:
        await archive.append([*lines(0, 1, 2, deployment="dpl_a"), *lines(0, 1, deployment="dpl_b")])
        found = await archive.find(["dpl_a", "dpl_b"], Search("line"), after=1, limit=2)
        assert [(line.deployment, line.seq) for line in found] == [("dpl_a", 2), ("dpl_b", 0)]

    async def test_finds_among_many_deployments(self, archive: Archive) -> None:
        await archive.append(lines(0))
        others = [f"dpl_01jd{number:022}" for number in range(1, 256)]
        assert await archive.find([*others, DEPLOYMENT], Search("line")) == lines(0)

    async def test_a_hit_counts_once(self, archive: Archive) -> None:
        await archive.append(lines(0, 1))
        await archive.append(lines(0, 1))
        assert numbers(await archive.find([DEPLOYMENT], Search("line"))) == [0, 1]
        assert numbers(await archive.find([DEPLOYMENT, "dpl_b"], Search("line"), limit=2)) == [0, 1]

    async def test_a_page_of_lines_that_came_twice_is_full(self, archive: Archive) -> None:
        await archive.append(lines(*range(10)))
        await archive.append(lines(*range(10)))
        assert numbers(await archive.read(DEPLOYMENT, limit=7)) == [0, 1, 2, 3, 4, 5, 6]

    async def test_refuses_what_is_no_expression(self, archive: Archive) -> None:
        with pytest.raises(InvalidInput, match="regular expression"):
            await archive.find([DEPLOYMENT], Search("(", "regex"))


SEARCHED = [
    LogLine(deployment=DEPLOYMENT, attempt=1, seq=0, ts=1000, text="Error: no such file"),
    LogLine(deployment=DEPLOYMENT, attempt=1, seq=1, ts=1001, level="error", text="2 errors"),
    LogLine(deployment=DEPLOYMENT, attempt=1, seq=2, ts=1002, text="done 100%_\\"),
    LogLine(deployment=DEPLOYMENT, attempt=1, seq=3, ts=1003, stream="stderr", text="\x1b[31merror\x1b[0m"),
    LogLine(deployment=DEPLOYMENT, attempt=1, seq=4, ts=1004, step="install", text="NAÏVE 🦀"),
]
