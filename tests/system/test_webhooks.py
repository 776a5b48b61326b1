"""Webhooks with real nodes and a real receiver: signed, at least once, retried, taken over, and only where checks may
go."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from itertools import pairwise
from typing import Any

import pytest

from c2c.auth import mint_token
from c2c.keys import Keys
from c2c.metrics import Metrics
from c2c.monitoring.deliverer import DELIVERIES_MAX, LEASE_MS, PER_WEBHOOK_MAX, Deliverer
from c2c.monitoring.guard import AddressGuard
from c2c.monitoring.probe import Probe
from c2c.monitoring.webhooks import Webhook, deliveries_for
from c2c.pipeline import Pipeline
from c2c.settings import Settings
from c2c.store import Store
from tests.conftest import StartNode
from tests.receiver import Received, Receiver, documented_verify
from tests.support import NodeProcess, Proxy, RedisServer, eventually, free_port, talk
from tests.targets import Target

PATH = "/api/webhooks"
SECRET = "a secret of at least thirty-two bytes"
LOCAL = {"check_allow_cidrs": "127.0.0.0/8", "webhook_retry_s": 0.2}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


@asynccontextmanager
async def store_on(server: RedisServer) -> AsyncIterator[Store]:
    """What a node asks of Redis by."""
    settings = Settings(redis_url=server.url)
    pipeline = Pipeline(settings, Metrics())
    await pipeline.start()
    try:
        yield Store(pipeline, Keys(), settings)
    finally:
        await pipeline.aclose()


async def tell(server: RedisServer, count: int = 1) -> list[str]:
    """Tell the room of something, as a node does, and each webhook that wants to hear of it; ids of the deliveries."""
    ids = []
    async with store_on(server) as store:
        for number in range(count):
            posted = await store.notices.read()
            fields = {"nodeId": "n1", "suspect": True, "failing": number, "checked": 20}
            deliveries = deliveries_for(posted.webhooks, {"t": "checker:suspect", **fields}, posted.now_ms)
            await store.notices.tell("checker:suspect", fields, deliveries)
            ids += [id_ for id_, _ in deliveries]
    return ids


def create(node: NodeProcess, url: str, *events: str) -> dict[str, Any]:
    status, answer = node.request("POST", PATH, {"url": url, "events": events or ["checker:suspect"]})
    assert status == 201, answer
    webhook: dict[str, Any] = answer["data"]
    return webhook


def webhooks_of(node: NodeProcess) -> list[dict[str, Any]]:
    status, answer = node.get(PATH)
    assert status == 200, answer
    webhooks: list[dict[str, Any]] = answer["data"]["webhooks"]
    return webhooks


async def until_none_pending(node: NodeProcess, within_s: float = 20) -> None:
    await eventually(lambda: all(each["pending"] == 0 for each in webhooks_of(node)), within_s, "nothing on its way")


# What is sent


async def test_an_incident_is_told_once_by_each_event_signed_so_that_the_documented_check_believes_it(
    start_node: StartNode, receiver: Receiver, target: Target
) -> None:
    nodes = [start_node(**LOCAL) for _ in range(2)]
    status, answer = nodes[0].request("POST", PATH, {"url": receiver.url("/hook?a=1&b=%20")})
    webhook = answer["data"]
    usual = ["incident:started", "incident:acknowledged", "incident:resolved", "checker:suspect"]
    assert (status, webhook["events"]) == (201, usual)
    target.status = 503
    quick = {"interval": 5, "timeout": 1, "retryInterval": 1, "failAfter": 1}
    status, answer = nodes[1].request("POST", "/api/endpoints", {"name": "쇼핑몰", "url": target.url(), **quick})
    endpoint_id = answer["data"]["endpointId"]
    await eventually(lambda: len(receiver.received) == 1, 20, "incident:started")
    incident_id = receiver.received[0].told["data"]["incidentId"]
    status, _ = nodes[0].request("POST", f"/api/incidents/{incident_id}/acknowledge", {"note": "on it"})
    assert status == 200
    await eventually(lambda: len(receiver.received) == 2, 20, "incident:acknowledged")
    target.status = 200
    await eventually(lambda: len(receiver.received) == 3, 20, "incident:resolved")
    await until_none_pending(nodes[0])

    verify = documented_verify()
    for received in receiver.received:
        assert received.path == "/hook?a=1&b=%20"
        assert received.headers["Content-Type"] == "application/json"
        assert received.headers["User-Agent"].startswith("c2c/")
        assert received.headers["C2C-Webhook-Id"] == received.told["webhookId"] == webhook["webhookId"]
        assert verify(webhook["secret"], received.headers, received.body)
        assert not verify("0" * 64, received.headers, received.body)
        assert not verify(webhook["secret"], received.headers, received.body.replace(b"incident", b"Incident"))
    told = [received.told for received in receiver.received]
    assert [each["event"] for each in told] == ["incident:started", "incident:acknowledged", "incident:resolved"]
    assert {each["data"]["incidentId"] for each in told} == {incident_id}
    assert [each["timestamp"] for each in told] == sorted(each["timestamp"] for each in told)
    assert (told[0]["data"]["endpointId"], told[0]["data"]["endpointName"]) == (endpoint_id, "쇼핑몰")
    assert told[0]["data"]["failureCount"] == 1
    assert told[1]["data"]["note"] == "on it"
    assert told[2]["data"]["duration"] > 0
    assert len(set(receiver.ids)) == 3
    (shown,) = webhooks_of(nodes[1])
    assert (shown["lastStatus"], shown["lastError"], shown["pending"], shown["disabled"]) == (204, "", 0, False)
    assert shown["lastAttemptAt"] >= told[2]["timestamp"]
    assert sum(node.metric("c2c_webhook_deliveries_total") for node in nodes) == 3


async def test_a_test_is_sent_at_once_and_answered_with_what_came_of_it(
    start_node: StartNode, receiver: Receiver
) -> None:
    node = start_node(**LOCAL)
    webhook = create(node, receiver.url())
    path = f"{PATH}/{webhook['webhookId']}/test"
    assert node.request("POST", path)[1]["data"] == {"ok": True, "status": 204, "error": ""}
    (received,) = receiver.received
    assert (received.told["event"], received.told["data"]) == ("webhook:test", {})
    assert documented_verify()(webhook["secret"], received.headers, received.body)
    receiver.answer = lambda received: (500, {})
    answer = node.request("POST", path)[1]["data"]
    assert (answer["ok"], answer["status"]) == (False, 500)
    assert "500" in answer["error"]
    assert (webhooks_of(node)[0]["pending"], len(receiver.received)) == (0, 2), "a test is not tried again"
    assert node.request("POST", f"{PATH}/unknown/test")[0] == 404


# Until it arrives


async def test_a_receiver_that_is_down_is_tried_ever_more_rarely_and_gets_it_once_when_it_is_up(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    nodes = [start_node(**LOCAL) for _ in range(2)]
    port = free_port()
    create(nodes[0], f"http://127.0.0.1:{port}/hook")
    (wanted,) = await tell(redis_server)
    down = await eventually(lambda: webhooks_of(nodes[0])[0]["lastAttemptAt"] and webhooks_of(nodes[0])[0], 20)
    assert (down["lastStatus"], down["pending"]) == (None, 1)
    assert "refused" in down["lastError"]
    receiver, failures = Receiver(port), 4
    receiver.answer = lambda received: (503 if len(receiver.received) <= failures else 200, {})
    with receiver:
        await until_none_pending(nodes[0], 60)
        assert receiver.ids == [wanted] * (failures + 1)
        assert {received.body for received in receiver.received} == {receiver.received[0].body}
        waits = [after.at_s - before.at_s for before, after in pairwise(receiver.received)]
        assert waits == sorted(waits), "ever longer"
        assert waits[-1] > 2 * waits[0]
        signatures = {received.headers["C2C-Webhook-Signature"] for received in receiver.received}
        assert len(signatures) > 1, "each attempt is signed by its own time"
        again = await tell(redis_server)
        await eventually(lambda: receiver.ids[failures + 1 :] == again, 20, "what comes later arrives")
    shown = webhooks_of(nodes[1])[0]
    assert (shown["lastStatus"], shown["lastError"]) == (200, "")


async def test_a_delivery_whose_node_is_killed_is_made_by_another(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    doomed = start_node(**LOCAL)
    webhook = create(doomed, receiver.url())
    hanging = threading.Event()

    def hang(received: Received) -> tuple[int, dict[str, str]]:
        if len(receiver.received) == 1:
            hanging.wait(30)
        return 200, {}

    receiver.answer = hang
    (wanted,) = await tell(redis_server)
    await eventually(lambda: len(receiver.received) == 1, 20, "the first attempt")
    other = start_node(**LOCAL)
    doomed.kill()
    killed_s = time.monotonic()
    await eventually(lambda: len(receiver.received) == 2, LEASE_MS / 1000 + 10, "the second attempt")
    took_s = receiver.received[1].at_s - receiver.received[0].at_s
    assert receiver.ids == [wanted] * 2
    assert documented_verify()(webhook["secret"], receiver.received[1].headers, receiver.received[1].body)
    assert LEASE_MS / 1000 - 1 <= took_s <= LEASE_MS / 1000 + 5, f"{took_s} s; killed at {killed_s}"
    await until_none_pending(other)
    hanging.set()
    assert len(receiver.received) == 2


async def test_an_attempt_of_which_nobody_could_write_what_came_is_made_again(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    """At least once: the receiver knows the second one by its id."""
    with Proxy(redis_server.port) as proxy:
        node = start_node(proxy.url, **LOCAL)
        create(node, receiver.url())
        arrived = threading.Event()

        def hang(received: Received) -> tuple[int, dict[str, str]]:
            arrived.wait(9)
            return 200, {}

        receiver.answer = hang
        (wanted,) = await tell(redis_server)
        await eventually(lambda: len(receiver.received) == 1, 20, "the first attempt")
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: "redis is away" in node.log, 20)
        arrived.set()
        await eventually(lambda: "could not be written" in node.log, 20)
        proxy.refusing = False
        await eventually(lambda: len(receiver.received) == 2, LEASE_MS / 1000 + 10, "the second attempt")
        await until_none_pending(node)
        assert receiver.ids == [wanted] * 2


async def test_a_node_that_checks_nothing_tells_webhooks_of_what_people_do_on_it(
    start_node: StartNode, receiver: Receiver, target: Target
) -> None:
    """Webhooks made elsewhere a moment ago count."""
    checking, other = start_node(**LOCAL), start_node(**LOCAL, monitor=False)
    target.status = 503
    quick = {"interval": 5, "timeout": 1, "retryInterval": 1, "failAfter": 1}
    status, answer = checking.request("POST", "/api/endpoints", {"name": "Shop", "url": target.url(), **quick})
    assert status == 201
    path = f"/api/endpoints/{answer['data']['endpointId']}"
    incident = await eventually(lambda: checking.get(path)[1]["data"]["incidentId"], 20, "an incident")
    create(checking, receiver.url(), "incident:acknowledged")
    assert other.request("POST", f"/api/incidents/{incident}/acknowledge", {})[0] == 200
    await eventually(lambda: len(receiver.received) == 1, 20, "incident:acknowledged")
    create(checking, receiver.url(), "incident:resolved")
    assert other.request("PATCH", path, {"paused": True})[0] == 200
    await eventually(lambda: len(receiver.received) == 2, 20, "incident:resolved")
    acknowledged, resolved = (received.told for received in receiver.received)
    assert (acknowledged["event"], resolved["event"]) == ("incident:acknowledged", "incident:resolved")
    started = checking.get(f"/api/incidents/{incident}")[1]["data"]["startedAt"]
    assert started < acknowledged["timestamp"] < resolved["timestamp"]


async def test_a_node_that_is_stopped_lets_what_it_sends_arrive(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    """Else each restart would send twice."""
    leaving, staying = start_node(**LOCAL), start_node(**LOCAL, monitor=False)
    create(leaving, receiver.url())
    stopped = threading.Event()

    def answer(received: Received) -> tuple[int, dict[str, str]]:
        stopped.wait(10)
        return 200, {}

    receiver.answer = answer
    await tell(redis_server)
    await eventually(lambda: len(receiver.received) == 1, 20, "the attempt")
    leaving.signal(signal.SIGTERM)
    await eventually(lambda: "1 deliveries are being sent" in leaving.log, 20, "it stops")
    stopped.set()
    assert await asyncio.to_thread(leaving.wait) == 0
    shown = webhooks_of(staying)[0]
    assert (shown["pending"], shown["lastStatus"]) == (0, 200)


async def test_many_deliveries_go_to_several_receivers_by_several_nodes_each_once_and_few_at_a_time(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    nodes = [start_node(**LOCAL) for _ in range(2)]
    hooks, events = 6, 10
    for number in range(hooks):
        create(nodes[0], receiver.url(f"/{number}"))

    gate = threading.Event()

    def answer(received: Received) -> tuple[int, dict[str, str]]:
        gate.wait(9)
        return 200, {}

    receiver.answer = answer
    wanted = await tell(redis_server, events)
    assert len(wanted) == hooks * events
    await eventually(lambda: receiver.at_a_time[""] == 2 * DELIVERIES_MAX, 8, "both nodes send as many as they may")
    gate.set()
    await until_none_pending(nodes[0], 30)
    assert sorted(receiver.ids) == sorted(wanted)
    most = dict(receiver.most_at_a_time)
    assert most.pop("") == 2 * DELIVERIES_MAX
    assert max(most.values()) <= 2 * PER_WEBHOOK_MAX
    sent = [node.metric("c2c_webhook_deliveries_total") for node in nodes]
    assert min(sent) >= DELIVERIES_MAX, "both nodes deliver"
    assert sum(sent) == len(wanted)


async def test_one_node_sends_no_more_at_a_time_than_it_may(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    node = start_node(**LOCAL)
    for number in range(6):
        create(node, receiver.url(f"/{number}"))
    gate = threading.Event()

    def answer(received: Received) -> tuple[int, dict[str, str]]:
        gate.wait(9)
        return 200, {}

    receiver.answer = answer
    wanted = await tell(redis_server, 4)
    await eventually(lambda: receiver.at_a_time[""] == DELIVERIES_MAX, 20, "as many as it may")
    assert node.request("POST", "/api/rooms", {})[0] == 201, "and the node lives on meanwhile"
    gate.set()
    await until_none_pending(node, 30)
    assert receiver.most_at_a_time[""] == DELIVERIES_MAX
    assert max(count for path, count in receiver.most_at_a_time.items() if path) == PER_WEBHOOK_MAX
    assert sorted(receiver.ids) == sorted(wanted)


async def test_a_receiver_that_hangs_holds_nobody_else_up(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    node = start_node(**LOCAL)
    gate = threading.Event()

    def answer(received: Received) -> tuple[int, dict[str, str]]:
        if received.path == "/hangs":
            gate.wait(9)
        return 200, {}

    receiver.answer = answer
    create(node, receiver.url("/hangs"))
    await tell(redis_server, 5)
    create(node, receiver.url("/swift"))
    await eventually(lambda: receiver.at_a_time["/hangs"] == PER_WEBHOOK_MAX, 20, "hanging")
    await tell(redis_server, 5)
    await eventually(lambda: len(receiver.at("/swift")) == 5, 8, "not held up")
    assert receiver.at_a_time["/hangs"] == PER_WEBHOOK_MAX
    gate.set()
    await until_none_pending(node, 30)


async def test_gone_ends_it_for_good(start_node: StartNode, redis_server: RedisServer, receiver: Receiver) -> None:
    node = start_node(**LOCAL)
    webhook = create(node, receiver.url())
    receiver.answer = lambda received: (410, {})
    await tell(redis_server, 5)
    shown = await eventually(lambda: webhooks_of(node)[0]["disabled"] and webhooks_of(node)[0], 20, "disabled")
    assert (shown["lastStatus"], shown["pending"]) == (410, 0)
    assert len(receiver.received) <= PER_WEBHOOK_MAX
    assert await tell(redis_server) == []
    assert node.request("POST", f"{PATH}/{webhook['webhookId']}/test")[1]["data"]["status"] == 410
    assert node.request("DELETE", f"{PATH}/{webhook['webhookId']}")[0] == 200
    assert webhooks_of(node) == []


async def test_a_deleted_webhook_is_sent_nothing_more(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    node = start_node(check_allow_cidrs="127.0.0.0/8", webhook_retry_s=3)
    receiver.answer = lambda received: (503, {})
    doomed = create(node, receiver.url("/doomed"))["webhookId"]
    create(node, receiver.url("/kept"))
    await tell(redis_server)
    await eventually(lambda: {each.path for each in receiver.received} == {"/doomed", "/kept"}, 20, "first attempts")
    status, answer = node.request("DELETE", f"{PATH}/{doomed}")
    assert (status, answer["data"]) == (200, {"webhookId": doomed})
    assert node.request("DELETE", f"{PATH}/{doomed}")[0] == 404
    asked = len(receiver.at("/doomed"))
    receiver.answer = lambda received: (200, {})
    await until_none_pending(node, 30)
    assert len(receiver.at("/doomed")) == asked


# Where it may go


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/", "http://[::1]/", "http://2130706433/", "http://[::ffff:7f00:1]/", "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/", "http://user:pass@example.org/", "ftp://example.org/",
        "file:///etc/passwd", "tcp://example.org:80", "example.org", "http:///x", "http://example.org:0/",
    ],
)  # fmt: skip
def test_a_url_where_checks_may_not_go_is_refused(refusing_node: NodeProcess, url: str) -> None:
    status, answer = refusing_node.request("POST", PATH, {"url": url})
    assert (status, answer["error"]["code"], answer["error"]["details"]["field"]) == (422, "BAD_VALUE", "url")
    assert webhooks_of(refusing_node) == []


@pytest.fixture(scope="module")
def refusing_node() -> Iterator[NodeProcess]:
    """A node without an allow-list."""
    with RedisServer() as server, NodeProcess(server.url, monitor=False) as node:
        yield node


def test_c2c_itself_and_its_redis_are_refused_with_any_allow_list(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node(**LOCAL, monitor=False)
    for port in (node.port, redis_server.port):
        status, answer = node.request("POST", PATH, {"url": f"http://127.0.0.1:{port}/"})
        assert (status, answer["error"]["code"]) == (422, "BAD_VALUE")


async def test_a_name_that_leads_to_a_private_address_is_refused_when_it_is_sent(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    node = start_node(webhook_retry_s=0.2)
    port = receiver.url().rpartition(":")[2]
    create(node, f"http://localhost:{port}")
    await tell(redis_server)
    shown = await eventually(lambda: webhooks_of(node)[0]["lastAttemptAt"] and webhooks_of(node)[0], 20, "an attempt")
    assert (shown["lastStatus"], shown["pending"]) == (None, 1)
    assert "not public" in shown["lastError"]
    assert receiver.received == []


async def test_a_name_that_changes_its_address_is_judged_at_each_attempt(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    """A name server that says something harmless first, and later where nobody may go."""
    start_node(monitor=False)  # opens the room, delivers nothing
    addresses: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    probe = Probe(AddressGuard(allow=[ip_network("127.0.0.1/32")], resolver=resolve))
    url = receiver.url().replace("127.0.0.1", "hook.example")
    async with store_on(redis_server) as store:
        await store.notices.add_webhook(Webhook("ab12", url, "s" * 64, ("checker:suspect",), "2026-01-01", "kim"))
        settings = Settings(redis_url=redis_server.url, webhook_retry_s=0.1)
        deliverer = Deliverer(settings, store.notices, probe, Metrics())
        deliverer.start()

        async def last_error() -> str | None:
            (report,) = (await store.notices.webhooks())[1]
            return None if report.outcome is None else str(report.outcome["lastError"])

        async def is_refused() -> bool:
            return "not public" in (await last_error() or "")

        try:
            for number, elsewhere in enumerate((["127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["10.0.0.1"]), start=1):
                addresses[:] = ["127.0.0.1"]
                await tell(redis_server)
                await eventually(lambda number=number: len(receiver.received) == number, 20, "delivered")
                assert receiver.received[-1].headers["Host"] == url.split("/")[2]
                addresses[:] = elsewhere
                await tell(redis_server)
                await eventually(is_refused, 20, "refused")
                assert len(receiver.received) == number
                await store.notices.delete_webhook("ab12")
                again = Webhook("ab12", url, "s" * 64, ("checker:suspect",), "2026-01-01", "kim")
                await store.notices.add_webhook(again)
        finally:
            await deliverer.aclose()
            await probe.aclose()


async def test_a_redirect_is_not_followed(start_node: StartNode, redis_server: RedisServer, receiver: Receiver) -> None:
    node = start_node(**LOCAL)
    create(node, receiver.url())
    elsewhere = {"Location": receiver.url("/elsewhere")}
    answers = iter((301, 302, 303, 307, 308))
    receiver.answer = lambda received: (next(answers, 200), elsewhere)
    (wanted,) = await tell(redis_server)
    shown = await eventually(lambda: webhooks_of(node)[0]["lastStatus"] and webhooks_of(node)[0], 20, "an attempt")
    assert shown["lastStatus"] in (301, 302, 303, 307, 308)
    await until_none_pending(node, 60)
    assert receiver.ids == [wanted] * 6
    assert {received.path for received in receiver.received} == {"/hook"}


# Who may know what


def test_webhooks_are_for_admins(start_node: StartNode) -> None:
    node = start_node(monitor=False, auth="jwt", jwt_secret=SECRET)

    def ask(method: str, path: str, headers: dict[str, str], body: object = None) -> tuple[int, str | None]:
        status, answer = node.request(method, path, body, headers)
        return status, answer["error"] and answer["error"]["code"]

    def token(role: str = "", rooms: list[str] | None = None) -> dict[str, str]:
        admin, viewer = role == "admin", role == "viewer"
        minted = mint_token(SECRET, "kim", name=None, ttl_s=600, rooms=rooms, admin=admin, viewer=viewer)
        return {"Authorization": f"Bearer {minted}"}

    url = {"url": "https://example.org/hook"}
    status, answer = node.request("POST", PATH, url, token("admin"))
    assert status == 201
    one = f"{PATH}/{answer['data']['webhookId']}"
    calls = (("GET", PATH, None), ("POST", PATH, url), ("POST", one + "/test", None), ("DELETE", one, None))
    for method, path, body in calls:
        assert ask(method, path, {}, body) == (401, "UNAUTHORIZED")
        assert ask(method, path, token(), body) == (403, "FORBIDDEN")
        assert ask(method, path, token("viewer"), body) == (403, "FORBIDDEN")
        assert ask(method, path, token("admin", ["tea"]), body) == (404, "ROOM_NOT_FOUND")
    assert ask("GET", PATH, token("admin", ["all-endpoints"])) == (200, None)
    assert ask("DELETE", one, token("admin")) == (200, None)


def test_what_is_no_webhook_is_refused_and_there_are_twenty_at_most(start_node: StartNode) -> None:
    node = start_node(monitor=False)
    url = "https://example.org/hook"
    for fields, wrong in (
        ({}, "url"),
        ({"url": 1}, "url"),
        ({"url": url, "events": []}, "events"),
        ({"url": url, "events": ["check:completed"]}, "events.0"),
        ({"url": url, "secret": "mine"}, "secret"),
    ):
        status, answer = node.request("POST", PATH, fields)
        assert (status, answer["error"]["code"], answer["error"]["details"]["field"]) == (422, "BAD_VALUE", wrong)
    secrets = {create(node, url)["secret"] for _ in range(20)}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {64}
    status, answer = node.request("POST", PATH, {"url": url})
    assert (status, answer["error"]["code"]) == (422, "BAD_VALUE")
    assert len(webhooks_of(node)) == 20


async def test_a_secret_is_shown_once_and_never_again_to_anybody(
    start_node: StartNode, redis_server: RedisServer, receiver: Receiver
) -> None:
    node = start_node(**LOCAL, log_level="debug")
    hidden = "t0ken-in-the-path"
    async with talk(node.ws_url) as kim:
        await kim.join("all-endpoints", "kim")
        webhook = create(node, receiver.url(f"/{hidden}?key={hidden}"))
        secret = webhook["secret"]
        receiver.answer = lambda received: (503 if len(receiver.received) < 3 else 200, {})
        await tell(redis_server)
        assert node.request("POST", f"{PATH}/{webhook['webhookId']}/test")[1]["success"]
        await until_none_pending(node)
        await kim.wait_for("checker:suspect")
        stopped = free_port()
        broken = create(node, f"http://127.0.0.1:{stopped}/{hidden}")
        await tell(redis_server)
        await eventually(lambda: webhooks_of(node)[1]["lastError"], 20, "a failure")
        paths = ("/api/rooms/all-endpoints/events", "/api/endpoints", "/api/maintenance", PATH)
        seen = json.dumps([kim.frames, *[node.get(path)[1] for path in paths]])
        assert {each["secret"] for each in webhooks_of(node)} == {"•••"}
    assert "again in" in node.log, "failures are logged"
    for text in (secret, broken["secret"]):
        assert text not in seen
        assert text not in node.log
        assert all(text.encode() not in received.body for received in receiver.received)
    assert hidden not in node.log
    assert hidden not in json.dumps([kim.frames, node.get("/api/rooms/all-endpoints/events")[1]])
    assert secret in redis_server.client.hget("room:all-endpoints:webhooks", webhook["webhookId"])
