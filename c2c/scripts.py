"""Finds, reads and packs the Lua scripts of `lua/`.

A script's header is its signature: the names under KEYS and ARGV, in order; `…` stands for any number of further ones.
Callers give names, never positions, and a missing or surplus name is an error at the call. `--@include name` pulls in
`lua/include/name.lua`, once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

Argument = str | bytes | int

_SECTION: Final = re.compile(r"^-- (KEYS|ARGV|RETURNS|EVENTS)$")
_NAME: Final = re.compile(r"^--   ([a-z_]+)\s")
_REST: Final = re.compile(r"^--   …\s")
_INCLUDE: Final = re.compile(r"^--@include ([a-z_]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script: its source, its SHA1 (what EVALSHA wants) and the names in its header."""

    name: str
    source: bytes
    sha: bytes
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    takes_rest: bool
    takes_more_keys: bool = False

    def pack(
        self,
        keys: Mapping[str, str],
        arguments: Mapping[str, Argument],
        rest: Iterable[Argument] = (),
        more_keys: Sequence[str] = (),
    ) -> tuple[Argument, ...]:
        """What follows `EVALSHA <sha>`: the number of keys, the keys, the arguments in the script's order.

        Raises TypeError when names are missing or unknown.
        """
        rest = tuple(rest)
        surplus = (rest and not self.takes_rest) or (more_keys and not self.takes_more_keys)
        if keys.keys() != set(self.keys) or arguments.keys() != set(self.arguments) or surplus:
            raise TypeError(f"{self.name}.lua takes KEYS {self.keys} and ARGV {self.arguments}")
        named = [keys[name] for name in self.keys]
        return (len(named) + len(more_keys), *named, *more_keys, *[arguments[n] for n in self.arguments], *rest)


def lua_folder() -> Traversable:
    """`lua/` in the wheel (`c2c/lua`), else in the repository."""
    packaged = files("c2c") / "lua"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "lua"


@cache
def load_scripts() -> Mapping[str, Script]:
    """All scripts by name. Raises ValueError for a header that can't be read."""
    folder = lua_folder()
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".lua"))
    return {name.removesuffix(".lua"): _load(folder, name) for name in names}


def _load(folder: Traversable, file_name: str) -> Script:
    text = (folder / file_name).read_text(encoding="utf-8")
    sections = _header(text)
    if "RETURNS" not in sections or "KEYS" not in sections:
        raise ValueError(f"{file_name}: the header names no KEYS or no RETURNS")

    def include(match: re.Match[str]) -> str:
        return (folder / "include" / f"{match[1]}.lua").read_text(encoding="utf-8")

    source = _INCLUDE.sub(include, text).encode()
    keys, arguments = sections["KEYS"], sections.get("ARGV", [])
    return Script(
        name=file_name.removesuffix(".lua"),
        source=source,
        sha=hashlib.sha1(source, usedforsecurity=False).hexdigest().encode(),
        keys=tuple(name for name in keys if name != "…"),
        arguments=tuple(name for name in arguments if name != "…"),
        takes_rest="…" in arguments,
        takes_more_keys="…" in keys,
    )


def _header(text: str) -> dict[str, list[str]]:
    """Section → names, from the comment at the top of a script."""
    sections: dict[str, list[str]] = {}
    names: list[str] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if section := _SECTION.match(line):
            names = sections.setdefault(section[1], [])
        elif name := _NAME.match(line):
            names.append(name[1])
        elif _REST.match(line):
            names.append("…")
    return sections
