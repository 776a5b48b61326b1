"""Imports point down only. The table here is drawn in docs/architecture.md, and a module that is not in it fails."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping

import pytest

from tests.support import ROOT

# A module may import those of lower levels, and those that stand before it on its own.
LEVELS: tuple[tuple[str, ...], ...] = (
    ("c2c", "errors", "settings", "events", "messages", "limits", "metrics", "tasks", "times"),
    (
        "codec",
        "keys",
        "scripts",
        "calls",
        "pipeline",
        "monitoring",
        "monitoring.results",
        "monitoring.own_servers",
        "monitoring.guard",
        "monitoring.failures",
        "monitoring.body",
        "monitoring.probe",
        "monitoring.windows",
        "monitoring.webhooks",
        "monitoring.suspicion",
        "monitoring.history",
        "monitoring.badge",
        "monitoring.endpoints",
        "monitoring.public",
        "monitoring.judge",
    ),
    (
        "users",
        "lineups",
        "monitors",
        "notices",
        "histories",
        "store",
        "lineup_file",
        "monitoring.commits",
        "monitoring.rules",
        "monitoring.self_watch",
    ),
    ("rooms.base", "rooms.chat", "rooms.presence", "rooms.lineup", "rooms.monitor", "rooms"),
    (
        "outbox",
        "fanout",
        "relay",
        "hub",
        "signed_in",
        "leases",
        "handshake",
        "keepalive",
        "wire",
        "auth",
        "monitoring.deliverer",
        "monitoring.incident_rooms",
        "monitoring.registry",
        "monitoring.scheduler",
    ),
    ("node",),
    (
        "connection",
        "session",
        "http",
        "http.envelope",
        "http.endpoints",
        "http.health",
        "http.histories",
        "http.incidents",
        "http.lineups",
        "http.maintenance",
        "http.online",
        "http.pages",
        "http.rooms",
        "http.status",
        "http.stream",
        "http.webhooks",
    ),
    ("app",),
    (
        "embedded",
        "client_state",
        "client_link",
        "client",
        "terminal",
        "lineup_upload",
        "inspection",
        "workers",
        "serving",
    ),
    ("cli", "__main__"),
)
CLIENT = {"client", "client_link", "client_state"}


def imports_of(name: str, source: str, modules: Iterable[str]) -> set[str]:
    """The modules of c2c that a module imports, wherever in it; names as in the table."""
    known = set(modules)
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {table_name(alias.name) for alias in node.names if alias.name.split(".")[0] == "c2c"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            module = node.module or ""
            if module.split(".")[0] != "c2c":
                continue
            for alias in node.names:
                # `from c2c.http import rooms` names a module, `from c2c.errors import C2CError` does not.
                inner = table_name(f"{module}.{alias.name}")
                found.add(inner if inner in known else table_name(module))
    return found


def table_name(module: str) -> str:
    """`c2c.rooms.chat` → `rooms.chat`; the package itself is `c2c`."""
    return module.removeprefix("c2c.")


def read_tree() -> dict[str, set[str]]:
    """Module → modules that it imports, of all that is in c2c/."""
    sources = {}
    for path in (ROOT / "c2c").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        sources[table_name(".".join(part for part in parts if part != "__init__"))] = path.read_text(encoding="utf-8")
    return {name: imports_of(name, source, sources) for name, source in sources.items()}


def faults(tree: Mapping[str, set[str]], levels: Iterable[Iterable[str]]) -> list[str]:
    """What is wrong with a tree: modules without a level, imports that do not point down, levels of no module."""
    order = [name for level in levels for name in level]
    wrong = [f"{name} is in no level" for name in tree if name not in order]
    wrong += [f"{name} does not exist" for name in order if name not in tree]
    for name, imported in tree.items():
        wrong += [
            f"{name} imports {other}"
            for other in imported
            if name in order and (other not in order or order.index(other) >= order.index(name))
        ]
    return sorted(wrong)


def test_imports_point_down() -> None:
    assert faults(read_tree(), LEVELS) == []


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        ({"low": set(), "high": {"low"}}, []),
        ({"low": set(), "high": {"low"}, "new": set()}, ["new is in no level"]),
        ({"low": {"high"}, "high": set()}, ["low imports high"]),
        ({"low": {"low"}, "high": set()}, ["low imports low"]),
        ({"low": {"gone"}, "high": set()}, ["low imports gone"]),
        ({"low": set()}, ["high does not exist"]),
    ],
)
def test_each_fault_is_found(tree: dict[str, set[str]], found: list[str]) -> None:
    assert faults(tree, [["low"], ["high"]]) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import c2c.store", {"store"}),
        ("from c2c import store, __version__", {"store", "c2c"}),
        ("from c2c.rooms import chat, default_kinds", {"rooms.chat", "rooms"}),
        ("def late():\n    from c2c.store import Store", {"store"}),
        ("import json\nfrom redis import Redis", set()),
    ],
)
def test_each_form_of_import_is_seen(source: str, found: set[str]) -> None:
    assert imports_of("x", source, ["c2c", "store", "rooms", "rooms.chat"]) == found


def test_the_client_brings_nothing_of_the_server() -> None:
    """A program that only uses the client must not load, nor need, what a node is made of."""
    tree = read_tree()
    reached: set[str] = set()
    ahead = {"client"}
    while ahead:
        name = ahead.pop()
        reached.add(name)
        ahead |= tree[name] - reached
    assert reached <= CLIENT | set(LEVELS[0])


def test_the_architecture_page_draws_this_table() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", text, flags=re.MULTILINE)
    drawn = {int(level): tuple(re.findall(r"`([^`]+)`", modules)) for level, modules in rows}
    assert drawn == dict(enumerate(LEVELS))
