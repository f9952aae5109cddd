"""A proxy in front of a real edge: its word counts where it is listed, and nowhere else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.edge.harness import Wire
from tests.integration.edge.upstreams import ProxyingEdge, Upstream

ASK = b"GET /api/x HTTP/1.1\r\nHost: www.test\r\n"
SAYS = b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
PROXY = b"PROXY TCP4 198.51.100.9 127.0.0.1 4711 80\r\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as started:
        yield started


def edge_at(folder: Path, upstream: Upstream, **env: str) -> ProxyingEdge:
    rules = {"index.html": "home", "_redirects": f"/api/* http://127.0.0.1:{upstream.port}/:splat 200"}
    allow = {"SCALEMESH_EDGE_PROXY_ALLOW": f"127.0.0.1:{upstream.port}"}
    return ProxyingEdge(folder, lambda _: rules, **allow, **env)


@pytest.fixture(scope="module")
def trusting(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyingEdge]:
    edge = edge_at(tmp_path_factory.mktemp("site"), upstream, SCALEMESH_EDGE_TRUSTED="127.0.0.0/8")
    yield edge
    edge.stop()


def forwarded(wire: Wire, upstream: Upstream, *pieces: bytes) -> tuple[str, ...]:
    """What the upstream is told of the client."""
    for piece in pieces:
        wire.send(piece)
    assert wire.answer().status == 200
    headers = upstream.asked[-1].headers
    return tuple(headers[f"x-forwarded-{name}"] for name in ("for", "proto", "host"))


def test_a_listed_proxys_word_reaches_the_upstream(trusting: ProxyingEdge, upstream: Upstream) -> None:
    with trusting.connect() as wire:
        assert forwarded(wire, upstream, ASK + SAYS + b"\r\n") == ("198.51.100.7", "https", "shop.example")
        assert forwarded(wire, upstream, ASK + b"\r\n") == ("127.0.0.1", "http", "www.test")


@pytest.mark.parametrize("cut", [3, 20, len(PROXY)])
def test_proxy_protocol_names_the_client_whose_own_fields_count_for_nothing(
    trusting: ProxyingEdge, upstream: Upstream, cut: int
) -> None:
    with trusting.connect() as wire:
        whole = PROXY + ASK + SAYS + b"\r\n"
        assert forwarded(wire, upstream, whole[:cut], whole[cut:]) == ("198.51.100.9", "http", "www.test")


def test_malformed_proxy_header_ends_the_connection(trusting: ProxyingEdge) -> None:
    with trusting.connect() as wire:
        wire.send(b"PROXY TCP4 nobody\r\n" + ASK + b"\r\n")
        assert wire.closed()


def test_nobody_is_believed_by_default(upstream: Upstream, tmp_path: Path) -> None:
    edge = edge_at(tmp_path, upstream)
    try:
        with edge.connect() as wire:
            assert forwarded(wire, upstream, ASK + SAYS + b"\r\n") == ("127.0.0.1", "http", "www.test")
        with edge.connect() as wire:
            wire.send(PROXY + ASK + b"\r\n")
            assert wire.answer().status == 400
    finally:
        edge.stop()
