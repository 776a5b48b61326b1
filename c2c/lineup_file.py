"""Line-ups as files: CSV as spreadsheets write it, and JSON. A file is taken as a whole or not at all.

CSV is RFC 4180. A cell that a spreadsheet would run as a formula gets an apostrophe in front when it is written, and
loses it when it is read (OWASP, "CSV Injection"). A bad record is named by the number of its first line, which is where
people find it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from pydantic_core import from_json, to_json

from c2c.errors import BadValue
from c2c.lineups import ROWS_MAX

BYTES_MAX: Final = 1_048_576
_RECORDS_MAX: Final = 10 * ROWS_MAX
_COLUMNS_MAX: Final = 50
_CELL_MAX: Final = 2_000
_FIELDS_BYTES_MAX: Final = 16_384
_HEADER_MAX: Final = 64
_ID_MAX: Final = 2**53
_NUMBER_MAX: Final = 999
_DELIMITERS: Final = ",;\t"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_QUOTED: Final = (*_FORMULA, "'")
_OWN_FIELDS: Final = frozenset({"lineupId", "gbsNumber", "memos", "version", "updatedBy"})

# What a column may be called, in lower case without spaces and underscores.
_HEADERS: Final = {
    **dict.fromkeys(("lineupid", "id", "no", "번호", "라인업id", "라인업번호"), "lineupId"),
    **dict.fromkeys(("name", "이름", "성명"), "name"),
    **dict.fromkeys(("gbsnumber", "gbs", "group", "gbs번호", "조", "조번호"), "gbsNumber"),
    **dict.fromkeys(("memos", "memo", "메모"), "memos"),
}


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of a file: its id, its fields as a JSON object, and its number, if any."""

    lineup_id: int
    fields: bytes
    number: int | None


# Reading


def read_csv(data: bytes) -> list[FileRow]:
    """UTF-8 with or without BOM, or CP949. Raises BadValue that names the line."""
    lines = csv.reader(io.StringIO(_decode(data), newline=""), delimiter=_delimiter(data), strict=True)
    line = 1
    try:
        header = next(lines, None)
        if header is None:
            raise BadValue(field="line 1", line=1, reason="the file is empty")
        columns = _columns(header)
        rows: list[FileRow] = []
        seen: set[int] = set()
        line = lines.line_num + 1
        for count, cells in enumerate(lines):
            if count >= _RECORDS_MAX:
                raise _bad_line(line, f"{_RECORDS_MAX} lines at most, empty ones included")
            if any(cell.strip() for cell in cells):
                rows.append(_read_line(columns, cells, line, seen))
            if len(rows) > ROWS_MAX:
                raise BadValue(field="rows", reason=f"a line-up has {ROWS_MAX} rows at most", limit=ROWS_MAX)
            line = lines.line_num + 1
    except csv.Error as wrong:
        raise _bad_line(line, str(wrong)) from None
    return rows


def _decode(data: bytes) -> str:
    for encoding in ("utf-8-sig", "cp949"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadValue(field="file", reason="neither UTF-8 nor CP949")


def _delimiter(data: bytes) -> str:
    first = data.partition(b"\n")[0]
    return max(_DELIMITERS, key=lambda sign: first.count(sign.encode()))


def _columns(header: Sequence[str]) -> list[str]:
    names = [_column(title.strip()) for title in header]
    while names and not names[-1]:
        names.pop()
    if len(names) > _COLUMNS_MAX:
        raise _bad_line(1, f"{_COLUMNS_MAX} columns at most")
    for name in names:
        if not name or len(name) > _HEADER_MAX:
            raise _bad_line(1, f"a column's title has 1 to {_HEADER_MAX} characters")
        if names.count(name) > 1:
            raise _bad_line(1, f"two columns are {name}")
    if "lineupId" not in names:
        raise _bad_line(1, "no column is called lineupId, id, no or 번호")
    return names


def _column(title: str) -> str:
    """The field that a column's title stands for. One with an apostrophe in front stands for itself."""
    plain = _unquoted_title(title)
    return plain if plain != title else _HEADERS.get(_alias(title), title)


def _alias(title: str) -> str:
    return title.casefold().replace(" ", "").replace("_", "")


def _read_line(columns: Sequence[str], cells: Sequence[str], line: int, seen: set[int]) -> FileRow:
    if len(cells) > len(columns) and any(cells[len(columns) :]):
        raise _bad_line(line, f"{len(cells)} cells under {len(columns)} titles")
    texts = {name: _unquoted(cell) for name, cell in zip_longest(columns, cells[: len(columns)], fillvalue="")}
    for name, text in texts.items():
        if len(text) > _CELL_MAX and name != "memos":
            raise _bad_line(line, f"{name}: {_CELL_MAX} characters at most")
    lineup_id = _whole_number(texts.pop("lineupId").strip(), _ID_MAX, line, "lineupId")
    if lineup_id is None:
        raise _bad_line(line, "no lineupId")
    if lineup_id in seen:
        raise _bad_line(line, f"lineupId {lineup_id} is there twice")
    seen.add(lineup_id)
    number = _whole_number(texts.pop("gbsNumber", "").strip(), _NUMBER_MAX, line, "gbsNumber")
    fields = _fields({name: text for name, text in texts.items() if name not in _OWN_FIELDS})
    if len(fields) > _FIELDS_BYTES_MAX:
        raise _bad_line(line, f"more than {_FIELDS_BYTES_MAX} bytes")
    return FileRow(lineup_id, fields, number)


def _whole_number(text: str, largest: int, line: int, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) > largest:
        raise _bad_line(line, f"{name} is a whole number from 0 to {largest}")
    return int(text)


def _bad_line(line: int, reason: str) -> BadValue:
    return BadValue(field=f"line {line}", line=line, reason=reason)


def read_json(data: bytes) -> list[FileRow]:
    """`{rows: [{lineupId, gbsNumber?, name?, …}]}`. Raises BadValue that names the row."""
    try:
        whole = from_json(data, allow_inf_nan=False)
    except ValueError:
        raise BadValue(field="file", reason="not JSON") from None
    rows = whole.get("rows") if isinstance(whole, dict) else None
    if not isinstance(rows, list):
        raise BadValue(field="rows", reason="is a list of rows")
    if len(rows) > ROWS_MAX:
        raise BadValue(field="rows", reason=f"a line-up has {ROWS_MAX} rows at most", limit=ROWS_MAX)
    seen: set[int] = set()
    return [_read_object(row, index, seen) for index, row in enumerate(rows)]


def _read_object(row: object, index: int, seen: set[int]) -> FileRow:
    where = f"rows.{index}"
    if not isinstance(row, dict):
        raise BadValue(field=where, reason="is an object")
    lineup_id, number = row.get("lineupId"), row.get("gbsNumber")
    if not isinstance(lineup_id, int) or not _is_whole(lineup_id, _ID_MAX):
        raise BadValue(field=f"{where}.lineupId", reason=f"is a whole number from 0 to {_ID_MAX}")
    if number is not None and not _is_whole(number, _NUMBER_MAX):
        raise BadValue(field=f"{where}.gbsNumber", reason=f"is a whole number from 0 to {_NUMBER_MAX}, or null")
    if lineup_id in seen:
        raise BadValue(field=f"{where}.lineupId", reason="is there twice")
    seen.add(lineup_id)
    fields = {name: value for name, value in row.items() if name not in _OWN_FIELDS}
    if len(fields) > _COLUMNS_MAX:
        raise BadValue(field=where, reason=f"{_COLUMNS_MAX} fields at most")
    for name, value in fields.items():
        if not 1 <= len(name) <= _HEADER_MAX or name != name.strip():
            raise BadValue(
                field=where, reason=f"a field's name has 1 to {_HEADER_MAX} characters, no space at its ends"
            )
        if not _is_cell(value):
            raise BadValue(field=f"{where}.{name}", reason="is a short text, a number, true, false or null")
    encoded = _fields(fields)
    if len(encoded) > _FIELDS_BYTES_MAX:
        raise BadValue(field=where, reason=f"more than {_FIELDS_BYTES_MAX} bytes")
    return FileRow(lineup_id, encoded, number)


def _is_whole(value: object, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


def _is_cell(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _CELL_MAX
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) <= _ID_MAX)


def _fields(fields: Mapping[str, Any]) -> bytes:
    """The name first, the rest in the order of the file."""
    first = {"name": fields["name"]} if "name" in fields else {}
    return to_json({**first, **fields})


# Writing


def write_csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A table as clients see it: UTF-8 with a BOM, without which spreadsheets take it for something else."""
    rows = [{**row, "memos": "\n".join(memo["memo"] for memo in row["memos"])} for row in rows]
    fields = dict.fromkeys(name for row in rows for name in row if name not in _OWN_FIELDS)
    name = [column for column in fields if column == "name"]
    columns = list(dict.fromkeys(["lineupId", *name, "gbsNumber", *fields, "memos"]))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_quoted_title(column) for column in columns])
    writer.writerows([_quoted(_text(row.get(column))) for column in columns] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else to_json(cell).decode()


def _quoted(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) or _is_quoted(text) else text


def _unquoted(text: str) -> str:
    return text[1:] if _is_quoted(text) else text


def _is_quoted(text: str) -> bool:
    return text[:1] == "'" and text[1:].startswith(_QUOTED)


def _quoted_title(name: str) -> str:
    """A title that is read as this field: not run by a spreadsheet, and not taken for another field's."""
    taken = name.startswith(_FORMULA) or _HEADERS.get(_alias(name), name) != name or _is_quoted_title(name)
    return f"'{name}" if taken else name


def _unquoted_title(title: str) -> str:
    return title[1:] if _is_quoted_title(title) else title


def _is_quoted_title(title: str) -> bool:
    return title[:1] == "'" and (title[1:].startswith(_QUOTED) or _alias(title[1:]) in _HEADERS)
