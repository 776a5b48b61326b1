"""What c2c says of itself, by what its nodes have reported."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic_core import to_json

from c2c.monitoring.own_servers import Listening, listening, servers_of
from c2c.monitoring.results import Result
from c2c.monitoring.self_watch import NAMES, Report, SelfWatch, built_in, suspects
from c2c.monitors import DELIVERIES_MAX
from c2c.scripts import lua_folder

NOW_MS = 1_800_000_000_000
HERE = Listening("m1", ("10.0.0.1",), 8080)
FINE = Report(lag_ms=2.0, queues={"Redis calls": 0.0, "checks that are due": 0.1}, listening=HERE)


class Nodes:
    """What stands in Redis of the nodes."""

    def __init__(self, reports: dict[str, tuple[int, Report]], pending: int = 0) -> None:
        self.reports = {name: b"%d " % (NOW_MS - ago_ms) + report.dump() for name, (ago_ms, report) in reports.items()}
        self.pending = pending

    async def report(self, node_id: str, report: bytes) -> tuple[int, dict[str, bytes]]:
        assert (node_id, report) == ("", b""), "whoever checks says nothing of itself"
        return NOW_MS, self.reports

    async def pending_deliveries(self) -> int:
        return self.pending


async def look(endpoint_id: str, pending: int = 0, **reports: tuple[int, Report]) -> Result:
    watch = SelfWatch("n1", Nodes(reports, pending), lambda: FINE, lambda servers: None)  # type: ignore[arg-type]
    return await watch.check(endpoint_id)


async def test_all_is_well() -> None:
    for endpoint_id in NAMES:
        assert (await look(endpoint_id, a=(1_000, FINE), b=(4_000, FINE))).ok


async def test_a_node_that_is_silent_for_more_than_twelve_seconds_is_missed_by_name() -> None:
    assert (await look("c2c-nodes", a=(0, FINE), b=(12_000, FINE))).ok
    missed = await look("c2c-nodes", a=(0, FINE), b=(12_001, FINE))
    assert (missed.ok, missed.reason, missed.error) == (False, "missed", "1 silent for up to 12 s: b")


async def test_the_relay_is_as_slow_as_the_slowest_node_that_lives() -> None:
    slow, slower, deaf = (Report(lag_ms, FINE.queues, HERE) for lag_ms in (900.0, 1_001.0, None))
    assert (await look("c2c-relay", a=(0, FINE), b=(0, slow))).response_ms == 900
    failed = await look("c2c-relay", a=(0, slower), b=(0, FINE))
    assert (failed.ok, failed.error) == (False, "events take 1001 ms to arrive")
    unheard = await look("c2c-relay", a=(0, deaf), b=(0, FINE))
    assert (unheard.ok, unheard.error) == (False, "hears nothing from Redis: a")
    assert (await look("c2c-relay", a=(60_000, deaf), b=(0, FINE))).ok, "that one is not alive"


@pytest.mark.parametrize("queue", FINE.queues)
async def test_a_queue_that_is_more_than_half_full_is_told_with_its_node(queue: str) -> None:
    half, more = (Report(2.0, {**FINE.queues, queue: share}, HERE) for share in (0.5, 0.51))
    assert (await look("c2c-queues", a=(0, FINE), b=(0, half))).ok
    failed = await look("c2c-queues", a=(0, FINE), b=(0, more))
    assert (failed.ok, failed.error) == (False, f"{queue} of node b: 51% of what there may be")


async def test_webhook_deliveries_are_a_queue_too_and_of_no_node() -> None:
    assert (await look("c2c-queues", pending=5_000, a=(0, FINE))).ok
    failed = await look("c2c-queues", pending=6_000, a=(0, FINE))
    assert failed.error == "webhook deliveries: 60% of what there may be"


def test_as_many_deliveries_may_be_as_the_script_lets_in() -> None:
    (told,) = re.findall(r"DELIVERIES_MAX\b.*= (\d+),", (lua_folder() / "include" / "delivery.lua").read_text())
    assert int(told) == DELIVERIES_MAX


def test_suspects_are_nodes_that_live_and_say_so() -> None:
    doubting = to_json({"lagMs": 1, "queues": {}, "suspect": True})
    reports = {
        "a": b"%d " % NOW_MS + doubting,
        "b": b"%d " % (NOW_MS - 60_000) + doubting,
        "c": b"%d " % NOW_MS + FINE.dump(),
    }
    assert suspects(reports, NOW_MS) == ["a"]


def test_the_slots_of_many_endpoints_are_spread_over_their_interval() -> None:
    base = built_in(0)[0].model_copy(update={"interval": 60.0})
    phases = [base.model_copy(update={"endpointId": f"e{number}"}).slot_phase_ms for number in range(1_000)]
    tenths = [sum(phase // 6_000 == tenth for phase in phases) for tenth in range(10)]
    assert min(tenths) > 60
    assert max(tenths) < 140


# Where nodes listen


def test_nodes_of_the_same_machine_are_denied_by_their_port_and_others_by_their_addresses() -> None:
    here, beside = Listening("m1", ("127.0.0.1",), 8080), Listening("m1", ("10.0.0.1",), 8081)
    far, behind_a_proxy = Listening("m2", ("10.0.0.2", "fd00::2"), 8080), Listening("m3", ("localhost",), 9090)
    reports: list[dict[str, Any]] = [{"listening": each.dump()} for each in (here, beside, far, behind_a_proxy)]
    reports.append({"lagMs": 1.0})  # of a node that is older than this
    assert servers_of(reports, "m1") == {
        (None, 8080), (None, 8081), ("10.0.0.1", 8081), ("10.0.0.2", 8080), ("fd00::2", 8080),
    }  # fmt: skip


def test_whoever_listens_on_all_addresses_says_by_which_others_reach_it() -> None:
    assert listening("10.1.2.3", 80).addresses == ("10.1.2.3",)
    for wildcard in ("", "0.0.0.0", "::"):
        assert not {"", "0.0.0.0", "::"} & set(listening(wildcard, 80).addresses)


async def test_whoever_reports_hears_where_all_listen() -> None:
    class Redis(Nodes):
        async def report(self, node_id: str, report: bytes) -> tuple[int, dict[str, bytes]]:
            self.reports[node_id] = b"%d " % NOW_MS + report
            return NOW_MS, self.reports

    other = Report(2.0, FINE.queues, Listening("m2", ("10.0.0.2",), 8080))
    heard: set[tuple[str | None, int]] = set()
    await SelfWatch("n1", Redis({"n2": (0, other)}), lambda: FINE, heard.update).report()  # type: ignore[arg-type]
    assert heard == {(None, 8080), ("10.0.0.1", 8080), ("10.0.0.2", 8080)}
