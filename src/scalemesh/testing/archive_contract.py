"""What every log archive must do: subclass ArchiveContract and give it an `archive` fixture."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from scalemesh.core.logs import MAX_LINE_BYTES, LogLine
from scalemesh.logs.archive.base import Archive
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
