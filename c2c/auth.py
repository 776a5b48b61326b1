"""Who is calling: tokens and origins.

The algorithm is fixed by the settings and never taken from the token, so neither `alg: none` nor an HMAC made with a
public key gets in (RFC 8725, sections 2.1 and 3.1).
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from pydantic import TypeAdapter, ValidationError

from c2c.errors import ServiceUnavailable, Unauthorized
from c2c.events import UserId
from c2c.settings import Settings
from c2c.users import Profile

_USER_ID: Final[TypeAdapter[str]] = TypeAdapter(UserId)
_NAME_MAX: Final = 64
_AVATAR_MAX: Final = 2048
_FETCH_TIMEOUT_S: Final = 5
_FETCH_AT_MOST_EACH_S: Final = 2.0
_KEYS_GOOD_FOR_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has signed in.

    `viewer`: may look at line-ups, not edit them. `rooms`: ids or `prefix*` that may be entered, None = all.
    """

    profile: Profile
    admin: bool = False
    viewer: bool = False
    rooms: tuple[str, ...] | None = None
    expires_at_s: float | None = None

    def may_enter(self, room_id: str) -> bool:
        """Whether the token lets its bearer into the room."""
        if self.rooms is None:
            return True
        return any(
            room_id.startswith(pattern[:-1]) if pattern.endswith("*") else room_id == pattern for pattern in self.rooms
        )

    @property
    def expired(self) -> bool:
        return self.expires_at_s is not None and self.expires_at_s <= time.time()


def dev_principal(user_id: str) -> Principal:
    """In auth mode `dev` everybody is who they say, and an admin. Raises Unauthorized for what is no user id."""
    try:
        name = _USER_ID.validate_python(user_id, strict=True)
    except ValidationError:
        raise Unauthorized(reason="the token is no user id") from None
    return Principal(Profile(name, name, ""), admin=True)


class RemoteKeys:
    """A key set behind a URL, fetched when it is needed and kept for five minutes: a key that was taken out is not
    trusted for longer. Tokens that name unknown keys, which anybody can make, cause a fetch each two seconds at most,
    and nobody waits in line for another's: there is one fetch at a time and all wait for that."""

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cache_keys=False, cache_jwk_set=False, timeout=_FETCH_TIMEOUT_S)
        self._keys: list[jwt.PyJWK] = []
        self._good_until_s = 0.0
        self._next_fetch_s = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def all(self, kid: str | None) -> list[jwt.PyJWK]:
        """The keys, fresh enough and, if the host can be reached, with this one among them.

        Raises PyJWKClientConnectionError.
        """
        now_s = time.monotonic()
        fresh = now_s < self._good_until_s
        if fresh and (kid is None or any(key.key_id == kid for key in self._keys)):
            return self._keys
        if self._fetching is None and now_s >= self._next_fetch_s:
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        if self._fetching is not None:
            await asyncio.shield(self._fetching)
        elif not fresh:
            raise jwt.PyJWKClientConnectionError("the last try failed a moment ago")
        return self._keys

    async def _fetch(self) -> None:
        self._next_fetch_s = time.monotonic() + _FETCH_AT_MOST_EACH_S
        # The client fetches with urllib; a thread keeps the loop free.
        key_set = await asyncio.to_thread(self._client.get_jwk_set)
        self._keys = key_set.keys
        self._good_until_s = time.monotonic() + _KEYS_GOOD_FOR_S

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # whoever waited has seen it


class Authenticator:
    """Turns tokens into principals by the settings' mode."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._remote: RemoteKeys | None = None
        self._local: list[jwt.PyJWK] = []
        source = settings.jwt_jwks
        if settings.auth == "jwt" and source is not None and settings.jwt_algorithm != "HS256":
            if urlsplit(source).scheme in ("http", "https"):
                self._remote = RemoteKeys(source)
            else:
                self._local = jwt.PyJWKSet.from_dict(json.loads(Path(source).read_text(encoding="utf-8"))).keys

    async def authenticate(self, token: str) -> Principal:
        """Who bears this token. Raises Unauthorized; ServiceUnavailable when the keys can't be fetched."""
        if self._settings.auth == "dev":
            return dev_principal(token)
        try:
            claims = jwt.decode(
                token,
                await self._key(token),
                algorithms=[self._settings.jwt_algorithm],
                issuer=self._settings.jwt_issuer,
                audience=self._settings.jwt_audience,
                options={"require": ["exp", "sub"], "verify_aud": self._settings.jwt_audience is not None},
            )
            return _principal(claims)
        except jwt.PyJWKClientConnectionError:
            raise ServiceUnavailable(retryAfterMs=1000) from None
        except jwt.ExpiredSignatureError:
            raise Unauthorized(reason="expired") from None
        except (jwt.PyJWTError, ValidationError, ValueError, TypeError, ArithmeticError, RecursionError):
            raise Unauthorized(reason="invalid") from None

    async def _key(self, token: str) -> Any:
        """The key to check with: the secret, or the key of the right algorithm that the token names by its `kid`."""
        if self._settings.jwt_algorithm == "HS256":
            return self._settings.jwt_secret
        kid = jwt.get_unverified_header(token).get("kid")
        keys = self._local if self._remote is None else await self._remote.all(kid)
        for key in keys:
            if key.algorithm_name == self._settings.jwt_algorithm and (kid is None or key.key_id == kid):
                return key
        raise jwt.InvalidKeyError("no such key")


def _principal(claims: dict[str, Any]) -> Principal:
    user_id = _USER_ID.validate_python(claims["sub"], strict=True)
    rooms = claims.get("rooms")
    if rooms is not None and not (isinstance(rooms, list) and all(isinstance(room, str) for room in rooms)):
        raise ValueError("rooms")
    base = Principal(Profile(user_id, user_id, ""), expires_at_s=float(claims["exp"]))
    return replace(
        base,
        profile=Profile(user_id, _text(claims, "name", _NAME_MAX) or user_id, _text(claims, "picture", _AVATAR_MAX)),
        admin=claims.get("role") == "admin",
        viewer=claims.get("role") == "viewer",
        rooms=None if rooms is None else tuple(rooms),
    )


def _text(claims: dict[str, Any], name: str, limit: int) -> str:
    """A claim for people: cut to its limit, and with what is no Unicode text replaced."""
    value = claims.get(name)
    return value[:limit].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def mint_token(
    secret: str,
    user_id: str,
    *,
    name: str | None,
    ttl_s: int,
    rooms: list[str] | None,
    admin: bool,
    viewer: bool = False,
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    """An HS256 token for `c2c token` and tests. Raises Unauthorized for what is no user id."""
    profile = dev_principal(user_id).profile
    now_s = int(time.time())
    claims: dict[str, Any] = {"sub": profile.user_id, "iat": now_s, "exp": now_s + ttl_s}
    if name:
        claims["name"] = name
    if rooms is not None:
        claims["rooms"] = rooms
    if admin or viewer:
        claims["role"] = "admin" if admin else "viewer"
    if issuer is not None:
        claims["iss"] = issuer
    if audience is not None:
        claims["aud"] = audience
    return jwt.encode(claims, secret, algorithm="HS256")


def origin_allowed(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> bool:
    """Whether a browser page of this origin may connect (RFC 6455, section 10.2).

    Programs send no Origin. Pages of the same host may always; others must be listed, `*` lists all.
    """
    if origin is None or "*" in allowed or origin.rstrip("/") in allowed:
        return True
    try:
        return bool(host) and urlsplit(origin).netloc == host
    except ValueError:
        return False
