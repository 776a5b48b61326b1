"""Line-ups as files: what spreadsheets write is read, what is wrong is named, what is written is read as it was."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2c.errors import BadValue
from c2c.lineup_file import FileRow, read_csv, read_json, write_csv

FORMULAS = [
    "=1+2",
    "+82-10-1234",
    "-5",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "\nx",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "=cmd|'/C calc'!A0",
]


def rows_of(text: str, encoding: str = "utf-8") -> list[tuple[int, dict[str, Any], int | None]]:
    return [plain(row) for row in read_csv(text.encode(encoding))]


def plain(row: FileRow) -> tuple[int, dict[str, Any], int | None]:
    return row.lineup_id, json.loads(row.fields), row.number


def refusal(data: str | bytes) -> dict[str, Any]:
    with pytest.raises(BadValue) as refused:
        read_csv(data if isinstance(data, bytes) else data.encode())
    return dict(refused.value.details)


def shown(row: FileRow, memos: list[str] | None = None) -> dict[str, Any]:
    """A row as clients see it, once it stands in a line-up."""
    texts = [{"memoId": f"m{at}", "memo": memo} for at, memo in enumerate(memos or [])]
    own = {"gbsNumber": row.number, "memos": texts, "version": 7, "updatedBy": "kim"}
    return {"lineupId": row.lineup_id, **json.loads(row.fields), **own}


# What is read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_a_file_is_read_in_each_encoding_that_spreadsheets_write(encoding: str) -> None:
    text = "번호,이름,조,소속\r\n1,홍길동,12,서울 뷁\r\n2,김 철수,,부산\r\n"
    assert rows_of(text, encoding) == [
        (1, {"name": "홍길동", "소속": "서울 뷁"}, 12),
        (2, {"name": "김 철수", "소속": "부산"}, None),
    ]


def test_emoji_quoted_commas_quotes_and_line_breaks_are_part_of_a_cell() -> None:
    text = 'id,name,note\r\n1,👩‍👩‍👧,"a,b;c\td"\r\n2,"He said ""hi""","first\r\nsecond\nthird"\r\n'
    assert rows_of(text) == [
        (1, {"name": "👩‍👩‍👧", "note": "a,b;c\td"}, None),
        (2, {"name": 'He said "hi"', "note": "first\r\nsecond\nthird"}, None),
    ]


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_cells_are_divided_by_the_sign_that_divides_the_titles(sign: str, end: str) -> None:
    text = end.join([f"id{sign}name{sign}gbs", f'1{sign}"a,b;c\td"{sign}3', ""])
    assert rows_of(text) == [(1, {"name": "a,b;c\td"}, 3)]


@pytest.mark.parametrize(
    ("title", "field"),
    [
        *[(title, "lineupId") for title in ("lineupId", "LINEUP ID", "lineup_id", "Id", "NO", "번호", "라인업 번호")],
        *[(title, "gbsNumber") for title in ("gbsNumber", "GBS", "gbs_number", "Group", "조", "조 번호", "GBS번호")],
        *[(title, "name") for title in ("name", " Name ", "이름", "성명")],
        *[(title, "memos") for title in ("memos", "Memo", "메모")],
    ],
)
def test_titles_are_known_in_english_and_korean(title: str, field: str) -> None:
    others = [other for other in ("lineupId", "gbsNumber", "name", "memos") if other != field]
    line = {"lineupId": "5", "gbsNumber": "9", "name": "kim", "memos": "text"}
    text = ",".join([title, *others]) + "\n" + ",".join(line[name] for name in (field, *others))
    assert rows_of(text) == [(5, {"name": "kim"}, 9)]


def test_the_name_comes_first_and_the_other_columns_as_in_the_file() -> None:
    (row,) = read_csv("학년,id,zeta,이름,alpha\n3,1,z,kim,a".encode())
    assert row.fields == '{"name":"kim","학년":"3","zeta":"z","alpha":"a"}'.encode()


def test_blank_lines_and_blank_columns_at_the_end_are_nothing() -> None:
    assert rows_of("id,name,,\n\n1,kim,,\n,,,\n  ,\n2,lee\n\n") == [
        (1, {"name": "kim"}, None),
        (2, {"name": "lee"}, None),
    ]


def test_a_short_line_has_empty_cells() -> None:
    assert rows_of("id,name,note\n1\n2,lee") == [
        (1, {"name": "", "note": ""}, None),
        (2, {"name": "lee", "note": ""}, None),
    ]


def test_what_clients_see_of_a_row_besides_is_not_taken_for_a_field() -> None:
    assert rows_of("id,version,updatedBy,memos,x\n1,9,kim,text,y") == [(1, {"x": "y"}, None)]


@pytest.mark.parametrize("number", range(0, 1000, 333))
def test_numbers_are_whole_and_may_have_spaces_round_them(number: int) -> None:
    assert rows_of(f"id,gbs\n 007 , {number} ") == [(7, {}, number)]


def test_a_file_of_titles_only_has_no_rows() -> None:
    assert rows_of("id,name\n") == []


def test_five_thousand_rows_are_taken_and_no_more() -> None:
    lines = [f"{number},n{number}" for number in range(5001)]
    assert len(rows_of("\n".join(["id,name", *lines[:5000]]))) == 5000
    refused = refusal("\n".join(["id,name", *lines]))
    assert (refused["field"], refused["limit"]) == ("rows", 5000)


def test_a_nul_byte_is_a_character_of_a_cell() -> None:
    assert rows_of("id,name\n1,a\0b") == [(1, {"name": "a\0b"}, None)]


# What is refused


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "the file is empty"),
        ("name,gbs\nkim,3", 1, "no column is called lineupId, id, no or 번호"),
        ("id,no\n1,2", 1, "two columns are lineupId"),
        ("id,x,x\n1,2,3", 1, "two columns are x"),
        ("id,,x\n1,2,3", 1, "a column's title has 1 to 64 characters"),
        (f"id,{'x' * 65}\n1,2", 1, "a column's title has 1 to 64 characters"),
        ("id," + ",".join(f"c{at}" for at in range(50)), 1, "50 columns at most"),
        ("id,name\n1,a,b\n", 2, "3 cells under 2 titles"),
        ("id,gbs\n1,\n2,1000\n", 3, "gbsNumber is a whole number from 0 to 999"),
        ("id,gbs\n1,-1\n", 2, "gbsNumber is a whole number from 0 to 999"),
        ("id,gbs\n1,7.0\n", 2, "gbsNumber is a whole number from 0 to 999"),
        ("id,gbs\n1,１\n", 2, "gbsNumber is a whole number from 0 to 999"),
        ("id,name\nx,a\n", 2, "lineupId is a whole number from 0 to 9007199254740992"),
        ("id,name\n9007199254740993,a\n", 2, "lineupId is a whole number from 0 to 9007199254740992"),
        (f"id,name\n{'9' * 2000},a\n", 2, "lineupId is a whole number from 0 to 9007199254740992"),
        ("id,name\n1,a\n,b\n", 3, "no lineupId"),
        ("id,name\n1,a\n2,b\n1,c\n", 4, "lineupId 1 is there twice"),
        (f"id,name\n1,{'x' * 2001}\n", 2, "name: 2000 characters at most"),
        ("id," + ",".join("abcdefghi") + "\n1" + f",{'x' * 1999}" * 9, 2, "more than 16384 bytes"),
        ('id,name\n1,"a" b\n', 2, "',' expected after '\"'"),
        ('id,name\n1,a\n2,"never\nclosed\n', 3, "unexpected end of data"),
    ],
)
def test_a_bad_line_is_named_by_its_number(text: str, line: int, reason: str) -> None:
    assert refusal(text) == {"field": f"line {line}", "line": line, "reason": reason}


def test_a_bad_record_of_several_lines_is_named_by_its_first() -> None:
    assert refusal('id,name,gbs\n1,"a\nb\nc",1\n2,"d\ne",7777\n3,f,2\n')["line"] == 5
    assert refusal('"id","a\nb"\n1,2\nx,3\n')["line"] == 4, "titles may have line breaks too"
    assert refusal('id,name\n1,"a\nb"\n\n2,"c\nd" e\n')["line"] == 5


def test_the_largest_id_there_is_can_be_read() -> None:
    assert rows_of("id\n9007199254740992") == [(2**53, {}, None)]


@pytest.mark.parametrize("data", [b"\xff\xfei\x00d\x00", b"id,name\n1,\xff\xff", "id,name\n1,é".encode("latin-1")])
def test_what_is_neither_utf8_nor_cp949_is_refused(data: bytes) -> None:
    assert refusal(data) == {"field": "file", "reason": "neither UTF-8 nor CP949"}


@pytest.mark.parametrize(
    ("bomb", "line"),
    [
        (b"id,name\n1," + b"a" * 1_048_576, 2),
        (b'id,name\n1,"' + b"a\n" * 500_000, 2),
        (b"id," + b"x," * 100_000, 1),
        (b"id," + b"\xed\x95\x9c," * 100_000, 1),
        (b"id\n1" + b",x" * 100_000, 2),
        (b'id\n"' + b'"' * 1_000_000, 2),
        (b"id\n" + b"\n" * 1_000_000, 50_002),
        (b"id\n" + b",\n" * 500_000, 50_002),
    ],
    ids=["cell", "unbalanced", "titles", "korean titles", "cells", "quotes", "blank lines", "empty lines"],
)
def test_a_bomb_is_refused_before_it_costs_much(bomb: bytes, line: int) -> None:
    started_s = time.process_time()
    assert refusal(bomb)["line"] == line
    assert time.process_time() - started_s < 1.0


# What is written


def test_a_table_is_written_with_a_bom_its_memos_and_columns_of_all_rows() -> None:
    first, second = read_csv("id,이름,gbs,z\n1,홍,7,x".encode())[0], read_csv(b"id,name,a\n2,lee,y")[0]
    file = write_csv([shown(first, ["one", "two\n=3"]), shown(second)])
    assert file.startswith(b"\xef\xbb\xbf")
    lines = list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")))
    assert lines == [
        ["lineupId", "name", "gbsNumber", "z", "a", "memos"],
        ["1", "홍", "7", "x", "", "one\ntwo\n=3"],
        ["2", "lee", "", "", "y", ""],
    ]
    assert file.count(b"\r\n") == 3


def test_an_empty_table_is_a_line_of_titles() -> None:
    assert write_csv([]) == b"\xef\xbb\xbflineupId,gbsNumber,memos\r\n"


@pytest.mark.parametrize("formula", FORMULAS)
def test_what_a_spreadsheet_would_run_is_written_as_text_and_read_as_it_was(formula: str) -> None:
    rows = read_json(json.dumps({"rows": [{"lineupId": 1, "name": formula, formula.strip(): "x"}]}).encode())
    file = write_csv([shown(rows[0], [formula])])
    _, cells = csv.reader(io.StringIO(file.decode("utf-8-sig"), newline=""))
    assert cells[1] == cells[4] == "'" + formula
    assert [plain(row) for row in read_csv(file)] == [plain(row) for row in rows]


def test_an_apostrophe_that_was_there_stays() -> None:
    for text in ("'", "''", "'=1", "''=1", "'tis", "' =1"):
        rows = read_json(json.dumps({"rows": [{"lineupId": 1, "name": text}]}).encode())
        assert [plain(row) for row in read_csv(write_csv([shown(rows[0])]))] == [plain(row) for row in rows]


def test_a_field_that_is_called_like_another_column_is_not_taken_for_it() -> None:
    fields = {"no": "a", "이름": "b", "Memo": "c", "조": "d", "'no": "e", "''no": "f", "GBS": "g", "'x": "h", "ID": "i"}
    rows = read_json(json.dumps({"rows": [{"lineupId": 1, "gbsNumber": 3, "name": "kim", **fields}]}).encode())
    file = write_csv([shown(rows[0], ["memo"])])
    assert [plain(row) for row in read_csv(file)] == [(1, {"name": "kim", **fields}, 3)]


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [*FORMULAS, "'=1", "''", " x ", "a\r\nb"]
)
titles = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9) | st.sampled_from(
    ["no", "ID", "memo", "'no", "''=", "=x", "'", "version", "Name", "조"]
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_table_is_read_as_it_was_written(data: st.DataObject) -> None:
    """Import, export, import: the same bytes in Redis, so that nobody is told of a change."""
    columns = [title.strip() for title in data.draw(st.lists(titles, max_size=5, unique_by=str.strip))]
    columns = [
        title for title in columns if title not in ("", "lineupId", "gbsNumber", "memos", "version", "updatedBy")
    ]
    if data.draw(st.booleans()):
        columns = ["name", *[title for title in columns if title != "name"]]
    ids = data.draw(st.lists(st.integers(0, 2**53), max_size=6, unique=True))
    given_rows = [
        {
            "lineupId": id_,
            "gbsNumber": data.draw(st.none() | st.integers(0, 999)),
            **{column: data.draw(cells) for column in columns},
        }
        for id_ in ids
    ]
    rows = read_json(json.dumps({"rows": given_rows}).encode())
    memos = data.draw(st.lists(cells.filter(bool), max_size=3))
    file = write_csv([shown(row, memos) for row in rows])
    assert read_csv(file) == rows
    assert write_csv([shown(row, memos) for row in read_csv(file)]) == file


# JSON


def test_json_is_read_as_it_comes_from_a_line_up() -> None:
    fields = {"학년": 3, "ok": True, "x": None, "share": 0.5, "name": "홍"}
    row = {"lineupId": 4, "gbsNumber": 12, **fields, "memos": [{"memo": "x"}], "version": 9, "updatedBy": "kim"}
    (read,) = read_json(json.dumps({"rows": [row], "groups": [], "seq": 5}).encode())
    assert plain(read) == (4, fields, 12)
    assert read.fields.startswith('{"name":"홍","학년":3'.encode())


def test_json_needs_a_row_id_and_nothing_else() -> None:
    assert [plain(row) for row in read_json(b'{"rows":[{"lineupId":0}]}')] == [(0, {}, None)]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "file"),
        ("{", "file"),
        ("[" * 5000, "file"),
        ('{"rows":[{"lineupId":NaN}]}', "file"),
        ('{"rows":[{"lineupId":1,"name":"\\ud800"}]}', "file"),
        ("[]", "rows"),
        ("{}", "rows"),
        ('{"rows":{}}', "rows"),
        ('{"rows":[1]}', "rows.0"),
        ('{"rows":[{}]}', "rows.0.lineupId"),
        ('{"rows":[{"lineupId":"1"}]}', "rows.0.lineupId"),
        ('{"rows":[{"lineupId":true}]}', "rows.0.lineupId"),
        ('{"rows":[{"lineupId":1.0}]}', "rows.0.lineupId"),
        ('{"rows":[{"lineupId":-1}]}', "rows.0.lineupId"),
        ('{"rows":[{"lineupId":9007199254740993}]}', "rows.0.lineupId"),
        ('{"rows":[{"lineupId":1},{"lineupId":1}]}', "rows.1.lineupId"),
        ('{"rows":[{"lineupId":1,"gbsNumber":1000}]}', "rows.0.gbsNumber"),
        ('{"rows":[{"lineupId":1,"gbsNumber":-1}]}', "rows.0.gbsNumber"),
        ('{"rows":[{"lineupId":1,"gbsNumber":"7"}]}', "rows.0.gbsNumber"),
        ('{"rows":[{"lineupId":1,"gbsNumber":true}]}', "rows.0.gbsNumber"),
        ('{"rows":[{"lineupId":1,"x":[]}]}', "rows.0.x"),
        ('{"rows":[{"lineupId":1,"x":{}}]}', "rows.0.x"),
        ('{"rows":[{"lineupId":1,"x":1e400}]}', "rows.0.x"),
        ('{"rows":[{"lineupId":1,"x":9007199254740993}]}', "rows.0.x"),
        ('{"rows":[{"lineupId":1,"x":"' + "x" * 2001 + '"}]}', "rows.0.x"),
        ('{"rows":[{"lineupId":1,"":1}]}', "rows.0"),
        ('{"rows":[{"lineupId":1," x":1}]}', "rows.0"),
        ('{"rows":[{"lineupId":1,"' + "x" * 65 + '":1}]}', "rows.0"),
        (json.dumps({"rows": [{"lineupId": 1, **{f"f{at}": 1 for at in range(51)}}]}), "rows.0"),
        (json.dumps({"rows": [{"lineupId": 1, **{f"f{at}": "x" * 1999 for at in range(9)}}]}), "rows.0"),
        (json.dumps({"rows": [{"lineupId": at} for at in range(5001)]}), "rows"),
    ],
)
def test_bad_json_is_named_by_field(text: str, field: str) -> None:
    with pytest.raises(BadValue) as refused:
        read_json(text.encode())
    assert refused.value.details["field"] == field
