"""HTTP to addresses that strangers choose: resolved, checked and pinned, on every hop of a redirect."""

import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from scalemesh.egress.guard import EgressDenied, Guard
from scalemesh.egress.http import GuardedTransport


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        target = self.path.partition("?to=")[2]
        self.send_response(302 if target else 200)
        if target:
            self.send_header("Location", target)
        body = f"{self.headers['Host']} {self.headers.get('Authorization')}".encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


async def resolver(host: str) -> Sequence[str]:
    return {"site.test": ["127.0.0.1"], "inside.test": ["10.0.0.1"]}[host]


def client(port: int) -> httpx.AsyncClient:
    guard = Guard([f"site.test:{port}"], resolver=resolver)
    return httpx.AsyncClient(transport=GuardedTransport(guard), follow_redirects=True, trust_env=False)


async def test_the_server_hears_the_name(port: int) -> None:
    async with client(port) as http:
        assert (await http.get(f"http://site.test:{port}/")).text == f"site.test:{port} None"


async def test_an_address_that_may_not_be_reached(port: int) -> None:
    async with client(port) as http:
        for url in (f"http://127.0.0.1:{port}/", "http://inside.test/", "http://169.254.169.254/"):
            with pytest.raises(EgressDenied):
                await http.get(url)


async def test_every_hop_of_a_redirect_is_checked(port: int) -> None:
    async with client(port) as http:
        assert (await http.get(f"http://site.test:{port}/?to=/there")).status_code == 200
        with pytest.raises(EgressDenied):
            await http.get(f"http://site.test:{port}/?to=http://127.0.0.1:{port}/")
