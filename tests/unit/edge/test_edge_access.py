"""What a worker counts, and how it is handed to the keeper and kept there."""

import sqlite3
from pathlib import Path

import pytest

from scalemesh.core.access import MAX_PATH, MAX_ROWS, AccessRows, AccessTotals
from scalemesh.core.documents import decode, encode
from scalemesh.edge import access_line
from scalemesh.edge.access import Access, Rows, clock_ns, network_of
from scalemesh.edge.access_line import AccessReceiver, AccessSender
from scalemesh.edge.access_spool import AccessSpool
from scalemesh.edge.request import Request


class Asked:
    def client(self) -> str:
        return "198.51.100.77"


def request(project: str = "prj_1", target: bytes = b"/", took_us: int = 0) -> Request:
    began = clock_ns() - took_us * 1000
    return Request(b"GET", target, b"token=1", {}, b"blog.localhost", True, began=began, project=project)


def rows(requests: int = 1, at: int = 0) -> AccessRows:
    latency = [requests, *[0] * 20]
    total = AccessTotals(
        at=at, project="prj_1", status=200, cache="hit", requests=requests, bytes=0, took_us=0, latency=latency
    )
    return AccessRows(totals=[total])


def counted(*answers: tuple[Request, int, int], cap: int = 100) -> Rows:
    shipped: Rows = []
    access = Access(shipped.extend, cap)
    for asked, status, sent in answers:
        access.add(asked, status, sent, "hit", Asked())
    access.flush()
    return shipped


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.77", "198.51.100.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:198.51.100.77", "198.51.100.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
    ],
)
def test_addresses_are_truncated(address: str, network: str) -> None:
    assert network_of(address) == network


class TestCounting:
    def test_totals_per_project_and_status(self) -> None:
        (batch,) = counted((request(), 200, 5), (request(), 200, 6), (request(), 404, 1), (request("prj_2"), 200, 2))
        assert [(one.project, one.status, one.requests, one.bytes) for one in batch.totals] == [
            ("prj_1", 200, 2, 11),
            ("prj_1", 404, 1, 1),
            ("prj_2", 200, 1, 2),
        ]

    def test_nothing_is_shipped_when_nothing_happened(self) -> None:
        assert counted() == []

    def test_requests_for_no_site_count_for_nobody(self) -> None:
        assert counted((request(""), 404, 1)) == []

    def test_slow_answers_are_in_higher_buckets(self) -> None:
        (batch,) = counted((request(took_us=2**40), 200, 1))
        assert batch.totals[0].latency == [*[0] * 20, 1]

    def test_one_project_cannot_use_up_the_records_of_another(self) -> None:
        (batch,) = counted(*[(request(), 200, 1)] * 8, (request("prj_2"), 200, 1), cap=2)
        assert [(one.project, one.rate) for one in batch.records] == [("prj_1", 0.25), ("prj_1", 0.25), ("prj_2", 1.0)]

    def test_no_records_but_totals_where_the_cap_is_zero(self) -> None:
        (batch,) = counted((request(), 200, 1), cap=0)
        assert (len(batch.totals), batch.records) == (1, [])

    def test_a_record_has_neither_query_nor_whole_address_nor_endless_path(self) -> None:
        (batch,) = counted((request(target=b"/" + b"a" * 8000), 200, 1))
        (record,) = batch.records
        assert (record.path, record.client) == ("/" + "a" * (MAX_PATH - 1), "198.51.100.0/24")
        assert b"token" not in encode(batch)

    def test_what_is_not_utf8_still_makes_a_record(self) -> None:
        (batch,) = counted((request(target=b"/\xff\xfe"), 200, 1))
        assert decode(AccessRows, encode(batch)).records[0].path == "/��"

    def test_batches_are_bounded(self) -> None:
        batches = counted(*[(request(f"prj_{n}"), 200, 1) for n in range(2 * MAX_ROWS)])
        assert [len(batch.totals) + len(batch.records) for batch in batches] == [MAX_ROWS] * 4


class TestHandingOver:
    async def test_is_sent_again_until_it_is_confirmed(self) -> None:
        sender, written = AccessSender(), list[bytes]()
        sender.ship([rows(1)])
        sender.connected(written.append)
        sender.ship([rows(2)])
        assert len(written) == 2
        sender.confirmed(1)
        sender.disconnected()
        again: list[bytes] = []
        sender.connected(again.append)
        assert again == written[1:]

    async def test_what_a_worker_has_no_room_for_is_told(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(access_line, "MAX_WAITING_BYTES", 300)
        sender, written = AccessSender(), list[bytes]()
        sender.ship([rows(3), rows(4), rows(5)])
        sender.connected(written.append)
        spool = AccessSpool(tmp_path / "access.db", 10_000)
        receiver = AccessReceiver(spool)
        answers = [await receiver.take(line) for line in written]
        assert (spool.dropped(), len(spool.oldest()), answers) == (9, 1, [b"", b"access 1\n"])
        spool.close()

    async def test_a_batch_that_comes_twice_is_kept_once(self, tmp_path: Path) -> None:
        spool = AccessSpool(tmp_path / "access.db", 10_000)
        receiver = AccessReceiver(spool)
        line = b"access w 1 " + encode(rows()) + b"\n"
        assert [await receiver.take(line), await receiver.take(line)] == [b"access 1\n"] * 2
        assert len(spool.oldest()) == 1
        spool.close()


class TestSpool:
    def test_is_bounded_and_counts_what_it_drops(self, tmp_path: Path) -> None:
        spool = AccessSpool(tmp_path / "access.db", len(encode(rows(5))) + 10)
        spool.add("w", 1, encode(rows(5)))
        spool.add("w", 2, encode(rows(7)))
        assert ([number for number, _ in spool.oldest()], spool.dropped()) == ([1], 7)
        spool.remove(1)
        spool.add("w", 3, encode(rows(1)))
        assert len(spool.oldest()) == 1
        spool.close()

    def test_outlives_its_process_with_its_name(self, tmp_path: Path) -> None:
        first = AccessSpool(tmp_path / "access.db", 10_000)
        first.add("w", 1, encode(rows()))
        first.close()
        second = AccessSpool(tmp_path / "access.db", 10_000)
        assert (second.id, len(second.oldest())) == (first.id, 1)
        second.close()

    def test_numbers_are_never_given_twice(self, tmp_path: Path) -> None:
        spool = AccessSpool(tmp_path / "access.db", 10_000)
        spool.add("w", 1, encode(rows()))
        spool.remove(1)
        spool.add("w", 2, encode(rows()))
        assert [number for number, _ in spool.oldest()] == [2]
        spool.close()

    def test_a_damaged_one_is_made_anew_under_another_name(self, tmp_path: Path) -> None:
        path = tmp_path / "access.db"
        first = AccessSpool(path, 10_000)
        first.close()
        path.write_bytes(b"x" * 8192)
        second = AccessSpool(path, 10_000)
        assert second.id != first.id
        second.add("w", 1, encode(rows()))
        second.close()
        with sqlite3.connect(path) as db:
            assert db.execute("SELECT count(*) FROM batches").fetchone() == (1,)
        db.close()
