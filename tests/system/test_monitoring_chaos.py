"""Nodes die at random while 200 endpoints are checked: every slot has one result, none is late, and incidents open and
end exactly once. `C2C_CHAOS_S` says for how long, 300 for five minutes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.conftest import StartNode
from tests.support import NodeProcess, RedisServer, eventually
from tests.targets import Target

CHAOS_S = float(os.environ.get("C2C_CHAOS_S", "45"))
ENDPOINTS, BROKEN = 200, 40
INTERVAL_S, TIMEOUT_S = 5, 1
LATE_MAX_S = TIMEOUT_S + 5


class Ear:
    """Hears what Redis publishes to `all-endpoints`, whichever node says it."""

    def __init__(self, server: RedisServer) -> None:
        self.events: list[dict[str, Any]] = []
        self._pubsub = server.client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe("chan:all-endpoints")

    async def listen(self) -> None:
        while True:
            message = await asyncio.to_thread(self._pubsub.get_message, timeout=0.5)
            if message is not None:
                self.events.append(json.loads(message["data"]))

    def of(self, t: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["t"] == t]


def ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


async def kill_at_random(nodes: list[NodeProcess], seconds: float) -> int:
    """One node at a time, by SIGKILL; two are always there. How often."""
    rng, deaths, until = random.Random(6), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(rng.uniform(0.5, 4))
        node = rng.choice(nodes)
        node.kill()
        deaths += 1
        await asyncio.sleep(rng.uniform(0, 3))
        await asyncio.to_thread(node.start)
    return deaths


@pytest.mark.timeout(CHAOS_S + 150)
async def test_each_slot_has_one_result_and_incidents_open_and_end_once_while_nodes_die(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    nodes = [start_node(check_allow_cidrs="127.0.0.0/8", node_id=f"n{number}") for number in range(3)]
    ear = Ear(redis_server)
    listening = asyncio.create_task(ear.listen())
    with Target() as target:
        ids = await asyncio.to_thread(create_all, nodes[0], target)
        broken = set(ids[:BROKEN])
        await eventually(lambda: len({e["endpointId"] for e in ear.of("check:completed")} & set(ids)) == ENDPOINTS, 30)
        dying = asyncio.create_task(kill_at_random(nodes, CHAOS_S))
        await asyncio.sleep(CHAOS_S / 6)
        for number in range(BROKEN):
            target.statuses[f"/{number}"] = 503
        await asyncio.sleep(CHAOS_S / 2)
        target.statuses.clear()
        deaths = await dying
        await eventually(lambda: len(ear.of("incident:resolved")) >= BROKEN, 30, "all have recovered")
        refused = sum(node.metric("c2c_checks_refused_total") for node in nodes)
        for node in nodes:
            node.signal(signal.SIGTERM)
            node.wait()
    redis_server.client.publish("chan:all-endpoints", '{"t": "over"}')
    await eventually(lambda: ear.of("over"), 10, "all events were heard")
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)

    for t in ("incident:started", "incident:resolved"):
        told = [event["endpointId"] for event in ear.of(t) if event["endpointId"] in set(ids)]
        assert sorted(told) == sorted(broken), f"{t} exactly once each"
    for side in ("previousStatus", "currentStatus"):  # a busy machine may find some slow in between
        told = [e["endpointId"] for e in ear.of("endpoint:status-changed") if e[side] == "DOWN"]
        assert sorted(id_ for id_ in told if id_ in set(ids)) == sorted(broken), f"{side} DOWN exactly once each"

    checks: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in ear.of("check:completed"):
        checks[event["endpointId"]].append(event)
    slots = slots_of(redis_server, ids)
    late, gaps, count = 0.0, 0.0, 0
    for endpoint_id in ids:
        told = [ms(event["slot"]) for event in checks[endpoint_id]]
        assert told == slots[endpoint_id], "each result is told once and kept once"
        assert len(set(told)) == len(told), "one result for each slot"
        count += len(told)
        late = max([late, *[(ms(e["checkedAt"]) - ms(e["slot"])) / 1000 for e in checks[endpoint_id]]])
        done = [ms(event["checkedAt"]) for event in checks[endpoint_id]]
        gaps = max([gaps, *[(after - before) / 1000 for before, after in pairwise(done)]])
        for former, event in pairwise(checks[endpoint_id]):
            # A failure is looked at again an interval after it was seen, an answer in the next slot of the grid.
            since_ms = ms(former["slot" if former["status"] in ("UP", "DEGRADED") else "checkedAt"])
            assert ms(event["slot"]) - since_ms <= INTERVAL_S * 1000, f"no slot was left out: {former}, {event}"
    nodes_seen = {event["nodeId"] for event in ear.of("check:completed")}
    assert nodes_seen == {"n0", "n1", "n2"}
    assert late <= LATE_MAX_S
    assert gaps <= INTERVAL_S + LATE_MAX_S
    assert deaths >= CHAOS_S / 12
    print(
        f"{CHAOS_S:.0f} s, {deaths} deaths: {count} results, {ENDPOINTS} endpoints, latest {late:.2f} s behind its "
        f"slot, longest gap {gaps:.2f} s, {len(broken)} incidents, {refused:.0f} results refused"
    )


def create_all(node: NodeProcess, target: Target) -> list[str]:
    fields = {"interval": INTERVAL_S, "timeout": TIMEOUT_S, "retryInterval": INTERVAL_S, "degradedMs": 900}
    ids = []
    for number in range(ENDPOINTS):
        # Of many hosts, as of one no more than two at a time are checked.
        url = target.url(f"/{number}").replace("127.0.0.1", f"127.0.0.{number % 100 + 1}")
        status, answer = node.request("POST", "/api/endpoints", {"name": f"e{number}", "url": url, **fields})
        assert status == 201, answer
        ids.append(answer["data"]["endpointId"])
    return ids


def slots_of(server: RedisServer, ids: list[str]) -> dict[str, list[int]]:
    """The slots that have a result in Redis."""
    pipeline = server.client.pipeline()
    for endpoint_id in ids:
        pipeline.xrange(f"room:endpoint:{endpoint_id}:results")
    return {
        endpoint_id: [int(id_.partition("-")[0]) for id_, _ in entries]
        for endpoint_id, entries in zip(ids, pipeline.execute(), strict=True)
    }
