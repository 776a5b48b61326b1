"""Who gets in with a token, and who does not: real nodes in auth mode `jwt`, and tokens that no library makes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from c2c.auth import Authenticator
from c2c.errors import ServiceUnavailable, Unauthorized
from c2c.settings import Settings
from tests.support import ROOT, NodeProcess, RedisServer, Talker, eventually, talk

SECRET = "correct horse battery staple, 32 bytes and more"
NO_CLAIM = object()


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token of `kim`, with changes; NO_CLAIM takes one out."""
    whole = {"sub": "kim", "exp": int(time.time()) + 600, **changes}
    return {name: value for name, value in whole.items() if value is not NO_CLAIM}


def token(**changes: Any) -> str:
    """An HS256 token of `kim`."""
    return jwt.encode(claims(**changes), SECRET, algorithm="HS256")


def b64(data: bytes | str | dict[str, Any] | list[Any]) -> str:
    raw = data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], payload: str | dict[str, Any], key: bytes, hash_name: str = "sha256") -> str:
    """A token with an HMAC that no library would make."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), hash_name))}"


@pytest.fixture(scope="module")
def redis_of_module() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def node(redis_of_module: RedisServer) -> Iterator[NodeProcess]:
    """HS256. Its log, at its most talkative, must hold neither the secret nor a token nor a traceback."""
    with NodeProcess(
        redis_of_module.url, auth="jwt", jwt_secret=SECRET, log_level="debug", sign_in_timeout_s=60
    ) as node:
        yield node
        assert "Traceback" not in node.log, node.log
        assert SECRET not in node.log
        assert "eyJ" not in node.log, "a token stands in the log"


def post_room(node: NodeProcess, room_id: str, bearer: str) -> None:
    status, answer = node.request("POST", "/api/rooms", {"roomId": room_id}, bearer_header(bearer))
    assert status == 201, answer


def bearer_header(bearer: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {bearer}"}


async def sign_in(node: NodeProcess, bearer: str, within_s: float = 10.0) -> dict[str, Any]:
    """The answer to a `hello` with this token; a refusal must close with 4401 and is all that is said."""
    async with talk(node.ws_url) as client:
        answer = await client.ask("hello", token=bearer, within_s=within_s)
        if answer.get("code") == "UNAUTHORIZED":
            assert await client.wait_closed() == 4401
            assert client.frames == [answer]
            assert node.request("GET", "/api/rooms/nowhere", headers=bearer_header(bearer))[0] in (401, 400)
        return answer


# HS256


async def test_a_good_token_signs_in_as_its_sub_with_name_and_picture(
    node: NodeProcess, redis_of_module: RedisServer
) -> None:
    post_room(node, "profile", token())
    good = token(sub="홍길동", name="Gil-dong Hong", picture="https://example.org/hong.png")
    async with talk(node.ws_url) as watcher, talk(node.ws_url) as client:
        await watcher.join("profile", token(sub="watcher"))
        welcome = await client.ask("hello", token=good)
        assert (welcome["t"], welcome["me"], welcome["username"]) == ("welcome", "홍길동", "Gil-dong Hong")
        await client.ask("join", roomId="profile")
        event = await watcher.wait_for("user_joined")
        assert (event["userId"], event["username"]) == ("홍길동", "Gil-dong Hong")
        await client.ask("msg", roomId="profile", text="hi")
        said = await watcher.wait_for("msg")
        assert (said["from"], said["username"]) == ("홍길동", "Gil-dong Hong")
        await eventually(
            lambda: redis_of_module.client.hget("user:홍길동:session", "avatar") == "https://example.org/hong.png"
        )


@pytest.mark.parametrize("name", [NO_CLAIM, "", None, 7, ["x"], {}])
async def test_without_a_name_that_is_text_the_user_id_is_the_name(node: NodeProcess, name: object) -> None:
    assert (await sign_in(node, token(name=name)))["username"] == "kim"


async def test_a_name_or_picture_that_is_no_unicode_harms_nobody(node: NodeProcess) -> None:
    """A lone surrogate in a profile, which JSON can spell, must not reach the encoders of frames or of Redis."""
    post_room(node, "surrogates", token())
    async with talk(node.ws_url) as other:
        await other.join("surrogates", token(sub="other"))
        for fields in ({"name": "\ud800"}, {"picture": "\udfff"}, {"name": "x" * 63 + "😀" * 2}):
            async with talk(node.ws_url) as client:
                answer = await client.ask("join", roomId="surrogates", token=token(**fields))
                assert answer.get("code", answer["t"]) in ("joined", "UNAUTHORIZED")
            # The node's only way to Redis is still alive.
            assert (await other.ask("msg", roomId="surrogates", text="alive"))["t"] == "ack"
        await other.wait_for("msg", 3)


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "garbage": lambda: "hello",
    "three dots": lambda: "...",
    "not base64": lambda: "!.!.!",
    "16 KiB": lambda: "x" * 16_384,
    "no exp": lambda: token(exp=NO_CLAIM),
    "exp is text": lambda: token(exp="tomorrow"),
    "exp is null": lambda: token(exp=None),
    "exp is infinite": lambda: token(exp=float("inf")),
    "expired": lambda: token(exp=int(time.time()) - 1),
    "expires now": lambda: token(exp=int(time.time())),
    "expired in 1970": lambda: token(exp=0),
    "not yet valid": lambda: token(nbf=int(time.time()) + 600),
    "issued in the future": lambda: token(iat=int(time.time()) + 600),
    "no sub": lambda: token(sub=NO_CLAIM),
    "sub is empty": lambda: token(sub=""),
    "sub is null": lambda: token(sub=None),
    "sub is a list": lambda: by_hand({"alg": "HS256"}, claims(sub=["kim"]), SECRET.encode()),
    "sub is a number": lambda: by_hand({"alg": "HS256"}, claims(sub=7), SECRET.encode()),
    "sub of 65": lambda: token(sub="x" * 65),
    "sub with a slash": lambda: token(sub="a/b"),
    "sub with a colon": lambda: token(sub="a:b"),
    "sub with braces": lambda: token(sub="{a}"),
    "sub with a NUL": lambda: token(sub="a\0"),
    "sub with a surrogate": lambda: token(sub="\ud800"),
    "rooms is text": lambda: token(rooms="a"),
    "rooms of numbers": lambda: token(rooms=[1]),
    "rooms is an object": lambda: token(rooms={"a": 1}),
    "wrong secret": lambda: jwt.encode(claims(), SECRET + "!", algorithm="HS256"),
    "empty secret": lambda: by_hand({"alg": "HS256"}, claims(), b""),
    "no signature": lambda: token().rpartition(".")[0] + ".",
    "two parts": lambda: token().rpartition(".")[0],
    "other payload": lambda: ".".join((token().split(".")[0], b64(claims(sub="admin")), token().split(".")[2])),
    "alg none": lambda: f"{b64({'alg': 'none', 'typ': 'JWT'})}.{b64(claims())}.",
    "alg None": lambda: f"{b64({'alg': 'None'})}.{b64(claims())}.",
    "alg none with a signature": lambda: by_hand({"alg": "none"}, claims(), SECRET.encode()),
    "no alg": lambda: by_hand({"typ": "JWT"}, claims(), SECRET.encode()),
    "alg is a list": lambda: by_hand({"alg": ["HS256"]}, claims(), SECRET.encode()),
    "alg is null": lambda: by_hand({"alg": None}, claims(), SECRET.encode()),
    "alg hs256": lambda: by_hand({"alg": "hs256"}, claims(), SECRET.encode()),
    "HS512 with the right secret": lambda: by_hand({"alg": "HS512"}, claims(), SECRET.encode(), "sha512"),
    "header is a list": lambda: f"{b64(['HS256'])}.{b64(claims())}.{b64(b'x')}",
    "header of 9000 brackets": lambda: f"{b64('[' * 9000)}.{b64(claims())}.{b64(b'x')}",
    "payload is a list": lambda: by_hand({"alg": "HS256"}, "[1]", SECRET.encode()),
    "payload is no JSON": lambda: by_hand({"alg": "HS256"}, "hello", SECRET.encode()),
    "payload of 9000 brackets": lambda: by_hand({"alg": "HS256"}, "[" * 9000, SECRET.encode()),
}


@pytest.mark.parametrize("make", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_bad_token_is_unauthorized_and_closed_with_4401(node: NodeProcess, make: Callable[[], str]) -> None:
    answer = await sign_in(node, make())
    assert (answer["t"], answer["code"], answer["retryable"]) == ("error", "UNAUTHORIZED", False)


async def test_an_expired_token_is_called_expired_and_a_wrong_one_is_not(node: NodeProcess) -> None:
    assert (await sign_in(node, token(exp=int(time.time()) - 10)))["reason"] == "expired"
    forged = jwt.encode(claims(exp=int(time.time()) - 10), SECRET + "!", algorithm="HS256")
    assert (await sign_in(node, forged))["reason"] == "invalid"


async def test_a_token_that_expires_in_a_googol_of_seconds_is_no_defect(node: NodeProcess) -> None:
    for exp in (10**20, 10**400):
        answer = await sign_in(node, token(exp=exp))
        assert answer.get("code", answer["t"]) in ("welcome", "UNAUTHORIZED")


async def test_a_token_longer_than_16_kib_is_a_bad_value(node: NodeProcess) -> None:
    answer = await sign_in(node, "x" * 16_385)
    assert (answer["code"], answer["field"]) == ("BAD_VALUE", "token")


async def test_a_bad_token_in_a_join_joins_nothing(node: NodeProcess, redis_of_module: RedisServer) -> None:
    post_room(node, "closed", token(sub="owner"))
    async with talk(node.ws_url) as client:
        answer = await client.join("closed", jwt.encode(claims(), SECRET + "!", algorithm="HS256"))
        assert answer["code"] == "UNAUTHORIZED"
        assert await client.wait_closed() == 4401
    assert redis_of_module.client.smembers("room:closed:members") == {"owner"}


async def test_a_bad_token_ends_also_a_connection_that_was_signed_in(node: NodeProcess) -> None:
    async with talk(node.ws_url) as client:
        await client.ask("hello", token=token())
        assert (await client.ask("hello", token="forged"))["code"] == "UNAUTHORIZED"
        assert await client.wait_closed() == 4401


async def test_somebody_elses_token_is_forbidden(node: NodeProcess) -> None:
    async with talk(node.ws_url) as client:
        await client.ask("hello", token=token())
        assert (await client.ask("hello", token=token(sub="lee")))["code"] == "FORBIDDEN"
        assert (await client.ask("ping"))["t"] == "pong"


async def test_a_token_that_expires_closes_its_connection_with_4401_unless_it_was_refreshed(node: NodeProcess) -> None:
    async with talk(node.ws_url) as forgetful, talk(node.ws_url) as careful:
        expires_s = int(time.time()) + 4
        await forgetful.ask("hello", token=token(exp=expires_s))
        await careful.ask("hello", token=token(exp=expires_s))
        await careful.ask("hello", token=token())
        assert await forgetful.wait_closed() == 4401
        assert expires_s - 0.1 <= time.time() < expires_s + 2
        assert (await careful.ask("ping"))["t"] == "pong"
        assert careful.of("error") == forgetful.of("error") == []


# What a token lets its bearer do


async def test_rooms_of_a_token_are_ids_and_prefixes(node: NodeProcess) -> None:
    for room_id in ("alpha", "alphabet", "team-1", "team-", "team", "beta"):
        post_room(node, room_id, token(sub="owner"))
    limited = token(rooms=["alpha", "team-*"])
    entered = {}
    async with talk(node.ws_url) as client:
        await client.ask("hello", token=limited)
        for room_id in ("alpha", "alphabet", "team-1", "team-", "team", "beta"):
            answer = await client.ask("join", roomId=room_id)
            entered[room_id] = answer.get("code", answer["t"])
    assert {room_id for room_id, answer in entered.items() if answer == "joined"} == {"alpha", "team-1", "team-"}
    assert {answer for answer in entered.values() if answer != "joined"} == {"ROOM_NOT_FOUND"}


async def test_an_empty_list_of_rooms_lets_into_none_and_a_star_into_all(node: NodeProcess) -> None:
    post_room(node, "starry", token(sub="owner"))
    async with talk(node.ws_url) as nowhere, talk(node.ws_url) as everywhere:
        assert (await nowhere.join("starry", token(rooms=[])))["code"] == "ROOM_NOT_FOUND"
        assert (await everywhere.join("starry", token(sub="lee", rooms=["*"])))["t"] == "joined"


async def test_a_room_that_may_not_be_entered_and_one_that_is_not_there_look_the_same_byte_for_byte(
    node: NodeProcess,
) -> None:
    post_room(node, "hidden", token(sub="owner"))
    limited = token(rooms=["elsewhere"])
    async with connect(node.ws_url, compression=None) as socket:
        await socket.send(json.dumps({"t": "hello", "token": limited}))
        await socket.recv()
        for t, fields in (
            ("join", {}),
            ("join", {"since": {"epoch": "e", "seq": 1}}),
            ("leave", {}),
            ("msg", {"text": "x"}),
            ("history", {"before": 1}),
            ("typing", {"typing": True}),
        ):
            answers = []
            for room_id in ("hidden", "absent"):
                await socket.send(json.dumps({"t": t, "id": "x", "roomId": room_id, **fields}))
                answers.append(await socket.recv())
            assert answers[0] == answers[1]
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/events", None),
        ("POST", "/events", {"t": "msg", "text": "x"}),
    ):
        told = []
        for room_id in ("hidden", "absent"):
            status, answer = node.request(method, f"/api/rooms/{room_id}{path}", body, bearer_header(limited))
            del answer["timestamp"]
            told.append((status, answer))
        assert told[0] == told[1]
        assert told[0][0] == 404


async def test_a_room_outside_the_tokens_rooms_can_not_be_opened_nor_probed(node: NodeProcess) -> None:
    post_room(node, "taken", token(sub="owner"))
    limited = bearer_header(token(rooms=["mine-*"]))
    for room_id in ("taken", "free"):
        status, answer = node.request("POST", "/api/rooms", {"roomId": room_id}, limited)
        assert (status, answer["error"]["code"]) == (403, "FORBIDDEN")
    assert node.request("POST", "/api/rooms", {"roomId": "mine-1"}, limited)[0] == 201


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 200), (NO_CLAIM, 403), ("Admin", 403), (["admin"], 403), (True, 403), ("user", 403)]
)
def test_only_the_role_admin_lists_rooms(node: NodeProcess, role: object, status: int) -> None:
    answered, answer = node.request("GET", "/api/rooms", headers=bearer_header(token(role=role)))
    assert answered == status
    assert (answer["error"] or {}).get("code") == (None if status == 200 else "FORBIDDEN")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic a2ltOmtpbQ==", "Bearer hello", "eyJhbGciOiJub25lIn0.e30."]
)
def test_rest_without_a_good_bearer_token_is_401(node: NodeProcess, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path, body in (
        ("GET", "/api/rooms", None),
        ("GET", "/api/rooms/x", None),
        ("GET", "/api/rooms/x/events", None),
        ("POST", "/api/rooms/x/events", {"t": "msg", "text": "x"}),
        ("POST", "/api/rooms", {"creatorName": "kim"}),
    ):
        status, answer = node.request(method, path, body, headers)
        assert (status, answer["error"]["code"]) == (401, "UNAUTHORIZED")


def test_the_creator_is_who_the_token_names_whatever_the_body_says(
    node: NodeProcess, redis_of_module: RedisServer
) -> None:
    body = {"roomId": "whose", "creatorName": "somebody"}
    assert node.request("POST", "/api/rooms", body, bearer_header(token()))[0] == 201
    assert redis_of_module.client.smembers("room:whose:members") == {"kim"}


def test_in_jwt_mode_a_node_answers_to_every_name(node: NodeProcess) -> None:
    for host in ("c2c.example", "10.0.0.1:80", "localhost"):
        assert node.request("GET", "/healthz", headers={"Host": host})[0] == 200


# Keys of two halves


class Pair(NamedTuple):
    """A private key, and its public half as a JWK."""

    private: Any
    jwk: dict[str, Any]


def rsa_pair(kid: str) -> Pair:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Pair(private, {**RSAAlgorithm.to_jwk(private.public_key(), as_dict=True), "kid": kid, "use": "sig"})


def ec_pair(kid: str) -> Pair:
    private = ec.generate_private_key(ec.SECP256R1())
    return Pair(private, {**ECAlgorithm.to_jwk(private.public_key(), as_dict=True), "kid": kid, "use": "sig"})


class KeySet(NamedTuple):
    rsa: Pair
    rsa_other: Pair
    ec: Pair
    strange_rsa: Pair


@pytest.fixture(scope="module")
def keys() -> KeySet:
    return KeySet(rsa_pair("rsa-1"), rsa_pair("rsa-2"), ec_pair("ec-1"), rsa_pair("rsa-1"))


def signed(pair: Pair, algorithm: str, kid: str | None, header: dict[str, Any] | None = None, **changes: Any) -> str:
    headers = {**({} if kid is None else {"kid": kid}), **(header or {})}
    return jwt.encode(claims(**changes), pair.private, algorithm=algorithm, headers=headers)


@pytest.fixture(scope="module")
def rs256_node(
    redis_of_module: RedisServer, keys: KeySet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    """RS256 by a file, in which also a key for another algorithm stands."""
    file = tmp_path_factory.mktemp("jwks") / "jwks.json"
    file.write_text(json.dumps({"keys": [keys.ec.jwk, keys.rsa.jwk, keys.rsa_other.jwk]}))
    with NodeProcess(redis_of_module.url, auth="jwt", jwt_algorithm="RS256", jwt_jwks=file) as node:
        yield node
        assert "Traceback" not in node.log, node.log


async def test_rs256_by_a_file_takes_the_key_that_the_token_names(rs256_node: NodeProcess, keys: KeySet) -> None:
    for good in (signed(keys.rsa, "RS256", "rsa-1"), signed(keys.rsa_other, "RS256", "rsa-2")):
        assert (await sign_in(rs256_node, good))["me"] == "kim"
    for bad in (signed(keys.rsa, "RS256", "rsa-2"), signed(keys.strange_rsa, "RS256", "rsa-1")):
        assert (await sign_in(rs256_node, bad))["code"] == "UNAUTHORIZED"


async def test_a_token_that_names_no_key_is_checked_with_a_key_for_the_algorithm(
    rs256_node: NodeProcess, keys: KeySet
) -> None:
    assert (await sign_in(rs256_node, signed(keys.rsa, "RS256", None)))["me"] == "kim"
    assert (await sign_in(rs256_node, signed(keys.strange_rsa, "RS256", None)))["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize("kid", ["unknown", "", "../../etc/passwd", "ec-1"])
async def test_a_key_that_is_not_in_the_set_gets_nobody_in(rs256_node: NodeProcess, keys: KeySet, kid: str) -> None:
    assert (await sign_in(rs256_node, signed(keys.rsa, "RS256", kid)))["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize("kid", [7, None, ["rsa-1"], {}, True])
async def test_a_kid_that_is_no_text_gets_nobody_in(rs256_node: NodeProcess, keys: KeySet, kid: object) -> None:
    forged = by_hand({"alg": "RS256", "kid": kid}, claims(), b"x")
    assert (await sign_in(rs256_node, forged))["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "none", "ES256", "PS256"])
async def test_an_hmac_made_with_the_public_key_gets_nobody_in(
    rs256_node: NodeProcess, keys: KeySet, algorithm: str
) -> None:
    """RFC 8725, section 2.1: who believes the token's `alg` takes the public key for a shared secret."""
    public = keys.rsa.private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = (
        pem,
        pem.strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        json.dumps(keys.rsa.jwk).encode(),
        keys.rsa.jwk["n"].encode(),
    )
    for secret in secrets:
        forged = by_hand({"alg": algorithm, "kid": "rsa-1"}, claims(role="admin"), secret)
        assert (await sign_in(rs256_node, forged))["code"] == "UNAUTHORIZED"


async def test_a_token_can_not_bring_its_own_key(rs256_node: NodeProcess, keys: KeySet) -> None:
    for header in ({"jwk": keys.strange_rsa.jwk}, {"jku": "http://127.0.0.1:1/jwks"}, {"x5u": "http://127.0.0.1:1"}):
        forged = signed(keys.strange_rsa, "RS256", "rsa-1", header)
        assert (await sign_in(rs256_node, forged))["code"] == "UNAUTHORIZED"


async def test_other_algorithms_with_good_keys_get_nobody_in(rs256_node: NodeProcess, keys: KeySet) -> None:
    for forged in (
        signed(keys.ec, "ES256", "ec-1"),
        signed(keys.rsa, "RS512", "rsa-1"),
        signed(keys.rsa, "PS256", "rsa-1"),
        f"{b64({'alg': 'none', 'kid': 'rsa-1'})}.{b64(claims())}.",
    ):
        assert (await sign_in(rs256_node, forged))["code"] == "UNAUTHORIZED"


# Keys from a URL


class JwksServer:
    """A small web server for a key set, which can also be slow, broken or gone."""

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self.keys = keys
        self.fetches = 0
        self.answer = self.good
        self.released = threading.Event()
        jwks = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                jwks.fetches += 1
                with contextlib.suppress(OSError):
                    self.wfile.write(jwks.answer())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def good(self) -> bytes:
        return self._response(b"200 OK", json.dumps({"keys": self.keys}).encode())

    def error(self) -> bytes:
        return self._response(b"500 Oops", b"")

    def garbage(self) -> bytes:
        return b"\0\1\2 this is not HTTP"

    def no_json(self) -> bytes:
        return self._response(b"200 OK", b"<html>")

    def deep(self) -> bytes:
        return self._response(b"200 OK", b"[" * 100_000)

    def a_list(self) -> bytes:
        return self._response(b"200 OK", b"[]")

    def no_keys(self) -> bytes:
        return self._response(b"200 OK", b'{"keys":[]}')

    def half(self) -> bytes:
        return b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n{"

    def hang(self) -> bytes:
        self.released.wait(30)
        return b""

    @staticmethod
    def _response(status: bytes, body: bytes) -> bytes:
        return b"HTTP/1.0 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def jwks(keys: KeySet) -> Iterator[JwksServer]:
    with contextlib.closing(JwksServer([keys.ec.jwk])) as server:
        yield server


@pytest.fixture
def es256_node(redis_of_module: RedisServer, jwks: JwksServer) -> Iterator[NodeProcess]:
    """ES256 by a URL; a node of its own for each test, because key sets are cached."""
    with NodeProcess(
        redis_of_module.url, auth="jwt", jwt_algorithm="ES256", jwt_jwks=jwks.url, sign_in_timeout_s=60
    ) as node:
        yield node
        assert "Traceback" not in node.log, node.log


async def test_es256_by_a_url_fetches_the_keys_once_and_survives_that_they_are_gone(
    es256_node: NodeProcess, jwks: JwksServer, keys: KeySet
) -> None:
    good = signed(keys.ec, "ES256", "ec-1")
    answers = await asyncio.gather(*[sign_in(es256_node, good) for _ in range(10)])
    assert {answer["me"] for answer in answers} == {"kim"}
    assert jwks.fetches == 1
    jwks.answer = jwks.error
    assert (await sign_in(es256_node, good))["me"] == "kim"
    for forged in (
        signed(keys.ec, "ES256", "unknown"),
        signed(ec_pair("ec-1"), "ES256", "ec-1"),
        by_hand({"alg": "HS256", "kid": "ec-1"}, claims(), json.dumps(keys.ec.jwk).encode()),
        by_hand({"alg": "ES256", "kid": "ec-1"}, claims(), b"x"),
        f"{b64({'alg': 'ES256', 'kid': 'ec-1'})}.{b64(claims())}.{b64(bytes(64))}",
        f"{b64({'alg': 'none', 'kid': 'ec-1'})}.{b64(claims())}.",
    ):
        assert (await sign_in(es256_node, forged))["code"] in ("UNAUTHORIZED", "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize("way", ["error", "garbage", "no_json", "deep", "a_list", "no_keys", "half"])
async def test_while_the_key_set_is_broken_nobody_gets_in_and_then_all_is_well(
    redis_of_module: RedisServer, es256_node_shared: tuple[NodeProcess, JwksServer], keys: KeySet, way: str
) -> None:
    node, jwks = es256_node_shared
    jwks.answer = getattr(jwks, way)
    answer = await _hello(node, signed(keys.ec, "ES256", "ec-1"))
    assert answer["code"] in ("UNAUTHORIZED", "SERVICE_UNAVAILABLE")
    status, body = node.request("GET", "/api/rooms", headers=bearer_header(signed(keys.ec, "ES256", "ec-1")))
    assert (status, body["error"]["code"]) in ((401, "UNAUTHORIZED"), (503, "SERVICE_UNAVAILABLE"))


async def _hello(node: NodeProcess, bearer: str) -> dict[str, Any]:
    async with talk(node.ws_url) as client:
        return await client.ask("hello", token=bearer)


@pytest.fixture(scope="module")
def es256_node_shared(redis_of_module: RedisServer, keys: KeySet) -> Iterator[tuple[NodeProcess, JwksServer]]:
    """A node that has never got a key set; when all broken ones were tried, the good one must do."""
    with contextlib.closing(JwksServer([keys.ec.jwk])) as server:
        server.answer = server.error
        with NodeProcess(redis_of_module.url, auth="jwt", jwt_algorithm="ES256", jwt_jwks=server.url) as node:
            yield node, server
            server.answer = server.good
            good, status, until_s = bearer_header(signed(keys.ec, "ES256", "ec-1")), 503, time.monotonic() + 10
            while status == 503 and time.monotonic() < until_s:  # fetches are 2 s apart
                time.sleep(0.1)
                status, _ = node.request("GET", "/api/rooms/x", headers=good)
            assert status == 404
            assert "Traceback" not in node.log, node.log


async def test_a_key_set_that_hangs_holds_up_nobody_else(
    es256_node: NodeProcess, jwks: JwksServer, keys: KeySet
) -> None:
    jwks.answer = jwks.hang
    async with talk(es256_node.ws_url) as other:
        hellos = [asyncio.create_task(_hello(es256_node, signed(keys.ec, "ES256", f"kid-{n}"))) for n in range(3)]
        await eventually(lambda: jwks.fetches > 0)
        for _ in range(20):
            assert (await other.ask("ping"))["t"] == "pong"
        assert es256_node.get("/healthz")[0] == 200
        assert not any(task.done() for task in hellos)
        jwks.released.set()
        answers = await asyncio.gather(*hellos)
        assert {answer["code"] for answer in answers} <= {"UNAUTHORIZED", "SERVICE_UNAVAILABLE"}


async def test_a_key_that_was_taken_out_of_the_set_is_not_trusted_for_ever(
    jwks: JwksServer, keys: KeySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = _by_url(jwks)
    good = signed(keys.ec, "ES256", "ec-1")
    assert (await authenticator.authenticate(good)).profile.user_id == "kim"
    jwks.keys = [ec_pair("ec-2").jwk]
    assert (await authenticator.authenticate(good)).profile.user_id == "kim"
    later_s = time.monotonic() + 301
    monkeypatch.setattr("c2c.auth.time", SimpleNamespace(monotonic=lambda: later_s, time=time.time))
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(good)


async def test_who_has_a_known_key_gets_in_while_unknown_keys_are_being_fetched(
    jwks: JwksServer, keys: KeySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make up key ids: that must not take the way of those whose key is known."""
    monkeypatch.setattr("c2c.auth._FETCH_AT_MOST_EACH_S", 0.0)
    authenticator = _by_url(jwks)
    await authenticator.authenticate(signed(keys.ec, "ES256", "ec-1"))
    jwks.answer = jwks.hang
    made_up = [
        asyncio.create_task(authenticator.authenticate(signed(keys.ec, "ES256", f"kid-{n}"))) for n in range(100)
    ]
    await eventually(lambda: jwks.fetches == 2)
    async with asyncio.timeout(2):
        assert (await authenticator.authenticate(signed(keys.ec, "ES256", "ec-1"))).profile.user_id == "kim"
    jwks.released.set()
    for refused in await asyncio.gather(*made_up, return_exceptions=True):
        assert isinstance(refused, Unauthorized | ServiceUnavailable)


async def test_a_new_key_is_found_and_made_up_ones_do_not_make_a_fetch_each(jwks: JwksServer, keys: KeySet) -> None:
    authenticator = _by_url(jwks)
    await authenticator.authenticate(signed(keys.ec, "ES256", "ec-1"))
    for n in range(50):
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(signed(keys.ec, "ES256", f"kid-{n}"))
    assert jwks.fetches <= 2


async def test_a_key_that_was_just_added_is_found(
    jwks: JwksServer, keys: KeySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("c2c.auth._FETCH_AT_MOST_EACH_S", 0.0)
    authenticator = _by_url(jwks)
    await authenticator.authenticate(signed(keys.ec, "ES256", "ec-1"))
    new = ec_pair("ec-2")
    jwks.keys = [keys.ec.jwk, new.jwk]
    assert (await authenticator.authenticate(signed(new, "ES256", "ec-2"))).profile.user_id == "kim"


def _by_url(jwks: JwksServer) -> Authenticator:
    return Authenticator(Settings(auth="jwt", jwt_algorithm="ES256", jwt_jwks=jwks.url))


# Settings that are refused


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    """`c2c serve` with these settings; it must end by itself."""
    environment = {"C2C_PORT": "0", **environment}
    command = [sys.executable, "-m", "c2c", "serve"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    "environment",
    [{"C2C_HOST": "0.0.0.0"}, {"C2C_AUTH": "jwt", "C2C_JWT_SECRET": "s3cret-of-24-characters!"}],
    ids=["dev for everybody", "short secret"],
)
def test_settings_that_would_let_anybody_in_are_refused_at_start_in_one_line(environment: dict[str, str]) -> None:
    ended = start(**environment)
    assert ended.returncode == 2
    lines = (ended.stdout + ended.stderr).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("c2c: ")
    assert "s3cret" not in lines[0]


def test_a_key_set_that_can_not_be_read_is_refused_at_start_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text('{"keys":[]}')
    for source in (tmp_path / "missing.json", tmp_path / "empty.json"):
        ended = start(
            C2C_AUTH="jwt", C2C_JWT_ALGORITHM="RS256", C2C_JWT_JWKS=str(source), C2C_REDIS_URL="redis://[::1]:1"
        )
        assert ended.returncode == 2
        assert len((ended.stdout + ended.stderr).splitlines()) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "192.0.2.1"},
        {"host": ""},
        {"host": "127.0.0.1.example.org"},
        {"host": "localhost.example.org"},
        {"host": "0.0.0.0", "auth": "dev", "jwt_secret": SECRET},
        {"auth": "jwt"},
        {"auth": "jwt", "jwt_secret": ""},
        {"auth": "jwt", "jwt_secret": "x" * 31},
        {"auth": "jwt", "jwt_secret": SECRET, "jwt_algorithm": "RS256"},
        {"auth": "jwt", "jwt_secret": SECRET, "jwt_algorithm": "none"},
        {"auth": "jwt", "jwt_secret": SECRET, "jwt_algorithm": "HS512"},
        {"auth": "nobody"},
    ],
    ids=str,
)
def test_settings_that_would_let_anybody_in_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_auth_mode_dev_may_listen_on_a_loopback_host(host: str) -> None:
    assert Settings(host=host).auth == "dev"


def test_secrets_do_not_show_in_the_settings() -> None:
    password = hashlib.sha1(b"redis").hexdigest()
    settings = Settings(auth="jwt", jwt_secret=SECRET, redis_url=f"redis://:{password}@127.0.0.1:6379")
    for shown in (repr(settings), str(settings), f"{settings!r}"):
        assert SECRET not in shown
        assert password not in shown


def test_a_refused_secret_does_not_show_in_the_refusal() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(auth="jwt", jwt_secret="s3cret")
    assert "s3cret" not in str(refused.value)


# Auth mode dev


async def test_in_dev_mode_a_token_is_a_user_id_and_everybody_an_admin(redis_of_module: RedisServer) -> None:
    with NodeProcess(redis_of_module.url) as node:
        assert (await sign_in(node, "홍길동"))["me"] == "홍길동"
        answer = await sign_in(node, token())  # longer than an id, and not looked into
        assert answer["code"] == "UNAUTHORIZED"
        assert node.request("GET", "/api/rooms")[0] == 200
        assert node.request("GET", "/api/rooms", headers=bearer_header("kim"))[0] == 200
        assert node.request("GET", "/api/rooms", headers=bearer_header("k/m"))[0] == 401
        assert node.request("GET", "/api/rooms", headers={"Authorization": "Basic a2lt"})[0] == 401
        await _hears(node)


async def _hears(node: NodeProcess) -> None:
    node.open_room("dev", "guest")
    async with talk(node.ws_url) as client:
        assert await _said_by_rest(node, client) == "guest"


async def _said_by_rest(node: NodeProcess, client: Talker) -> str:
    """Who a REST caller without a header is."""
    await client.join("dev", "kim")
    assert node.request("POST", "/api/rooms/dev/events", {"t": "msg", "text": "hi"})[0] == 200
    said = await client.wait_for("msg")
    return str(said["from"])


# Auth mode dev


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "10.0.0.1", "", "localhost.evil.example"])
async def test_in_dev_mode_a_page_that_points_its_name_to_this_machine_gets_nothing(
    redis_of_module: RedisServer, host: str
) -> None:
    with NodeProcess(redis_of_module.url) as node:
        for path in ("/", "/api/rooms", "/api/config"):
            status, answer = node.request("GET", path, headers={"Host": host})
            assert (status, answer["error"]["code"]) == (403, "FORBIDDEN")
        with pytest.raises(InvalidStatus) as refused:
            async with talk(node.ws_url, additional_headers={"Host": host, "Origin": f"http://{host}"}):
                pass
        assert refused.value.response.status_code == 403
        for own in ("localhost", f"localhost:{node.port}", "127.0.0.1", "[::1]:80"):
            assert node.request("GET", "/api/config", headers={"Host": own})[0] == 200
