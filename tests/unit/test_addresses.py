"""
Which addresses may be called for somebody who only named a URL.
"""

from __future__ import annotations

import pytest

from orchestrator.domain.addresses import may_be_called, parse_networks

PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "1.1.1.1"]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",  # noqa: S104
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    # The metadata address, in what leads to it.
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::5601:5601",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_may_be_called(address: str):
    assert may_be_called(address, allowed=())


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_nearer_may_not(address: str):
    assert not may_be_called(address, allowed=())


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        ("10.0.0.0/8", "10.1.2.3"),
        ("127.0.0.0/8,::1/128", "::1"),
        ("10.0.0.0/8", "::ffff:10.1.2.3"),
    ],
)
def test_a_network_can_be_allowed(networks: str, address: str):
    assert may_be_called(address, allowed=parse_networks(networks))
    assert not may_be_called("192.168.1.1", allowed=parse_networks(networks))


def test_a_malformed_network_is_named():
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        parse_networks("fd00::/8, 10.0.0.1/8")
