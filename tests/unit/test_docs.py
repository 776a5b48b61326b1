"""The docs say all that the code has: settings, metrics, keys, scripts, codes; and what they point to is there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from c2c.errors import CloseCode
from c2c.keys import ENDPOINT_COLUMNS, MONITOR_COLUMNS, Keys
from c2c.lineups import COLUMNS
from c2c.messages import ERROR_MESSAGES
from c2c.metrics import Metrics
from c2c.rooms import default_kinds
from c2c.scripts import load_scripts
from c2c.settings import Settings
from tests.support import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
PLACEHOLDERS = {
    **dict.fromkeys(("room_id", "user_id", "node_id"), "<id>"),
    "command_id": "<commandId>",
    "status": "<status>",
}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def row(text: str, first_cell: str) -> list[str]:
    """The cells of the one table row that begins with this cell."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {first_cell} |")]
    assert len(lines) == 1, f"{len(lines)} rows for {first_cell}"
    # A pipe in code is escaped in a table.
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", lines[0])[1:-1]]


def default_of(name: str) -> str | None:
    """The default of a setting as the table shows it; None where it is made up or worded."""
    default = Settings.model_fields[name].get_default()
    if name in ("node_id", "data_dir"):
        return None
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def unit_of(name: str) -> str:
    """The unit of a setting, by the end of its name."""
    for suffix, unit in (("_per_s", "1/s"), ("_s", "s"), ("_bytes", "bytes")):
        if name.endswith(suffix):
            return unit
    return ""


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_row_with_its_default_and_unit(name: str) -> None:
    _, default, unit, _ = row(page("operations.md"), f"`C2C_{name.upper()}`")
    assert default_of(name) in (None, default)
    assert unit_of(name) == unit


def test_no_setting_is_told_that_does_not_exist() -> None:
    known = {f"C2C_{name.upper()}" for name in Settings.model_fields} | {
        "C2C_WORKERS",
        "C2C_URL",
        "C2C_TOKEN",
        "C2C_CHAOS_S",
    }
    for path in PAGES:
        told = set(re.findall(r"\bC2C_[A-Z0-9]+(?:_[A-Z0-9]+)*\b(?!_)", path.read_text(encoding="utf-8")))
        assert told - known - {"C2C_JWT"} == set(), path


def test_every_metric_has_a_row_with_its_labels() -> None:
    text = page("operations.md")
    metrics = Metrics()
    for name, metric in vars(metrics).items():
        if name == "registry":
            continue
        (family,) = metric.describe()
        told = family.name + ("_total" if family.type == "counter" else "")
        labels = re.findall(r"`([a-z]+)`", row(text, f"`{told}`")[1])
        assert labels == list(metric._labelnames)


def key_names() -> list[str]:
    """Every key and channel that `Keys` can make, with placeholders."""
    found = [Keys().lineup("<id>", column) for column in (*COLUMNS, "editing")]
    found += [Keys().monitor(column) for column in MONITOR_COLUMNS]
    found += [Keys().endpoint("<id>", column) for column in ENDPOINT_COLUMNS]
    for name, method in inspect.getmembers(Keys(), inspect.ismethod):
        if not name.startswith("_") and name not in ("lineup", "monitor", "endpoint"):
            names = list(inspect.signature(method).parameters)
            several = {"user_id": "<user>"} if "room_id" in names else {}
            found.append(str(method(*[{**PLACEHOLDERS, **several}[parameter] for parameter in names])))
    return found


@pytest.mark.parametrize("key", key_names())
def test_every_key_and_channel_has_a_row(key: str) -> None:
    row(page("redis.md"), f"`{key}`")


@pytest.mark.parametrize("name", load_scripts())
def test_every_script_has_a_row_with_its_keys_and_arguments_in_order(name: str) -> None:
    script = load_scripts()[name]
    _, _, keys, arguments, _ = row(page("redis.md"), f"`{name}`")
    assert tuple(re.findall(r"`([^`]+)`", keys)) == (*script.keys, *(["…"] if script.takes_more_keys else []))
    assert tuple(re.findall(r"`([^`]+)`", arguments)) == (*script.arguments, *(["…"] if script.takes_rest else []))


def test_no_script_is_told_that_does_not_exist() -> None:
    section = page("redis.md").split("## Scripts")[1].split("## Rules")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", section, flags=re.MULTILINE)) == set(load_scripts())


@pytest.mark.parametrize("code", ERROR_MESSAGES)
def test_every_error_code_has_a_row(code: str) -> None:
    row(page("protocol.md"), f"`{code}`")


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_close_code_has_a_row(code: CloseCode) -> None:
    section = page("protocol.md").split("## Closing")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", section, flags=re.MULTILINE)
    assert [str(int(code))] == [number for cells in rows for number in cells.split(", ") if number == str(int(code))]


def test_every_kind_and_every_command_is_told_and_no_other_kind() -> None:
    text = page("protocol.md")
    kinds = default_kinds()
    for name in kinds.names():
        assert f"\n### {name}\n" in text
    assert ("`" + "`, `".join(kinds.names()) + "`") in text.split("##")[0]
    for model in kinds.command_models():
        (command,) = model.model_fields["t"].annotation.__args__  # type: ignore[union-attr]
        assert re.search(rf"^\| `{re.escape(command)}( \{{|`)", text, flags=re.MULTILINE), command


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, by the rules of GitHub."""
    found = set()
    fenced = False
    for line in path.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if not fenced and (heading := re.match(r"#+ (.+)", line)):
            words = re.sub(r"[^\w\- ]", "", heading[1].lower())
            found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_resolves(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_that_is_named_exists(path: Path) -> None:
    sources = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8")):
        assert re.search(rf"^(async )?def {name}\(", sources, flags=re.MULTILINE), name
