"""Where checks may go: to public addresses, and nowhere that an operator has not opened; never to c2c itself.

Whoever may add a URL must not be able to look into the network that c2c runs in (server-side request forgery). So a
URL is judged as text when it comes in (`check_url`), its addresses are judged before each connection (`resolve`), and
the connection is made to an address that was judged, never to the name: a name server that answers differently the
second time gains nothing by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, TypeAlias

import idna

from c2c.errors import BadValue
from c2c.monitoring.own_servers import Server

Scheme: TypeAlias = Literal["http", "https", "tcp"]
Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
# Host and port → addresses, best first. Raises OSError (`socket.gaierror`) when there are none.
Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

URL_MAX: Final = 2048
_LOOKUPS_MAX: Final = 64
_SCHEMES: Final[dict[str, Scheme]] = {"http": "http", "https": "https", "tcp": "tcp"}
_BEGINNINGS: Final = {"http": "http:// or https://", "tcp": "tcp://", None: "http://, https:// or tcp://"}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OWN: Final = "leads to c2c itself"
_URL: Final = re.compile(r"(https?|tcp)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?")
_NAME: Final = re.compile(r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)")
# What a resolver takes for an IPv4 address or the attempt at one (URL standard, "ends in a number").
_ENDS_IN_A_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_PORT: Final = re.compile(r"[0-9]{1,5}")


def _networks(*cidrs: str) -> tuple[Network, ...]:
    return tuple(ip_network(cidr) for cidr in cidrs)


# Not even with an allow-list: no service of anybody's has such an address, or it is one that machines trust blindly.
_NEVER: Final = (
    *_networks(
        "0.0.0.0/8",  # this host
        "169.254.0.0/16", "fe80::/10",  # link-local, and the metadata of most clouds
        "100.100.100.200/32", "168.63.129.16/32",  # metadata: Alibaba, Azure
        "fd00:ec2::/32", "fd20:ce::254/128",  # Amazon, Google
        "fd00:c1::a9fe:a9fe/128", "fd00:42::42/128",  # Oracle, Scaleway
        "192.0.0.0/24",  # IETF protocols
        "192.88.99.0/24", "2002::/16",  # 6to4
        "224.0.0.0/4", "ff00::/8",  # multicast
        "240.0.0.0/4",  # reserved, and 255.255.255.255
        "::/128", "::ffff:0:0/96", "::ffff:0:0:0/96",  # unspecified; IPv4 inside: mapped, translated
        "64:ff9b::/96", "64:ff9b:1::/48",  # IPv4 inside: NAT64
        "2001::/23",  # IETF protocols: Teredo, ORCHID, benchmarking …
        "100::/64", "100:0:0:1::/64", "5f00::/16",  # discard-only, dummy, SRv6
        "fec0::/10",  # site-local
    ),
    *IPv6Network("::/96").address_exclude(IPv6Network("::1/128")),  # IPv4 inside: compatible
)  # fmt: skip
# Opened by an operator's allow-list.
_PRIVATE: Final = _networks(
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15",
    "::1/128", "fc00::/7",
)  # fmt: skip
_DOCUMENTATION: Final = _networks("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
_NOT_PUBLIC: Final = (*_NEVER, *_PRIVATE, *_DOCUMENTATION)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")  # all that IANA has given out


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL taken apart. `host`: ASCII, lower case, without brackets; an address in its usual spelling.

    `target`: path and query, as in a request line. The fragment is gone.
    """

    scheme: Scheme
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's own, port: what stands in a `Host` header."""
        port = "" if _DEFAULT_PORTS.get(self.scheme) == self.port else f":{self.port}"
        return bracketed(self.host) + port

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def bracketed(host: str) -> str:
    """As it stands in a URL: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


class SystemResolver:
    """The machine's resolver, `getaddrinfo`, on a thread of its own for each lookup, 64 at most.

    Not on the loop's pool: a dead name server holds a thread for half a minute, whatever the caller's deadline was, and
    checks of other hosts would wait behind a handful of such. Daemon threads, so that none holds up the node's end.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_LOOKUPS_MAX)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        await self._free.acquire()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def finish(found: list[str] | OSError) -> None:
            self._free.release()
            if answer.done():  # the caller's deadline has passed
                return
            if isinstance(found, OSError):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def look_up() -> None:
            found: list[str] | OSError
            try:
                found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
            except OSError as error:
                found = error
            except UnicodeError:
                found = socket.gaierror(socket.EAI_NONAME, "no name of the DNS")
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(finish, found)

        try:
            threading.Thread(target=look_up, name="c2c-resolver", daemon=True).start()
        except RuntimeError:  # no more threads to be had
            self._free.release()
            raise
        return await answer


@dataclass(frozen=True, slots=True)
class _Servers:
    """Listening sockets, by what leads to them: an address, a name, or a port of this machine by whatever address."""

    addresses: frozenset[tuple[Address, int]] = frozenset()
    names: frozenset[tuple[str, int]] = frozenset()
    ports: frozenset[int] = frozenset()

    @classmethod
    def of(cls, servers: Iterable[Server]) -> _Servers:
        addresses, names, ports = set(), set(), set()
        for host, port in servers:
            address = None if host is None else _literal(host)
            if host is None or (address is not None and _is_this_machine(address)):
                ports.add(port)
            elif address is not None:
                addresses.add((address, port))
            else:
                names.add((_ascii(host), port))
        return cls(frozenset(addresses), frozenset(names), frozenset(ports))

    def has(self, address: Address, port: int) -> bool:
        return (address, port) in self.addresses or (port in self.ports and _is_this_machine(address))


class AddressGuard:
    """Judges URLs and addresses.

    `allow`: private networks that checks may reach none the less. `denied`: host and port of this node's own listening
    sockets and of Redis servers, which checks never reach; a host may be an address, a name, or None for this machine
    by whatever address. Those of other nodes are learnt: `deny_nodes`. `resolver` as `SystemResolver`, the
    default.
    """

    def __init__(
        self,
        allow: Iterable[Network] = (),
        denied: Iterable[Server] = (),
        resolver: Resolver | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._resolver = SystemResolver() if resolver is None else resolver
        self._own = _Servers.of(denied)
        self._nodes = _Servers()

    def deny_nodes(self, servers: Iterable[Server]) -> None:
        """Where c2c's nodes listen, as far as it is known now: denied like what was denied from the beginning."""
        self._nodes = _Servers.of(servers)

    def check_url(self, url: str, kind: Literal["http", "tcp"] | None = None) -> CheckedUrl:
        """Take a URL apart and refuse what no check may ask for. Asks nobody: names are judged by `resolve` only.

        `kind`: which URLs it may be, `http(s)://…` or `tcp://host:port`; None: either. Raises BadValue of the field
        `url` with a reason that reads after "url".
        """
        if len(url) > URL_MAX:
            raise _refused(f"is longer than {URL_MAX} characters")
        if not url.isprintable() or " " in url:
            raise _refused("has a space or a control character in it")
        match = _URL.fullmatch(url)
        scheme = _SCHEMES.get(match[1].lower()) if match is not None else None
        if match is None or scheme is None or (kind is not None and (scheme == "tcp") != (kind == "tcp")):
            raise _refused(f"does not begin with {_BEGINNINGS[kind]}")
        authority, target = match[2], match[3]
        if "@" in authority:
            raise _refused("has a user name or a password in it")
        parts = _AUTHORITY.fullmatch(authority)
        if parts is None:
            raise _refused("has no valid host")
        host, port = _host_of(parts[1]), _port_of(parts[2], scheme)
        if scheme == "tcp" and target not in ("", "/"):
            raise _refused("is of the form tcp://host:port")
        checked = CheckedUrl(scheme, host, port, target if target.startswith("/") else "/" + target)
        if (host, port) in self._own.names | self._nodes.names:
            raise _refused(_OWN)
        if _literal(host) is not None:
            self.judge(host, port)
        return checked

    def judge(self, address: str, port: int) -> None:
        """Refuse an address that no check may connect to. Raises BadValue."""
        literal = _literal(address)
        if literal is None or getattr(literal, "scope_id", None) is not None:
            raise _refused("leads to no valid address")
        if self._own.has(literal, port) or self._nodes.has(literal, port):
            raise _refused(_OWN)
        if _is_in(literal, _NEVER):
            raise _refused("leads to an address that is never checked")
        if _is_in(literal, _PRIVATE) and _is_in(literal, self._allow):
            return
        if not _is_public(literal):
            raise _refused("leads to an address that is not public")

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, best first, each judged: if one of them is refused, all are.

        Asks the resolver once and has no deadline of its own. Raises BadValue, and OSError for a host that has no
        address.
        """
        addresses = [host] if _literal(host) is not None else list(dict.fromkeys(await self._resolver(host, port)))
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        for address in addresses:
            self.judge(address, port)
        await self._judge_by_names(addresses, port)
        return addresses

    async def _judge_by_names(self, addresses: list[str], port: int) -> None:
        """Refuse where c2c's own servers are now, if they were given by name. Costs a lookup, on their ports only."""
        for name in [name for name, own_port in self._own.names | self._nodes.names if own_port == port]:
            try:
                own = {ip_address(address) for address in await self._resolver(name, port)}
            except OSError:
                # Who can tell whether it is there?
                raise _refused(_OWN) from None
            here = any(_is_this_machine(address) for address in own)
            for address in map(ip_address, addresses):
                if address in own or (here and _is_this_machine(address)):
                    raise _refused(_OWN)


def _refused(reason: str) -> BadValue:
    return BadValue(field="url", reason=reason)


def _host_of(text: str) -> str:
    """The host of a URL in one spelling. Raises BadValue."""
    if text.startswith("["):
        try:
            address = IPv6Address(text[1:-1])
        except ValueError:
            raise _refused("has no valid host") from None
        if address.scope_id is not None:
            raise _refused("has no valid host")
        return str(address)
    host = _ascii(text)
    if _ENDS_IN_A_NUMBER.fullmatch(host):
        try:
            return str(IPv4Address(socket.inet_aton(host)))
        except OSError:
            raise _refused("has no valid host") from None
    if _NAME.fullmatch(host) is None:
        raise _refused("has no valid host")
    return host


def _ascii(host: str) -> str:
    """A host name as the DNS has it: lower case, other scripts as `xn--…`, no dot at its end; '' if it can't be one."""
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except UnicodeError:
            return ""
    return host.lower().removesuffix(".")


def _port_of(text: str | None, scheme: Scheme) -> int:
    if text is None and scheme in _DEFAULT_PORTS:
        return _DEFAULT_PORTS[scheme]
    if text is None or _PORT.fullmatch(text) is None or not 1 <= int(text) <= 65_535:
        raise _refused("has no port from 1 to 65535")
    return int(text)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _is_public(address: Address) -> bool:
    """Whether it is anybody's to ask: by our lists and, should they lack one, by those of the standard library."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return False
    return address.is_global and not _is_in(address, _NOT_PUBLIC)


def _is_this_machine(address: Address) -> bool:
    """Whether packets to the address stay on this machine. Sends none: what is asked for is the way they would go."""
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((str(address), 9))
            return _literal(way.getsockname()[0]) == address
    except OSError:
        return False
