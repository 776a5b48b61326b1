"""Runs checks: claims what is due, looks, judges, commits. Every node has one, and none of them leads.

A claim is a lease of the check's timeout and 3 s, with a fence. Whoever dies loses it, another node claims the check
under the slot that it had, and what the first one might still say is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from pydantic import ValidationError

from c2c.errors import C2CError, Conflict, EndpointNotFound, RoomExists, RoomNotFound, ServiceUnavailable
from c2c.keys import MONITOR
from c2c.metrics import Metrics
from c2c.monitoring.commits import edit_commit, host_of, result_commit
from c2c.monitoring.endpoints import Definition, State, load_state
from c2c.monitoring.incident_rooms import delete_incident_rooms, open_incident_room
from c2c.monitoring.judge import Circumstances, Judgement, judge
from c2c.monitoring.own_servers import Server
from c2c.monitoring.probe import Probe
from c2c.monitoring.results import Result
from c2c.monitoring.rules import Rules
from c2c.monitoring.self_watch import REPORT_S, Report, SelfWatch, built_in
from c2c.monitoring.suspicion import Suspicion
from c2c.monitors import Claim, Claims
from c2c.rooms.monitor import Monitor
from c2c.settings import Settings
from c2c.store import Store
from c2c.tasks import end_tasks

log = logging.getLogger("c2c.monitoring")

CHECKS_MAX: Final = 32
PER_HOST_MAX: Final = 2
BACKLOG_MAX: Final = 200
_TICK_S: Final = 0.25
# A node that doubts itself lets others go first.
_SUSPECT_TICK_S: Final = 2.0
_ATTEMPTS: Final = 8
_LAST_CHECKS_S: Final = 2.0
_OUT_OF_TURN_MAX: Final = 8
# Whoever claims a check so late finds that nobody was there when it was due: no node, or no Redis.
_AWAY_MS: Final = 15_000
_HANDS_OFF: Final = (Conflict, EndpointNotFound, RoomNotFound)


class Scheduler:
    """This node's share of all checks. `start` it, and end it with `aclose`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        rules: Rules,
        probe: Probe,
        metrics: Metrics,
        look: Callable[[], Report],
        heed: Callable[[Iterable[Server]], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._rules = rules
        self._probe = probe
        self._metrics = metrics
        self._watch = SelfWatch(settings.node_id, store.monitors, look, heed)
        self._suspicion = Suspicion()
        self._running: Counter[str] = Counter()
        self._checks: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._clock_offset_ms = 0.0
        self._waiting = 0
        self._out_of_turn = asyncio.Semaphore(_OUT_OF_TURN_MAX)

    @property
    def backlog(self) -> float:
        """How many checks are due and wait, as a share of what is too many."""
        return self._waiting / BACKLOG_MAX

    @property
    def suspect(self) -> bool:
        """Whether this node does not trust what it sees."""
        return self._suspicion.suspect

    async def start(self) -> None:
        """See that the room is there. While Redis is away, the first claim does it later."""
        with contextlib.suppress(C2CError):
            await self._open()
        if self._settings.monitor:
            self._tasks = [
                asyncio.create_task(self._run(), name="c2c-scheduler"),
                asyncio.create_task(self._report(), name="c2c-self-watch"),
            ]

    async def aclose(self) -> None:
        """Claim no more and let what is running end, for a moment; other nodes run the rest when its leases end."""
        await end_tasks(self._tasks)
        if self._checks:
            await asyncio.wait(self._checks, timeout=_LAST_CHECKS_S)
        await end_tasks(self._checks)
        if self._tasks:
            with contextlib.suppress(C2CError):
                await self._watch.leave()

    # Claiming

    async def _run(self) -> None:
        while True:
            pause_s = _SUSPECT_TICK_S if self.suspect else _TICK_S
            try:
                claims = await self._claim()
            except RoomNotFound:
                with contextlib.suppress(C2CError):
                    await self._open()
            except C2CError:
                pass
            except Exception:  # what one round trips over must not end all of them
                log.exception("checks could not be claimed")
            else:
                for claim in claims.checks:
                    self._begin(claim)
                if claims.wait_ms is not None and not self.suspect:
                    pause_s = min(pause_s, max(0.02, claims.wait_ms / 1000))
            await asyncio.sleep(pause_s)

    async def _claim(self) -> Claims:
        free = CHECKS_MAX - len(self._checks)
        hosts = list(self._running.elements())
        claims = await self._store.monitors.claim(self._settings.node_id, free, PER_HOST_MAX, hosts)
        self._clock_offset_ms, self._waiting = claims.now_ms - time.monotonic() * 1000, claims.waiting
        with contextlib.suppress(C2CError):  # then by the rules that are known: the checks are ours already
            await self._rules.refresh(claims.revision)
        return claims

    def _now_ms(self) -> int:
        """The Redis clock, as far as this node knows."""
        return round(time.monotonic() * 1000 + self._clock_offset_ms)

    def _begin(self, claim: Claim) -> None:
        try:
            definition, state = Definition.model_validate_json(claim.definition), load_state(claim.state)
        except ValidationError as wrong:  # of another version; what it says may hold secrets
            log.error("endpoint %s can't be read: %d errors", claim.endpoint_id, wrong.error_count())
            return
        host = host_of(definition)
        if host:
            self._running[host] += 1
        task = asyncio.create_task(self._check(claim, definition, state), name=f"c2c-check-{claim.endpoint_id}")
        self._checks.add(task)
        self._metrics.checks_running.set(len(self._checks))
        task.add_done_callback(lambda done: self._ended(done, host))

    def _ended(self, task: asyncio.Task[None], host: str) -> None:
        self._checks.discard(task)
        self._metrics.checks_running.set(len(self._checks))
        if host:
            self._running -= Counter([host])
        if not task.cancelled() and task.exception() is not None:
            log.error("a check failed", exc_info=task.exception())

    # Checking

    async def _check(self, claim: Claim, definition: Definition, state: State) -> None:
        late_ms = max(0, self._now_ms() - claim.slot_ms)
        self._metrics.check_delay.observe(late_ms / 1000)
        try:
            if definition.kind == "push" and late_ms > _AWAY_MS:
                await self._wait_anew(claim, definition, state)
                return
            result = await self._look_at(definition)
            await self._note(definition, state, result)
            await self._commit(definition, state, claim.fence, claim.slot_ms, result)
        except _HANDS_OFF:
            self._metrics.checks_refused.inc()
        except ServiceUnavailable:
            log.warning("the result of endpoint %s could not be written", claim.endpoint_id)

    async def _wait_anew(self, claim: Claim, definition: Definition, state: State) -> None:
        """Give a job its whole time again: what it said while nobody listened is not its fault."""
        due_ms = self._now_ms() + definition.interval_ms + definition.grace_ms
        await self._store.monitors.commit(edit_commit(definition, claim.fence, state, due_ms, ()))

    async def _look_at(self, definition: Definition) -> Result:
        if definition.kind == "push":
            return Result(ok=False, reason="missed", error=f"nothing came for {definition.interval:g} s")
        if definition.kind == "builtin":
            return await self._watch.check(definition.endpointId)
        return await self._probe.run(definition.target)

    async def _note(self, definition: Definition, state: State, result: Result) -> None:
        """Ask whether this node is the one that is cut off, and say so."""
        if definition.kind not in ("http", "tcp"):
            return
        was_up = state.status in ("UP", "DEGRADED") and not state.failures
        if self._suspicion.note(host_of(definition), result, was_up, time.monotonic()):
            fields = {
                "nodeId": self._settings.node_id,
                "suspect": self.suspect,
                "failing": self._suspicion.failing,
                "checked": self._suspicion.checked,
            }
            log.warning("checker suspect: %s (%s of %s hosts do not answer)", *list(fields.values())[1:])
            deliveries = self._rules.deliveries([("checker:suspect", fields)], self._now_ms())
            with contextlib.suppress(C2CError):  # the result itself still counts
                await self._watch.report()
                await self._store.notices.tell("checker:suspect", fields, deliveries)

    async def _commit(
        self, definition: Definition, state: State, fence: str, slot_ms: int, result: Result
    ) -> Judgement:
        now_ms = self._now_ms()
        seen = Circumstances(
            slot_ms=slot_ms,
            done_ms=now_ms,
            node_id=self._settings.node_id,
            incident_id=secrets.token_hex(5),
            maintenance=self._rules.in_maintenance(definition.endpointId, now_ms),
            suspect=self.suspect and definition.kind in ("http", "tcp"),
        )
        judged = judge(definition, state, result, seen)
        incident, is_new = judged.incident, False
        if incident is not None and incident.resolved_at is None:
            is_new = await open_incident_room(self._store, incident.incident_id, definition.name)
        deliveries = self._rules.deliveries(judged.events, now_ms)
        try:
            commit = result_commit(definition, fence, judged, slot_ms, deliveries)
            forgotten = await self._store.monitors.commit(commit)
        except _HANDS_OFF:
            if incident is not None and is_new:
                await delete_incident_rooms(self._store, [incident.incident_id])
            raise
        await delete_incident_rooms(self._store, forgotten)
        self._metrics.checks.labels(judged.outcome).inc()
        return judged

    # On request

    async def try_out(self, definition: Definition) -> Result:
        """Check what nobody has asked to keep. Eight of those that people ask for run at a time, the rest waits."""
        async with self._out_of_turn:
            return await self._probe.run(definition.target)

    async def check_now(self, endpoint_id: str) -> tuple[Result, Judgement | None]:
        """Check an endpoint out of turn and record it, unless it is paused. Raises EndpointNotFound, and Conflict when
        it was changed meanwhile."""
        stored = await self._store.monitors.read(endpoint_id)
        definition = Definition.model_validate_json(stored.definition)
        async with self._out_of_turn:
            result = await self._look_at(definition)
        return result, await self.record(endpoint_id, result, version=definition.version)

    async def record(self, endpoint_id: str, result: Result, version: int | None = None) -> Judgement | None:
        """Record a result that was not asked for by the schedule: a push, or a check out of turn. Of a paused endpoint
        nothing is recorded. `version`: of the definition that was checked. Raises as `check_now`."""
        await self._rules.read()
        for _ in range(_ATTEMPTS):
            stored = await self._store.monitors.read(endpoint_id)
            self._clock_offset_ms = stored.now_ms - time.monotonic() * 1000
            definition = Definition.model_validate_json(stored.definition)
            if version is not None and definition.version != version:
                break
            if definition.paused:
                return None
            with contextlib.suppress(Conflict):
                return await self._commit(definition, load_state(stored.state), stored.fence, stored.now_ms, result)
        raise Conflict(endpointId=endpoint_id)

    # c2c itself

    async def _report(self) -> None:
        while True:
            with contextlib.suppress(C2CError):
                await self._watch.report()
                await self._add_built_in()  # whoever opened the room again may not have known them
            await asyncio.sleep(REPORT_S)

    async def _open(self) -> None:
        """Open the room of all endpoints, with those that are built in."""
        with contextlib.suppress(RoomExists):
            await self._store.open_room(MONITOR, Monitor.name, "c2c", Monitor.retention, creator_joins=False)
        if self._settings.monitor:
            await self._add_built_in()

    async def _add_built_in(self) -> None:
        """See that the built-in endpoints are there. 2 round trips."""
        now_ms = await self._rules.read()
        state = State(since=now_ms)
        commits = [edit_commit(definition, None, state, now_ms, ()) for definition in built_in(now_ms)]
        for reply in [self._store.monitors.commit(commit) for commit in commits]:
            with contextlib.suppress(Conflict):
                await reply
