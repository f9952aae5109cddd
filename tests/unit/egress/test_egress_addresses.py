import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.egress.addresses import is_metadata, is_never, is_public, unwrap

PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")
PRIVATE = (
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "0.0.0.0"),
    *("169.254.169.254", "100.100.100.200", "192.0.0.170", "198.18.0.1", "203.0.113.7", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1"),
    *("::ffff:0:127.0.0.1", "::ffff:0:a9fe:a9fe", "::5efe:7f00:1", "3fff::1", "5f00::1", "168.63.129.16"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::1", "2002:a9fe:a9fe::1"),
)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PRIVATE)
def test_everything_else_is_not_however_it_is_wrapped(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "168.63.129.16", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1"]
)
def test_metadata_addresses_are_known(text: str) -> None:
    assert is_metadata(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:0.0.0.0"])
def test_some_are_no_address_of_a_machine(text: str) -> None:
    assert is_never(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_wrapping_changes_nothing(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    assert unwrap(mapped) == address
    assert is_public(mapped) == is_public(address)
