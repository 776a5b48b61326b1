"""Where c2c's own nodes listen, as they tell each other: checks go to none of them."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from c2c.settings import is_loopback

# A host and a port; None: this machine, by whatever address.
Server: TypeAlias = tuple[str | None, int]

# Addresses that nobody has (RFC 5737, RFC 3849): what is asked for is the way that packets would take. None is sent.
_OUTSIDE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a node listens. `machine`: its host name; on the same one loopback addresses lead to it as well."""

    machine: str
    addresses: tuple[str, ...]
    port: int

    def dump(self) -> dict[str, Any]:
        return {"machine": self.machine, "addresses": self.addresses, "port": self.port}


def listening(host: str, port: int) -> Listening:
    """By what addresses others reach a node that listens on a host: of a wildcard those that packets to the outside
    would have. A name stands as it is."""
    wildcard = host in ("", "0.0.0.0", "::")
    return Listening(socket.gethostname(), tuple(_outward_addresses()) if wildcard else (host,), port)


def servers_of(reports: Iterable[Mapping[str, Any]], machine: str) -> set[Server]:
    """All servers of nodes, seen from a machine, by what they have reported."""
    found: set[Server] = set()
    for each in (report["listening"] for report in reports if "listening" in report):
        if each["machine"] == machine:
            found.add((None, each["port"]))
        found |= {(address, each["port"]) for address in each["addresses"] if not is_loopback(address)}
    return found


def _outward_addresses() -> Iterable[str]:
    for family, outside in _OUTSIDE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as way:
                way.connect((outside, 9))
                yield str(way.getsockname()[0])
        except OSError:  # no way out by this family
            continue
