"""Principals and origins, without a node."""

from __future__ import annotations

import time

import hypothesis
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c.auth import Authenticator, Principal, dev_principal, mint_token, origin_allowed
from c2c.errors import Unauthorized
from c2c.settings import Settings, is_loopback
from c2c.users import Profile

SECRET = "correct horse battery staple, 32 bytes and more"
KIM = Profile("kim", "kim", "")


@pytest.mark.parametrize(
    ("rooms", "room_id", "enters"),
    [
        (None, "anything", True),
        ((), "anything", False),
        (("a",), "a", True),
        (("a",), "ab", False),
        (("a",), "A", False),
        (("b", "a"), "a", True),
        (("team-*",), "team-1", True),
        (("team-*",), "team-", True),
        (("team-*",), "team", False),
        (("team-*",), "my-team-1", False),
        (("*",), "anything", True),
        (("a*b",), "a*b", True),
        (("a*b",), "axb", False),
        (("",), "a", False),
        (("방*",), "방-1", True),
    ],
)
def test_a_principal_enters_the_rooms_of_its_token(rooms: tuple[str, ...] | None, room_id: str, enters: bool) -> None:
    assert Principal(KIM, rooms=rooms).may_enter(room_id) is enters


@hypothesis.settings(deadline=None)
@given(st.lists(st.text(max_size=5), max_size=4), st.text(min_size=1, max_size=6))
def test_only_a_listed_room_or_prefix_opens(rooms: list[str], room_id: str) -> None:
    listed = room_id in rooms or any(room[-1:] == "*" and room_id[: len(room) - 1] == room[:-1] for room in rooms)
    # A pattern that ends in * is a prefix and nothing else.
    if room_id.endswith("*"):
        listed = any(room[-1:] == "*" and room_id[: len(room) - 1] == room[:-1] for room in rooms)
    assert Principal(KIM, rooms=tuple(rooms)).may_enter(room_id) is listed


def test_a_principal_expires_at_its_time() -> None:
    assert not Principal(KIM).expired
    assert not Principal(KIM, expires_at_s=time.time() + 10).expired
    assert Principal(KIM, expires_at_s=time.time() - 0.001).expired


def test_in_dev_mode_everybody_is_an_admin_under_their_normalised_name() -> None:
    principal = dev_principal("e\u0301")
    assert principal == Principal(Profile("é", "é", ""), admin=True)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "x" * 65, "\ud800"])
def test_in_dev_mode_what_is_no_user_id_is_nobody(name: str) -> None:
    with pytest.raises(Unauthorized):
        dev_principal(name)


async def test_a_minted_token_says_what_was_asked_for() -> None:
    authenticator = Authenticator(Settings(auth="jwt", jwt_secret=SECRET))
    plain = await authenticator.authenticate(mint_token(SECRET, "홍", name=None, ttl_s=60, rooms=None, admin=False))
    assert (plain.profile, plain.admin, plain.rooms) == (Profile("홍", "홍", ""), False, None)
    assert plain.expires_at_s is not None
    assert 55 < plain.expires_at_s - time.time() <= 60
    full = mint_token(SECRET, "kim", name="Kim", ttl_s=60, rooms=["a", "b*"], admin=True)
    principal = await authenticator.authenticate(full)
    assert (principal.profile.username, principal.admin, principal.rooms) == ("Kim", True, ("a", "b*"))
    viewer = mint_token(SECRET, "kim", name=None, ttl_s=60, rooms=None, admin=False, viewer=True)
    roles = [await authenticator.authenticate(token) for token in (full, viewer)]
    assert [(each.admin, each.viewer) for each in [plain, *roles]] == [(False, False), (True, False), (False, True)]
    nowhere = await authenticator.authenticate(mint_token(SECRET, "kim", name=None, ttl_s=60, rooms=[], admin=False))
    assert nowhere.rooms == ()


def test_no_token_is_minted_for_what_is_no_user_id() -> None:
    with pytest.raises(Unauthorized):
        mint_token(SECRET, "a/b", name=None, ttl_s=60, rooms=None, admin=False)


async def test_names_and_pictures_are_cut_to_their_limits() -> None:
    authenticator = Authenticator(Settings(auth="jwt", jwt_secret=SECRET))
    claims = {"sub": "kim", "exp": int(time.time()) + 60, "name": "😀" * 100, "picture": "x" * 5000}
    profile = (await authenticator.authenticate(jwt.encode(claims, SECRET, algorithm="HS256"))).profile
    assert (profile.username, len(profile.avatar)) == ("😀" * 64, 2048)


async def test_issuer_and_audience_are_checked_where_they_are_set() -> None:
    settings = Settings(auth="jwt", jwt_secret=SECRET, jwt_issuer="https://id.example", jwt_audience="c2c")
    authenticator = Authenticator(settings)
    good = {"sub": "kim", "exp": int(time.time()) + 60, "iss": "https://id.example", "aud": "c2c"}
    assert (await authenticator.authenticate(jwt.encode(good, SECRET, algorithm="HS256"))).profile.user_id == "kim"
    wrongs: list[dict[str, object]] = [{"iss": "https://evil.example"}, {"aud": "x"}, {"iss": None}, {"aud": None}]
    for wrong in wrongs:
        claims = {name: value for name, value in (good | wrong).items() if value is not None}
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(jwt.encode(claims, SECRET, algorithm="HS256"))


async def test_an_audience_nobody_set_is_not_looked_at() -> None:
    authenticator = Authenticator(Settings(auth="jwt", jwt_secret=SECRET))
    claims = {"sub": "kim", "exp": int(time.time()) + 60, "aud": "anything"}
    assert (await authenticator.authenticate(jwt.encode(claims, SECRET, algorithm="HS256"))).profile.user_id == "kim"


@hypothesis.settings(deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="eyJ.-_=abc0123", max_size=60))
async def test_whatever_a_token_is_it_is_refused_and_nothing_else_happens(token: str) -> None:
    for settings in (Settings(auth="jwt", jwt_secret=SECRET), Settings()):
        try:
            await Authenticator(settings).authenticate(token)
        except Unauthorized:
            continue
        assert settings.auth == "dev"


# Origins


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "may"),
    [
        (None, "c2c.example", (), True),
        (None, None, (), True),
        ("https://c2c.example", "c2c.example", (), True),
        ("http://c2c.example:8080", "c2c.example:8080", (), True),
        ("http://[::1]:8080", "[::1]:8080", (), True),
        ("https://c2c.example", "c2c.example:8080", (), False),
        ("https://evil.example", "c2c.example", (), False),
        ("https://c2c.example.evil.example", "c2c.example", (), False),
        ("https://c2c.example@evil.example", "c2c.example", (), False),
        ("https://evil.example/c2c.example", "c2c.example", (), False),
        ("https://app.example", "c2c.example", ("https://app.example",), True),
        ("https://app.example/", "c2c.example", ("https://app.example",), True),
        ("http://app.example", "c2c.example", ("https://app.example",), False),
        ("https://app.example:444", "c2c.example", ("https://app.example",), False),
        ("https://evil.example", "c2c.example", ("*",), True),
        ("null", "c2c.example", ("https://app.example",), False),
        ("null", "null", (), False),
        ("null", "", (), False),
        ("", "c2c.example", (), False),
        ("", "", (), False),
        ("file://", "", (), False),
        ("https://c2c.example", None, (), False),
        ("http://[", "c2c.example", (), False),
        ("http://[::1", "[::1", (), False),
    ],
)
def test_pages_of_the_same_host_and_of_listed_origins_may_connect(
    origin: str | None, host: str | None, allowed: tuple[str, ...], may: bool
) -> None:
    assert origin_allowed(origin, host, allowed) is may


@hypothesis.settings(deadline=None)
@given(st.text(max_size=30) | st.text(max_size=20).map(lambda tail: "http://" + tail))
def test_no_origin_makes_the_check_fail(origin: str) -> None:
    assert origin_allowed(origin, "c2c.example:8080", ()) in (True, False)


def test_origins_are_given_as_a_list_with_commas() -> None:
    settings = Settings(allowed_origins=" https://a.example/ ,, https://b.example:8443")
    assert settings.allowed_origins == ("https://a.example", "https://b.example:8443")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
        ("", False), ("0", False), ("127.1", False), ("192.0.2.1", False), ("localhost.example.org", False),
        ("127.0.0.1.example.org", False), ("::ffff:192.0.2.1", False),
    ],
)  # fmt: skip
def test_only_what_this_machine_alone_reaches_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
