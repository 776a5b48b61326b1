"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

_HEADER: Final = ("case", "what", "measured", "limit", "verdict")


@dataclass(frozen=True, slots=True)
class Row:
    """One number with its limit. `value` is None when it could not be measured, and `detail` then says why."""

    case: str
    what: str
    value: float | None
    unit: str
    limit: float
    detail: str
    at_least: bool = False
    skipped: bool = False

    @property
    def verdict(self) -> str:
        if self.skipped:
            return "SKIP"
        if self.value is None:
            return "FAIL"
        return "PASS" if (self.value >= self.limit if self.at_least else self.value <= self.limit) else "FAIL"


@dataclass(slots=True)
class Results:
    """All rows, what helps to read them, and the raw reports of the load generator."""

    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    runs: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return bool(self.problems) or any(row.verdict == "FAIL" for row in self.rows)

    def table(self) -> str:
        """The table, its notes below it."""
        cells = [_HEADER, *((r.case, r.what, _value(r), _limit(r), r.verdict) for r in self.rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADER))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        sections = (
            [f"{name}: {value}" for name, value in self.machine.items()],
            lines,
            [f"  {row.case}: {row.detail}" for row in self.rows if row.detail],
            [f"  {note}" for note in self.notes],
            [f"  PROBLEM {problem}" for problem in self.problems],
        )
        return "\n\n".join("\n".join(section) for section in sections if section)

    def write(self, path: Path) -> None:
        """Everything, as JSON."""
        whole = asdict(self)
        whole["rows"] = [{**asdict(row), "verdict": row.verdict} for row in self.rows]
        path.write_text(json.dumps(whole, indent=2) + "\n")


def _value(row: Row) -> str:
    return "-" if row.value is None else f"{_number(row.value)} {row.unit}"


def _limit(row: Row) -> str:
    return f"{'≥' if row.at_least else '≤'} {_number(row.limit)} {row.unit}"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"
