"""Promises 1–6 with real nodes, a real Redis and real signals."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

from tests.conftest import StartNode
from tests.support import Proxy, RedisServer, Talker, contiguous, eventually, talk


async def _send_many(talker: Talker, room_id: str, count: int, prefix: str, in_flight: int = 50) -> None:
    """Send messages with ids, a window at a time."""
    for start in range(0, count, in_flight):
        ids = [f"{prefix}{n}" for n in range(start, min(start + in_flight, count))]
        for command_id in ids:
            await talker.send({"t": "msg", "roomId": room_id, "id": command_id, "text": command_id})
        await talker.answer(ids[-1])


async def test_two_nodes_and_four_senders_give_every_client_the_same_contiguous_list(start_node: StartNode) -> None:
    first, second = start_node(), start_node()
    first.open_room("big")
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(talk(node.ws_url)) for node in (first, first, second, second)]
        for number, client in enumerate(clients):
            await client.join("big", f"user{number}")
        await asyncio.gather(*[_send_many(c, "big", 1250, f"s{n}-") for n, c in enumerate(clients)])
        await eventually(lambda: all(len(c.of("msg")) == 5000 for c in clients), 30)

    orders = [[(e["seq"], e["text"]) for e in client.events("msg")] for client in clients]
    assert all(order == orders[0] for order in orders)
    assert all(contiguous(client.seqs) for client in clients)


async def test_what_is_published_by_hand_arrives_as_it_is(start_node: StartNode, redis_server: RedisServer) -> None:
    node = start_node()
    node.open_room("abc12345")
    async with talk(node.ws_url) as client:
        await client.join("abc12345", "kim")
        for payload in ('{"t":"test","message":"hello"}', "not JSON", '{"t":"x","seq":7}', "[1]", '{"t":"x","n":NaN}'):
            redis_server.client.publish("chan:abc12345", payload)
        redis_server.client.publish("chan:abc12345", '{"t":"last"}')
        await client.wait_for("last")
        assert [f for f in client.frames if f["t"] in ("test", "x")] == [{"t": "test", "message": "hello"}]
    assert node.metric("c2c_dropped_payloads_total") == 4


async def test_a_retry_after_a_lost_reply_gets_the_same_seq_and_makes_no_second_event(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    with Proxy(redis_server.port) as proxy:
        node = start_node(proxy.url, redis_timeout_s=1)
        node.open_room("lossy")
        async with talk(node.ws_url) as client:
            await client.join("lossy", "kim")
            swallowed: list[bytes] = []

            def swallow(chunk: bytes) -> bool:
                # The reply of the append: `OK`, the epoch, the seq; pub/sub messages pass.
                if b"$2\r\nOK\r\n" in chunk and b"message" not in chunk and not swallowed:
                    swallowed.append(chunk)
                    return True
                return False

            proxy.swallow_replies = swallow
            first = await client.ask("msg", roomId="lossy", text="once", id="same")
            assert swallowed
            assert first["code"] == "SERVICE_UNAVAILABLE"
            assert first["retryable"] is True
            await eventually(lambda: node.get("/readyz")[0] == 200)
            client.frames = [f for f in client.frames if f.get("id") != "same"]
            second = await client.ask("msg", roomId="lossy", text="once", id="same")
            event = await client.wait_for("msg")
            assert (second["t"], second["seq"]) == ("ack", event["seq"])
        log = redis_server.client.xrange("room:lossy:log")
        assert [json.loads(entry[1]["e"])["t"] for entry in log].count("msg") == 1


async def test_resume_gives_what_was_missed_then_live(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r")
    async with talk(node.ws_url) as sender:
        await sender.join("r", "lee")
        async with talk(node.ws_url) as client:
            joined = await client.join("r", "kim")
        since = {"epoch": joined["epoch"], "seq": joined["seq"]}
        await _send_many(sender, "r", 120, "m")
        async with talk(node.ws_url) as back:
            again = await back.join("r", "kim", since=since)
            assert again["recovered"] is True
            assert "state" not in again
            await sender.ask("msg", roomId="r", text="live")
            await eventually(lambda: [e for e in back.events("msg") if e["text"] == "live"])
            assert back.seqs[0] == since["seq"] + 1
            assert contiguous(back.seqs)
            assert len(back.of("msg")) == 121


async def test_resume_that_cannot_be_had_says_why_and_sends_the_state(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r")
    async with talk(node.ws_url) as client:
        joined = await client.join("r", "kim")
        for n in range(3):
            await client.ask("msg", roomId="r", text=str(n))
        epoch, seq = joined["epoch"], joined["seq"]
        other_epoch = await client.join("r", "kim", since={"epoch": "feedfeedfeed", "seq": 1})
        ahead = await client.join("r", "kim", since={"epoch": epoch, "seq": seq + 1000})
        redis_server.client.xtrim("room:r:log", maxlen=1, approximate=False)
        trimmed = await client.join("r", "kim", since={"epoch": epoch, "seq": seq})
        reasons = [(answer["recovered"], answer["reason"]) for answer in (other_epoch, ahead, trimmed)]
        assert reasons == [(False, "epoch"), (False, "ahead"), (False, "trimmed")]
        assert [m["text"] for m in other_epoch["state"]["messages"]] == ["0", "1", "2"]


async def test_killed_pubsub_connections_lose_nothing(start_node: StartNode, redis_server: RedisServer) -> None:
    node = start_node(renew_interval_s=60, lease_s=120)  # no watchdog comes to help: this is the replay's work
    node.open_room("r")
    async with talk(node.ws_url) as client:
        await client.join("r", "kim")
        for round_ in range(5):
            await client.ask("msg", roomId="r", text=f"before {round_}")
            redis_server.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            for n in range(20):
                await client.ask("msg", roomId="r", text=f"{round_}-{n}")
        await eventually(lambda: len(client.of("msg")) == 105, 5)
        assert contiguous(client.seqs)


async def test_a_proxy_that_swallows_pubsub_is_noticed_and_repaired_within_five_seconds(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    with Proxy(redis_server.port) as proxy:
        node = start_node(proxy.url)
        node.open_room("r")
        async with talk(node.ws_url) as client:
            await client.join("r", "kim")
            await client.ask("msg", roomId="r", text="seen")
            await client.wait_for("msg")
            proxy.swallow_replies = lambda chunk: b"chan:" in chunk or b"node:" in chunk
            acks = [await client.ask("msg", roomId="r", text=f"lost {n}") for n in range(10)]
            assert all(ack["t"] == "ack" for ack in acks)
            await eventually(lambda: len(client.of("msg")) == 11, 5)
            assert contiguous(client.seqs)
            assert node.metric("c2c_gaps_repaired_total") >= 1


async def test_one_swallowed_message_is_repaired_by_the_next(start_node: StartNode, redis_server: RedisServer) -> None:
    with Proxy(redis_server.port) as proxy:
        node = start_node(proxy.url)
        node.open_room("r")
        async with talk(node.ws_url) as client:
            await client.join("r", "kim")
            proxy.swallow_replies = lambda chunk: b"drop me" in chunk
            await client.ask("msg", roomId="r", text="drop me")
            proxy.swallow_replies = lambda chunk: False
            await client.ask("msg", roomId="r", text="and go on")
            await eventually(lambda: len(client.of("msg")) == 2, 2)
            assert contiguous(client.seqs)


async def test_flushall_brings_everybody_a_new_epoch_and_state_and_no_mix(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    first, second = start_node(), start_node()
    first.open_room("r")
    async with talk(first.ws_url) as a, talk(second.ws_url) as b:
        old = await a.join("r", "kim")
        await b.join("r", "lee")
        await a.ask("msg", roomId="r", text="old")
        await b.wait_for("msg")
        redis_server.client.flushall()
        for client in (a, b):
            fresh = await client.wait_for("joined", 2, within_s=10)
            assert fresh["recovered"] is False
            assert fresh["reason"] == "epoch"
            assert fresh["epoch"] != old["epoch"]
            assert fresh["state"]["messages"] == []
        await eventually(lambda: set(redis_server.client.smembers("room:r:members")) == {"kim", "lee"})
        await a.ask("msg", roomId="r", text="new")
        for client in (a, b):
            await eventually(lambda client=client: [e for e in client.events("msg") if e["text"] == "new"])
            position = client.of("joined")[-1]
            after = client.frames[client.frames.index(position) :]
            seqs = [f["seq"] for f in after if "timestamp" in f]
            assert contiguous([position["seq"], *seqs])
            assert {f["epoch"] for f in after if "timestamp" in f} == {position["epoch"]}


async def test_a_redis_that_restarts_without_data_heals_without_a_restart_of_nodes(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r")
    async with talk(node.ws_url) as client:
        await client.join("r", "kim")
        await client.ask("msg", roomId="r", text="old")
        redis_server.kill()
        await eventually(lambda: node.get("/readyz")[0] == 503)
        refused = await client.ask("msg", roomId="r", text="while away", within_s=2)
        assert refused["code"] == "SERVICE_UNAVAILABLE"
        status, answer = node.get("/api/rooms/r")
        assert (status, answer["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert (await client.ask("ping"))["t"] == "pong"
        redis_server.start()
        fresh = await client.wait_for("joined", 2, within_s=15)
        assert (fresh["recovered"], fresh["reason"]) == (False, "epoch")
        assert (await client.ask("msg", roomId="r", text="after"))["t"] == "ack"
        await eventually(lambda: node.get("/readyz")[0] == 200)


async def test_a_redis_that_restarts_from_an_older_copy_gives_a_new_epoch(start_node: StartNode) -> None:
    with RedisServer(append_only=True) as server:
        server.client.config_set("appendfsync", "always")
        node = start_node(server.url)
        node.open_room("r")
        async with talk(node.ws_url) as client:
            old = await client.join("r", "kim")
            await client.ask("msg", roomId="r", text="kept")
            server.client.config_set("appendonly", "no")
            await client.ask("msg", roomId="r", text="forgotten by the copy")
            await client.wait_for("msg", 2)
            server.kill()
            server.start()
            fresh = await client.wait_for("joined", 2, within_s=15)
            assert fresh["recovered"] is False
            assert fresh["epoch"] != old["epoch"]
            assert [m["text"] for m in fresh["state"]["messages"]] == ["kept"]
            await client.ask("msg", roomId="r", text="new")
            event = await client.wait_for("msg", 3)
            assert event["epoch"] == fresh["epoch"]


async def test_another_event_that_took_a_seq_after_a_restart_is_noticed(start_node: StartNode) -> None:
    with RedisServer(append_only=True) as server, Proxy(server.port) as proxy:
        server.client.config_set("appendfsync", "always")
        node, other = start_node(proxy.url), start_node(server.url)
        node.open_room("r")
        async with talk(node.ws_url) as client:
            old = await client.join("r", "kim")
            await client.ask("msg", roomId="r", text="kept")
            server.client.config_set("appendonly", "no")
            await client.ask("msg", roomId="r", text="forgotten by the copy")
            await client.wait_for("msg", 2)
            proxy.refusing = True
            proxy.cut()
            server.kill()
            server.start()
            # While this node is cut off, somebody else's words take the forgotten seq, and one more.
            for text in ("in its place", "and one more"):
                words = {"t": "msg", "text": text, "id": text}
                await eventually(lambda words=words: other.request("POST", "/api/rooms/r/events", words)[0] == 200)
            proxy.refusing = False
            fresh = await client.wait_for("joined", 2, within_s=15)
            assert (fresh["recovered"], fresh["epoch"] != old["epoch"]) == (False, True)
            assert [m["text"] for m in fresh["state"]["messages"]] == ["kept", "in its place", "and one more"]
