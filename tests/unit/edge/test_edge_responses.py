"""A response that is kept ready, and the date that is written over the one in it."""

from scalemesh.edge.responses import Response, StatusLines, head


def test_one_response_bears_the_date_of_each_second() -> None:
    response = Response(200, head(("Content-Length", "4")), b"body")
    for date in (b"Mon, 23 Nov 2026 10:00:00 GMT", b"Tue, 24 Nov 2026 11:11:11 GMT"):
        response.date(date)
        assert bytes(response.wire) == b"HTTP/1.1 200 OK\r\nDate: " + date + b"\r\nContent-Length: 4\r\n\r\nbody"
        assert response.dated == date


def test_it_begins_otherwise_where_the_connection_ends() -> None:
    lines = StatusLines()
    for line in (lines.close[404], lines.keep10[404]):
        whole = Response(404, head(("Content-Length", "0"))).full(line)
        assert whole == line + b"Content-Length: 0\r\n\r\n"
        assert lines.date in line


def test_parts_of_the_body() -> None:
    assert Response(200, head(("Content-Length", "4")), b"body").cut(1, 2) == b"od"
