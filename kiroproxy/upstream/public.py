"""Which addresses belong to the public Internet. Pure.

Whoever lets strangers name URLs must not let them reach this machine, its network or its cloud's
metadata service. Our own table instead of ``ipaddress.is_global``: that one changes between Python
versions, and counts as global what only looks so (6to4, some of the special ranges).

Source: IANA's special-purpose address registries (RFC 6890 and later), read strictly: what is special in
any way is not public.
"""

from __future__ import annotations

import ipaddress
from typing import Final

_SPECIAL_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata service
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's platform service, in the middle of public space
            "169.254.0.0/16",  # link-local; most clouds' metadata service
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; Oracle's metadata service
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
# Of IPv6 only this part is handed out at all; loopback, unique local, link-local and multicast
# addresses, site-local and IPv4-compatible ones, and all that is unassigned are outside of it.
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address in other clothes
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 in the last 32 bits


def is_public(address: str) -> bool:
    """Whether a numeric address is one anybody may ask. Text that is none is not.

    IPv4 inside of IPv6 (mapped, or NAT64's well-known prefix, which is how a network without IPv4 reaches
    all of it) counts as what it stands for.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:
            return False
        inner = found.ipv4_mapped
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is None:
            return found in _GLOBAL_V6 and not any(found in network for network in _SPECIAL_V6)
        found = inner
    return not any(found in network for network in _SPECIAL_V4)
