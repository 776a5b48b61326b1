"""Where checks may go, judged without a network: URLs in every spelling, addresses of every special range."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from c2c.errors import BadValue
from c2c.monitoring.guard import AddressGuard, CheckedUrl, SystemResolver
from tests.support import eventually

PUBLIC = "93.184.215.14"
EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))
NOT_PUBLIC = "leads to an address that is not public"
NEVER = "leads to an address that is never checked"
OWN = "leads to c2c itself"
BEGINNING = "does not begin with http://, https:// or tcp://"
NO_HOST = "has no valid host"
NO_PORT = "has no port from 1 to 65535"

# IANA's special-purpose registries, RFC 6890 and its updates, multicast, and metadata services of clouds. Written down
# here once more, so that a line that gets lost in the guard is missed.
PRIVATE = (
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "::1/128",
    "fc00::/7",
)  # fmt: skip
SPECIAL = (
    "0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
    "100.100.100.200/32", "168.63.129.16/32", "::/128", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96",
    "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/32", "2001:2::/48", "2001:3::/32", "2001:10::/28",
    "2001:20::/28", "2001:30::/28", "2002::/16", "5f00::/16", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254/128",
    "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128", "fd00:42::42/128", "::8.8.8.8/128", "::7f00:1/128",
)  # fmt: skip
DOCUMENTATION = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
SPECIAL_NETWORKS = [ip_network(cidr) for cidr in (*PRIVATE, *SPECIAL, *DOCUMENTATION)]


def refusal(guard: AddressGuard, url: str) -> str:
    """Why a URL is refused."""
    with pytest.raises(BadValue) as caught:
        guard.check_url(url)
    assert caught.value.details.keys() == {"field", "reason"}
    assert caught.value.details["field"] == "url"
    return str(caught.value.details["reason"])


def verdict(guard: AddressGuard, address: object, port: int = 80) -> str:
    """Why an address is refused, '' if it is not."""
    try:
        guard.judge(str(address), port)
    except BadValue as error:
        return str(error.details["reason"])
    return ""


class Names:
    """A resolver of our own: names and their addresses; counts what it is asked."""

    def __init__(self, **addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        try:
            return self.addresses[host]
        except KeyError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None


# URLs


@pytest.mark.parametrize(
    ("url", "taken_apart", "authority"),
    [
        ("http://example.com", CheckedUrl("http", "example.com", 80, "/"), "example.com"),
        ("HTTPS://Example.COM/A?b=C#d", CheckedUrl("https", "example.com", 443, "/A?b=C"), "example.com"),
        ("http://example.com:443?q", CheckedUrl("http", "example.com", 443, "/?q"), "example.com:443"),
        ("https://example.com:443/", CheckedUrl("https", "example.com", 443, "/"), "example.com"),
        ("https://example.com./", CheckedUrl("https", "example.com", 443, "/"), "example.com"),
        ("http://my_host-1:8080/", CheckedUrl("http", "my_host-1", 8080, "/"), "my_host-1:8080"),
        ("http://한국.kr/한", CheckedUrl("http", "xn--3e0b707e.kr", 80, "/한"), "xn--3e0b707e.kr"),
        ("http://straße.de/", CheckedUrl("http", "xn--strae-oqa.de", 80, "/"), "xn--strae-oqa.de"),
        ("http://e。ｘample。com/", CheckedUrl("http", "e.xample.com", 80, "/"), "e.xample.com"),
        ("http://93.184.215.14/", CheckedUrl("http", PUBLIC, 80, "/"), PUBLIC),
        ("http://1572394766/", CheckedUrl("http", PUBLIC, 80, "/"), PUBLIC),
        ("http://0x5d.0270.0xd70e./", CheckedUrl("http", PUBLIC, 80, "/"), PUBLIC),
        ("http://[2606:4700:0::1111]:81/", CheckedUrl("http", "2606:4700::1111", 81, "/"), "[2606:4700::1111]:81"),
        ("http://example.com/@/:/\\[]", CheckedUrl("http", "example.com", 80, "/@/:/\\[]"), "example.com"),
        ("tcp://example.com:25", CheckedUrl("tcp", "example.com", 25, "/"), "example.com:25"),
    ],
)
def test_a_url_is_taken_apart(url: str, taken_apart: CheckedUrl, authority: str) -> None:
    checked = AddressGuard().check_url(url)
    assert checked == taken_apart
    assert checked.authority == authority
    assert str(checked) == f"{checked.scheme}://{authority}{checked.target}"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", BEGINNING),
        *[
            (url, BEGINNING)
            for url in (
                "example.com", "//example.com/", "/", "http:example.com", "http:/example.com", "http//example.com",
                "file:///etc/passwd", "file://example.com/etc/passwd", "ftp://example.com/", "gopher://example.com:70/",
                "redis://example.com:6379/", "data:text/plain,hello", "javascript:alert(1)", "unix:///run/redis.sock",
                "https+unix://example.com/", "ｈttp://example.com/", "xhttp://example.com/",
            )
        ],
        *[
            (url, "has a space or a control character in it")
            for url in (
                " http://example.com/", "http://example.com/ ", "http://exa mple.com/", "http://example.com/\t",
                "http://example.com/\r\nX: y", "ht\ntp://example.com/", "http://example.com/\0", "http://example.com/\x7f",
                "http://example.com/\x85", "http://example.com/\u2028", "http://exam\u00adple.com/",
                "http://example.com/\u202e", "http://example.com/\ud800", "http://example.com\u3000/",
            )
        ],
        *[
            (url, "has a user name or a password in it")
            for url in (
                "http://user@example.com/", "http://user:word@example.com/", "http://@example.com/",
                "http://example.com@127.0.0.1/", "http://127.0.0.1\\@example.com/", "http://a@b@example.com/",
            )
        ],
        *[
            (url, NO_HOST)
            for url in (
                "http://", "http:///path", "http://?q", "http://:80/", "http://./", "http://../", "http://a..b/",
                "http://example.com../", "http://.example.com/", "http://-a.com/", "http://a-.com/", "http://a%2eb/",
                "http://127.0.0.1%00.example.com/", "http://example.com\\.evil.com/", "http://a,b/", "http://a;b/",
                "http://*/", "http://☃.net/", f"http://{'a' * 64}.com/", f"http://{'a.' * 126}aaa/", "http://::1/",
                "http://[::1/", "http://::1]/", "http://[]/", "http://[::1]x/", "http://x[::1]/", "http://[[::1]]/",
                "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1%lo]/", "http://[127.0.0.1]/",
                "http://[v1.x]/", "http://[example.com]/", "http://256.1.1.1/", "http://1.2.3.4.5/", "http://4294967296/",
                "http://0x1ffffffff/", "http://08.0.0.1/", "http://0x/", "http://example.1/", "http://1.2.3.4../",
            )
        ],
        *[
            (url, NO_PORT)
            for url in (
                "http://example.com:/", "http://example.com:0/", "http://example.com:65536/", "http://example.com:-1/",
                "http://example.com:99999999999/", "http://example.com:8o/", "http://example.com:+80/",
                "http://example.com:٨/", "http://example.com:80:80/", "tcp://example.com",
            )
        ],
        ("tcp://example.com:25/path", "is of the form tcp://host:port"),
        ("tcp://example.com:25?q", "is of the form tcp://host:port"),
        ("http://example.com/" + "a" * 2030, "is longer than 2048 characters"),
    ],
)  # fmt: skip
def test_what_no_check_can_ask_for_is_refused(url: str, reason: str) -> None:
    # An allow-list does not make a URL better.
    for guard in (AddressGuard(), AddressGuard(EVERYTHING)):
        assert refusal(guard, url) == reason


def test_a_url_of_the_other_kind_is_refused() -> None:
    guard = AddressGuard()
    for url, kind, beginning in (
        ("tcp://example.com:1", "http", "http:// or https://"),
        ("http://example.com", "tcp", "tcp://"),
    ):
        with pytest.raises(BadValue) as caught:
            guard.check_url(url, kind)  # type: ignore[arg-type]
        assert caught.value.details["reason"] == f"does not begin with {beginning}"
    assert guard.check_url("http://example.com", "http").scheme == "http"
    assert guard.check_url("tcp://example.com:1", "tcp").scheme == "tcp"


def test_a_url_of_the_full_length_passes() -> None:
    url = "http://example.com/"
    assert AddressGuard().check_url(url + "a" * (2048 - len(url))).host == "example.com"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        *[
            (host, NOT_PUBLIC)
            for host in (
                "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F.1", "0x7f.0x0.0x0.0x1",
                "0177.0.0.1", "017700000001", "0177.0.0.0x1", "127.255.255.254", "１２７．０．０．１", "127。0。0。1",
                "①②⑦.⓪.⓪.①", "２１３０７０６４３３", "0ｘ7f.1", "10.0.0.1", "167772161", "192.168.1.1", "172.16.0.1",
                "100.64.0.1", "198.18.0.1", "192.0.2.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[fd12::1]",
                "[2001:db8::1]",
            )
        ],
        *[
            (host, NEVER)
            for host in (
                "0", "0.0.0.0", "0x0", "00", "169.254.169.254", "2852039166", "0xa9fea9fe", "255.255.255.255",
                "4294967295", "224.0.0.1", "100.100.100.200", "168.63.129.16", "[::]", "[::ffff:7f00:1]",
                "[::ffff:127.0.0.1]", "[::FFFF:8.8.8.8]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]",
                "[64:ff9b::8.8.8.8]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1]",
                "[fd00:ec2::254]", "[ff02::1]", "[fec0::1]",
            )
        ],
    ],
)  # fmt: skip
def test_an_address_is_judged_in_all_its_spellings(host: str, reason: str) -> None:
    assert refusal(AddressGuard(), f"http://{host}/") == reason
    assert refusal(AddressGuard(), f"https://{host}:8443/x?y#z") == reason
    assert refusal(AddressGuard(), f"tcp://{host}:22") == reason


_FULL_WIDTH = str.maketrans("0123456789.xabcdef", "０１２３４５６７８９．ｘａｂｃｄｅｆ")


@st.composite
def _spellings(draw: st.DrawFn, address: IPv4Address) -> str:
    """One of the ways in which `inet_aton` takes an address: one to four parts, each decimal, octal or hexadecimal."""
    number, parts = int(address), draw(st.integers(1, 4))
    values = [number >> (24 - 8 * place) & 255 for place in range(parts - 1)]
    values.append(number & (1 << (32 - 8 * (parts - 1))) - 1)
    forms = st.sampled_from(["{}", "0x{:x}", "0X{:X}", "0{:o}", "00{:o}"])
    text = ".".join(draw(forms).format(value) for value in values)
    return draw(st.sampled_from([text, text + ".", text.lower().translate(_FULL_WIDTH), text.replace(".", "。")]))


@settings(deadline=None)
@given(st.data(), st.ip_addresses(v=4))
def test_every_spelling_of_an_address_has_its_verdict(data: st.DataObject, address: IPv4Address) -> None:
    guard = AddressGuard()
    url = f"http://{data.draw(_spellings(address))}/"
    reason = verdict(guard, address)
    if reason:
        assert refusal(guard, url) == reason
    else:
        assert guard.check_url(url).host == str(address)


_pieces = st.sampled_from(
    ["http", "https", "tcp", ":", "/", "//", "://", "@", "\\", "?", "#", "[", "]", "%", "%2e", ".", "。", "..", ":80",
     "example.com", "127.0.0.1", "::1", "0x7f", "2130706433", "localhost", "xn--", "1", "a", "ß", "①", " ", "\t", "\n"]
)  # fmt: skip


@settings(deadline=None, max_examples=500)
@given(st.lists(_pieces | st.text(max_size=3), max_size=12).map("".join) | st.text())
@example("http://a/\\..//@b")
def test_whatever_passes_names_one_host_and_can_be_asked_for(text: str) -> None:
    """What httpx makes of scheme, address, port and target must be what was judged."""
    for url in (text, "http://" + text, "http://example.com" + text):
        try:
            checked = AddressGuard().check_url(url)
        except BadValue:
            continue
        asked = httpx.URL(f"{checked.scheme}://{PUBLIC}:{checked.port}{checked.target}")
        assert (asked.host, asked.port or {"http": 80, "https": 443}.get(checked.scheme)) == (PUBLIC, checked.port)
        assert asked.userinfo == b""
        assert checked.authority.isascii()
        again = AddressGuard().check_url(str(checked))
        assert (again.origin, again.target) == (checked.origin, checked.target)


# Addresses


def _ends(network: IPv4Network | IPv6Network) -> list[IPv4Address | IPv6Address]:
    return [network[0], network[network.num_addresses // 2], network[-1]]


@pytest.mark.parametrize("cidr", [*PRIVATE, *SPECIAL, *DOCUMENTATION])
def test_no_special_range_is_checked(cidr: str) -> None:
    for address in _ends(ip_network(cidr)):
        assert verdict(AddressGuard(), address) in (NOT_PUBLIC, NEVER)


@pytest.mark.parametrize("cidr", SPECIAL)
def test_an_allow_list_does_not_open_what_is_never_checked(cidr: str) -> None:
    guard = AddressGuard((*EVERYTHING, ip_network(cidr)))
    for address in _ends(ip_network(cidr)):
        assert verdict(guard, address) == NEVER


@pytest.mark.parametrize("cidr", PRIVATE)
def test_an_allow_list_opens_private_ranges(cidr: str) -> None:
    for address in _ends(ip_network(cidr)):
        assert verdict(AddressGuard([ip_network(cidr)]), address) == ""
        assert verdict(AddressGuard([ip_network(f"{address}")]), address) == ""
        others = [ip_network(other) for other in PRIVATE if other != cidr]
        assert verdict(AddressGuard(others), address) == NOT_PUBLIC


@pytest.mark.parametrize("cidr", DOCUMENTATION)
def test_an_allow_list_is_for_private_ranges_only(cidr: str) -> None:
    assert verdict(AddressGuard([ip_network(cidr)]), ip_network(cidr)[1]) == NOT_PUBLIC


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "192.168.0.0/16", "192.0.2.0/24", "2001:db8::/32"])
def test_a_range_that_our_lists_lack_is_refused_by_the_standard_librarys(
    monkeypatch: pytest.MonkeyPatch, cidr: str
) -> None:
    monkeypatch.setattr("c2c.monitoring.guard._NOT_PUBLIC", ())
    assert verdict(AddressGuard(), ip_network(cidr)[1]) == NOT_PUBLIC


@pytest.mark.parametrize("address", ["8.8.8.8", PUBLIC, "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses_are_checked(address: str) -> None:
    assert verdict(AddressGuard(), address) == ""


@pytest.mark.parametrize("text", ["", "example.com", "127.1", "1.2.3.4.5", "2606:4700::1111%eth0", "fe80::1%2"])
def test_what_is_no_address_is_never_checked(text: str) -> None:
    assert verdict(AddressGuard(EVERYTHING), text) == "leads to no valid address"


_of_special_ranges = st.one_of([st.ip_addresses(network=network) for network in SPECIAL_NETWORKS])
# IPv4 inside IPv6, in all the ways that there are.
_translated = st.tuples(
    st.ip_addresses(v=4).map(int),
    st.sampled_from(["::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::", "64:ff9b:1:ffff::"]),
).map(lambda pair: IPv6Address(int(IPv6Address(pair[1])) + pair[0]))


@settings(deadline=None, max_examples=1000)
@given(st.ip_addresses() | _of_special_ranges | _translated)
def test_whatever_is_let_through_is_global_and_nothing_special(address: IPv4Address | IPv6Address) -> None:
    if verdict(AddressGuard(), address) == "":
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast
        assert not address.is_reserved
        assert not any(address in network for network in SPECIAL_NETWORKS)
        if isinstance(address, IPv6Address):
            assert address in IPv6Network("2000::/3")
            assert address.ipv4_mapped is None
            assert address.sixtofour is None
            assert address.teredo is None


@settings(deadline=None, max_examples=1000)
@given(st.ip_addresses() | _of_special_ranges | _translated)
def test_an_allow_list_lets_through_nothing_but_what_is_public_or_private(address: IPv4Address | IPv6Address) -> None:
    private = any(address in ip_network(cidr) for cidr in PRIVATE)
    special = any(address in ip_network(cidr) for cidr in SPECIAL)
    if verdict(AddressGuard(EVERYTHING), address) == "" and verdict(AddressGuard(), address) != "":
        assert private
        assert not special


# c2c itself


def own_address() -> str:
    """An address of this machine that is no loopback: that from which it would reach others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((PUBLIC, 9))
        return str(way.getsockname()[0])


@pytest.mark.parametrize("host", [None, "127.0.0.1", "127.0.0.53", "::1", "0.0.0.0", "::", "own"])
def test_its_own_port_is_denied_by_whatever_address_of_this_machine(host: str | None) -> None:
    guard = AddressGuard(EVERYTHING, denied=[(own_address() if host == "own" else host, 6379)])
    for address in ("127.0.0.1", "127.0.0.2", "::1", own_address()):
        assert verdict(guard, address, 6379) == OWN
        assert verdict(guard, address, 6380) != OWN
    assert verdict(guard, "127.0.0.2", 6380) == verdict(guard, "8.8.8.8", 6379) == ""
    assert refusal(guard, "http://127.1:6379/") == OWN
    assert refusal(guard, "tcp://[::1]:6379") == OWN


@pytest.mark.parametrize("own", ["203.0.112.7", "10.9.8.7", "2606:4700::7"])
def test_its_own_server_elsewhere_is_denied(own: str) -> None:
    guard = AddressGuard(EVERYTHING, denied=[(own, 6379), (own, 6380)])
    assert [verdict(guard, own, port) for port in (6379, 6380, 80)] == [OWN, OWN, ""]
    for neighbour in (ip_address(own) + 1, "127.0.0.1"):
        assert verdict(guard, neighbour, 6379) == ""


async def test_its_own_server_is_denied_by_name_and_by_where_the_name_leads_now() -> None:
    names = Names(redis=["10.9.8.7"], alias=["10.9.8.7"], other=["10.9.8.6"])
    guard = AddressGuard(EVERYTHING, denied=[("Redis.", 6379)], resolver=names)
    assert refusal(guard, "tcp://redis:6379") == OWN
    assert guard.check_url("tcp://redis:6380").host == "redis"
    for host in ("alias", "10.9.8.7"):
        with pytest.raises(BadValue, match="c2c itself"):
            await guard.resolve(host, 6379)
    assert await guard.resolve("alias", 80) == ["10.9.8.7"]
    assert await guard.resolve("other", 6379) == ["10.9.8.6"]
    names.addresses["redis"] = ["10.9.8.6"]
    with pytest.raises(BadValue, match="c2c itself"):
        await guard.resolve("other", 6379)


async def test_a_server_of_its_own_on_this_machine_given_by_name_is_denied_by_every_address_of_it() -> None:
    names = Names(localhost=["127.0.0.1"])
    guard = AddressGuard(EVERYTHING, denied=[("localhost", 6379)], resolver=names)
    for address in ("127.0.0.1", "127.0.0.2", "::1"):
        with pytest.raises(BadValue, match="c2c itself"):
            await guard.resolve(address, 6379)
        assert await guard.resolve(address, 6380) == [address]
    assert await guard.resolve("8.8.8.8", 6379) == ["8.8.8.8"]


async def test_when_nobody_can_tell_where_its_own_server_is_its_port_is_denied() -> None:
    guard = AddressGuard(EVERYTHING, denied=[("redis", 6379)], resolver=Names())
    with pytest.raises(BadValue, match="c2c itself"):
        await guard.resolve("10.9.8.7", 6379)
    assert await guard.resolve("10.9.8.7", 6380) == ["10.9.8.7"]


# Resolving


async def test_a_name_is_asked_for_once_and_its_addresses_come_in_order() -> None:
    names = Names(host=["8.8.8.8", "2606:4700::1111", "8.8.8.8"])
    assert await AddressGuard(resolver=names).resolve("host", 80) == ["8.8.8.8", "2606:4700::1111"]
    assert names.asked == [("host", 80)]


async def test_an_address_is_asked_of_nobody() -> None:
    names = Names()
    guard = AddressGuard(resolver=names)
    assert await guard.resolve("8.8.8.8", 80) == ["8.8.8.8"]
    with pytest.raises(BadValue, match="not public"):
        await guard.resolve("127.0.0.1", 80)
    assert names.asked == []


@pytest.mark.parametrize("bad", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:7f00:1", "fe80::1%eth0"])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_address_that_is_refused_refuses_them_all(bad: str, place: int) -> None:
    addresses = ["8.8.8.8", "2606:4700::1111"]
    addresses.insert(place, bad)
    with pytest.raises(BadValue, match="leads to"):
        await AddressGuard(resolver=Names(host=addresses)).resolve("host", 80)


@pytest.mark.parametrize("names", [Names(), Names(host=[])])
async def test_a_host_without_an_address_is_not_found(names: Names) -> None:
    with pytest.raises(socket.gaierror):
        await AddressGuard(resolver=names).resolve("host", 80)


async def test_the_machine_itself_resolves() -> None:
    found = await SystemResolver()("localhost", 80)
    assert set(found) <= {"127.0.0.1", "::1"}
    assert found
    with pytest.raises(socket.gaierror):
        await SystemResolver()("nowhere.invalid", 80)


async def test_lookups_that_hang_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead name server: its lookups hang on after their callers have given up, and others are answered meanwhile."""
    dead, hanging, look_up = threading.Event(), threading.Semaphore(0), socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: object, **options: object) -> object:
        if host == "dead.test":
            hanging.release()
            dead.wait()
        return look_up("127.0.0.1", *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver, problems = SystemResolver(), list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, problem: problems.append(problem))
    try:
        lookups = [asyncio.create_task(resolver("dead.test", 80)) for _ in range(63)]
        for _ in lookups:
            assert await asyncio.to_thread(hanging.acquire, timeout=10)
        for lookup in lookups:
            lookup.cancel()
        assert await asyncio.gather(*lookups, return_exceptions=True)
        assert await resolver("alive.test", 80) == ["127.0.0.1"]

        # The 64th hangs too: now there is no room for another, until one comes back.
        last = asyncio.create_task(resolver("dead.test", 80))
        assert await asyncio.to_thread(hanging.acquire, timeout=10)
        waiting = asyncio.create_task(resolver("alive.test", 80))
        await asyncio.wait({waiting}, timeout=0.2)
        assert not waiting.done()
    finally:
        dead.set()
    assert await asyncio.wait_for(waiting, 10) == ["127.0.0.1"]
    assert await asyncio.wait_for(last, 10) == ["127.0.0.1"]
    await eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "c2c-resolver"])
    assert await resolver("alive.test", 80) == ["127.0.0.1"]
    # What came too late for the first 63 has troubled nobody.
    assert problems == []
