import asyncio
import socket
import threading
from collections.abc import Sequence

import pytest

from scalemesh.egress.guard import EgressDenied, Guard, system_resolver
from scalemesh.errors import Unavailable

NAMES = {
    "public.test": ["93.184.216.34", "2606:4700::1111"],
    "mixed.test": ["10.0.0.1", "93.184.216.34"],
    "private.test": ["10.0.0.1"],
    "loopback.test": ["127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "registry.npmjs.org": ["203.0.113.7"],
    "pypi.org": ["127.0.0.1"],
    "files.pythonhosted.org": ["169.254.169.254"],
    "localhost": ["127.0.0.1", "::1"],
    "empty.test": [],
}


async def resolver(host: str) -> Sequence[str]:
    await asyncio.sleep(0)
    if host not in NAMES:
        raise OSError("Name or service not known")
    return NAMES[host]


@pytest.mark.parametrize(
    ("host", "port", "options", "addresses"),
    [
        ("public.test", 443, {}, ["93.184.216.34", "2606:4700::1111"]),
        ("PUBLIC.test.", 80, {}, ["93.184.216.34", "2606:4700::1111"]),
        ("93.184.216.34", 80, {}, ["93.184.216.34"]),
        ("mixed.test", 80, {}, ["93.184.216.34"]),
        ("registry.npmjs.org", 443, {}, ["203.0.113.7"]),
        ("private.test", 80, {"allow": ["private.test"]}, ["10.0.0.1"]),
        ("private.test", 80, {"allow": ["Private.Test:80"]}, ["10.0.0.1"]),
        ("private.test", 80, {"allow": ["10.0.0.0/8"]}, ["10.0.0.1"]),
        ("private.test", 80, {"allow": ["10.0.0.1:80"]}, ["10.0.0.1"]),
        ("::ffff:10.0.0.1", 80, {"allow": ["10.0.0.1:80"]}, ["::ffff:a00:1"]),
        ("127.0.0.1", 5432, {"allow": ["localhost:5432"]}, ["127.0.0.1"]),
        ("localhost", 5432, {"allow": ["127.0.0.1:5432"]}, ["127.0.0.1"]),
        ("loopback.test", 5432, {"allow": ["loopback.test:5432"]}, ["127.0.0.1"]),
        ("169.254.169.254", 80, {"allow": ["169.254.169.254:80"]}, ["169.254.169.254"]),
        ("private.test", 80, {"allow_private": True}, ["10.0.0.1"]),
        ("loopback.test", 9999, {"allow_private": True}, ["127.0.0.1"]),
        ("private.test", None, {"allow": ["private.test:80"]}, ["10.0.0.1"]),
    ],
)
async def test_allowed(host: str, port: int, options: dict[str, bool], addresses: list[str]) -> None:
    assert await Guard(resolver=resolver, **options).resolve(host, port) == addresses  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "port", "options"),
    [
        ("private.test", 443, {}),
        ("loopback.test", 443, {}),
        ("metadata.test", 80, {}),
        ("127.0.0.1", 80, {}),
        ("::1", 80, {}),
        ("::ffff:127.0.0.1", 80, {}),
        ("0.0.0.0", 80, {}),
        ("registry.npmjs.org", 80, {}),
        ("pypi.org", 443, {}),
        ("files.pythonhosted.org", 443, {}),
        ("registry.npmjs.org.evil.test", 443, {}),
        ("private.test", 81, {"allow": ["private.test:80"]}),
        ("private.test", 80, {"allow": ["10.1.0.0/16"]}),
        ("sub.private.test", 80, {"allow": ["private.test"]}),
        ("loopback.test", 80, {"allow": ["loopback.test"]}),
        ("metadata.test", 80, {"allow": ["metadata.test"]}),
        ("metadata.test", 80, {"allow_private": True}),
        ("0.0.0.0", 80, {"allow_private": True}),
        ("224.0.0.1", 80, {"allow_private": True}),
    ],
)
async def test_denied(host: str, port: int, options: dict[str, bool]) -> None:
    names = {**NAMES, "registry.npmjs.org.evil.test": ["10.0.0.1"], "sub.private.test": ["10.0.0.1"]}

    async def look_up(name: str) -> Sequence[str]:
        await asyncio.sleep(0)
        return names[name]

    with pytest.raises(EgressDenied) as denied:
        await Guard(resolver=look_up, **options).resolve(host, port)  # type: ignore[arg-type]
    assert host in denied.value.message


@pytest.mark.parametrize("host", ["unknown.test", "empty.test"])
async def test_a_name_without_address_is_unavailable(host: str) -> None:
    with pytest.raises(Unavailable, match=host):
        await Guard(resolver=resolver).resolve(host, 80)


async def test_an_answer_is_remembered_so_that_a_name_cannot_change_between_check_and_use() -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])

    async def rebinding(_host: str) -> Sequence[str]:
        await asyncio.sleep(0)
        return next(answers)

    guard = Guard(resolver=rebinding)
    assert [await guard.resolve("rebind.test", None), await guard.resolve("rebind.test", 80)] == [["93.184.216.34"]] * 2


async def test_names_that_nobody_answers_keep_no_other_work_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def never(*_: object, **__: object) -> list[object]:
        answer.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    lookups = [asyncio.create_task(system_resolver(f"{number}.test")) for number in range(200)]
    await asyncio.sleep(0)  # each has asked
    try:
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(lambda: "done") == "done"
        assert not any(lookup.done() for lookup in lookups)
    finally:
        answer.set()
        await asyncio.gather(*lookups)


def test_ports_and_networks_follow_from_the_list() -> None:
    guard = Guard(["db.test:5432", "10.0.0.0/8", "192.168.1.7:81", "127.0.0.1:99", "[fd00::1]:98"], ports=[8099])
    assert guard.ports == (22, 80, 81, 98, 99, 443, 5432, 8099, 9418)
    assert guard.networks == ("10.0.0.0/8", "192.168.1.7/32")
