"""`c2c import-lineup`: sends a file to a line-up, and says what came of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from rich.console import Console
from rich.progress import Progress

from c2c.lineup_file import BYTES_MAX
from c2c.rooms.lineup import ROOM_PREFIX
from c2c.terminal import rest_url

_CHUNK_BYTES: Final = 16_384
_TIMEOUT_S: Final = 60.0


class UploadError(Exception):
    """The file was not taken; the text is for the person at the terminal."""


def upload(ws_url: str, token: str, retreat: str, file: Path) -> str:
    """Send a CSV or `.json` file to a retreat's line-up; what to tell of it. Blocks. Raises UploadError."""
    room_id = retreat if retreat.startswith(ROOM_PREFIX) else ROOM_PREFIX + retreat
    try:
        data = file.read_bytes()
    except OSError as failure:
        raise UploadError(f"{file} can't be read: {failure.strerror}") from None
    if len(data) > BYTES_MAX:
        raise UploadError(f"{file} has {len(data):,} bytes; a line-up's file has {BYTES_MAX:,} at most (TOO_LARGE)")
    media_type = "application/json" if file.suffix.lower() == ".json" else "text/csv"
    try:
        status, answer = _put(
            rest_url(ws_url, f"/api/rooms/{quote(room_id, safe='')}/lineups"), token, media_type, data
        )
    except (OSError, http.client.HTTPException) as failure:
        raise UploadError(f"the server can't be reached: {failure}") from None
    if answer.get("success") is not True:
        raise UploadError(_explain(file, status, answer.get("error") or {}))
    found = answer["data"]
    return f"{room_id}: {found['rows']:,} rows read, {found['added']:,} added, {found['changed']:,} changed"


def _put(url: str, token: str, media_type: str, data: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the envelope, {} when it is none. Raises OSError, HTTPException."""
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Authorization": f"Bearer {token}", "Content-Type": media_type, "Content-Length": str(len(data))}
    with contextlib.closing(connect(parts.netloc, timeout=_TIMEOUT_S)) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before the end: the answer says why
            connection.request("PUT", parts.path, _chunks(data), headers)
        answer = connection.getresponse()
        body = answer.read()
    try:
        envelope = json.loads(body)
    except ValueError:
        envelope = {}
    return answer.status, envelope if isinstance(envelope, dict) else {}


def _chunks(data: bytes) -> Iterator[bytes]:
    """The file in pieces, with a bar for who looks on."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("sending", total=len(data))
        for start in range(0, len(data), _CHUNK_BYTES):
            chunk = data[start : start + _CHUNK_BYTES]
            yield chunk
            progress.advance(task, len(chunk))


def _explain(file: Path, status: int, error: dict[str, Any]) -> str:
    """One line: where in the file, what, and the code."""
    if "code" not in error:
        return f"the server answers {status}"
    details = error.get("details") or {}
    where = f"line {details['line']}" if "line" in details else details.get("field")
    reason = details.get("reason") or error.get("message")
    return f"{file}: {where}: {reason} ({error['code']})" if where else f"{reason} ({error['code']})"
