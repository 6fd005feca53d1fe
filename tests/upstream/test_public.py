"""Which addresses count as public, one by one and by whole ranges."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.upstream.public import is_public
from tests.api.turns import PROPERTY

PUBLIC = (
    "1.1.1.1", "8.8.8.8", "93.184.215.14", "9.255.255.255", "11.0.0.0", "100.63.255.255",
    "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0",
    "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
    "198.20.0.0", "223.255.255.255", "168.63.129.15",
    "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "2001:200::", "2001:4860:4860::8888",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
)  # fmt: skip
NOT_PUBLIC = (
    # this machine
    "127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3", "::1", "::",
    # its network
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1", "100.64.0.1",
    "100.127.255.255", "fe80::1", "fe80::1%eth0", "fc00::1", "fdff::1", "fec0::1",
    # metadata services: AWS and most others, AWS by IPv6, Alibaba, Oracle, Azure
    "169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "192.0.0.192",
    "168.63.129.16",
    # nobody's, everybody's
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "192.88.99.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "2001:db8::1", "3fff::1",
    "ff02::1", "100::1", "5f00::1", "4000::1", "2001:2::1",
    # IPv4 in other clothes: mapped, compatible, translated, NAT64, 6to4, Teredo
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::127.0.0.1",
    "::10.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::169.254.169.254",
    "64:ff9b::a00:1", "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1",
    "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    # no addresses
    "", "localhost", "example.org", "127.1", "0x7f000001", "2130706433", "8.8.8.8.", "1.2.3",
    "08.8.8.8", "[::1]", "8.8.8.8:80", "8.8.8.8/32",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses())
@PROPERTY
def test_never_laxer_than_the_standard_library(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(str(address)) and address not in ipaddress.IPv6Network("64:ff9b::/96"):
        assert address.is_global
        assert not (address.is_multicast or address.is_loopback or address.is_link_local)


@given(st.ip_addresses(v=4))
@PROPERTY
def test_ipv4_inside_of_ipv6_counts_as_what_it_is(address: ipaddress.IPv4Address) -> None:
    assert (
        is_public(f"::ffff:{address}")
        == is_public(f"64:ff9b::{address}")
        == is_public(str(address))
    )
