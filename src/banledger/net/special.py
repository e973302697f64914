"""Special addresses by kind: private, link-local, documentation ...

From the IANA Special-Purpose Address Registries (RFC 6890), and multicast. No registry has a record of such an address,
so it is never looked up. Some embed an IPv4 address (NAT64, 6to4, Teredo): it is shown, so that a person can look it
up. A ban keeps the address that fail2ban banned: the embedded bits may come from a translator or from the sender.
"""

from collections.abc import Callable

from banledger.net.prefix import Block, block

_NETWORKS = {
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    "unique local": ("fc00::/7",),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "site-local": ("fec0::/10",),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "carrier-grade NAT": ("100.64.0.0/10",),
    "documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    "benchmark": ("198.18.0.0/15", "2001:2::/48"),
    "broadcast": ("255.255.255.255/32",),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "unspecified": ("0.0.0.0/32", "::/128"),
    "NAT64": ("64:ff9b::/96", "64:ff9b:1::/48"),  # the latter with an operator's own prefix
    "6to4": ("2002::/16",),
    "6to4 relay": ("192.88.99.0/24",),
    "Teredo": ("2001::/32",),
    "discard": ("100::/64",),
    "segment routing": ("5f00::/16",),
    "reserved": ("0.0.0.0/8", "192.0.0.0/24", "240.0.0.0/4", "2001::/23"),  # last: it contains some of the above
}
_KINDS = tuple((block(text), kind) for kind, networks in _NETWORKS.items() for text in networks)

_WELL_KNOWN_NAT64 = block("64:ff9b::/96")
_INSIDE: dict[str, Callable[[int], int]] = {
    "NAT64": lambda number: number & 0xFFFF_FFFF,  # RFC 6052
    "6to4": lambda number: number >> 80 & 0xFFFF_FFFF,  # RFC 3056
    "Teredo": lambda number: ~number & 0xFFFF_FFFF,  # RFC 4380: the client's address, inverted
}


def kind_of(asked: Block) -> str:
    """The kind of a block inside one special network, in one or two words; empty for any other block."""
    return next((kind for network, kind in _KINDS if network.covers(asked)), "")


def described(asked: Block) -> str:
    """A description: `link-local address`, `private network`, `NAT64 address of 192.0.2.1`; empty if not special."""
    kind = kind_of(asked)
    if not kind:
        return ""
    inside = embedded(asked)
    return f"{kind} {'network' if asked.host_bits else 'address'}{f' of {inside}' if inside else ''}"


def embedded(asked: Block) -> str:
    """The IPv4 address embedded in a single address; empty if there is none.

    Not for an operator's own NAT64 prefix (RFC 8215): its length, and so the position of the bits, is unknown.
    """
    kind = kind_of(asked)
    if asked.host_bits or kind not in _INSIDE or (kind == "NAT64" and not _WELL_KNOWN_NAT64.covers(asked)):
        return ""
    return Block(4, _INSIDE[kind](asked.first), 32).text
