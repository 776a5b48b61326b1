"""The text of a page: the first 64 KiB of it, whatever a server sends."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Mapping
from typing import Final

from c2c.monitoring.failures import CheckFailed

BODY_MAX: Final = 64 * 1024  # decompressed
_RAW_MAX: Final = 2 * BODY_MAX  # as it comes: an endless stream that decompresses to nothing has an end too


class Page:
    """The text of an answer, up to 64 KiB of it, decompressed here: httpx would decompress whatever comes, at once."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._inflater = _inflater(headers.get("content-encoding", "").strip().lower())
        self._decoder = codecs.getincrementaldecoder(_charset(headers.get("content-type", "")))("replace")
        self._raw = 0
        self._read = 0

    @property
    def full(self) -> bool:
        """Whether there is more than is read."""
        return self._read > BODY_MAX or self._raw > _RAW_MAX

    def read(self, chunk: bytes) -> str:
        """The text that the next bytes hold. Raises CheckFailed."""
        self._raw += len(chunk)
        left = BODY_MAX - self._read
        data = chunk[: left + 1] if self._inflater is None else self._inflater.inflate(chunk, left + 1)
        self._read += len(data)
        return self._decoder.decode(data[:left])


class _Inflater:
    """zlib with a bound. `wbits` None: `deflate`, which some servers send with zlib's header and some without."""

    def __init__(self, wbits: int | None) -> None:
        self._head = b""
        self._zlib = None if wbits is None else zlib.decompressobj(wbits)

    def inflate(self, chunk: bytes, max_length: int) -> bytes:
        """What the next bytes hold; nobody may ask for more once `max_length` bytes, at least 1, have come."""
        if self._zlib is None:
            self._head += chunk
            if len(self._head) < 2:
                return b""
            chunk = self._head
            has_header = chunk[0] & 15 == 8 and int.from_bytes(chunk[:2], "big") % 31 == 0  # RFC 1950, section 2.2
            self._zlib = zlib.decompressobj(15 if has_header else -15)
        try:
            return self._zlib.decompress(chunk, max_length)
        except zlib.error:
            raise CheckFailed("body", "the compressed page is damaged") from None


def _inflater(content_encoding: str) -> _Inflater | None:
    """Raises CheckFailed for what was not asked for."""
    match content_encoding:
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Inflater(16 + 15)
        case "deflate":
            return _Inflater(None)
    raise CheckFailed("body", "the page is compressed in a way that was not asked for")


# What pages are written in. Not all that Python has: punycode takes minutes for 64 KiB, and zlib is one of its codecs.
_CHARSETS: Final = frozenset(
    codecs.lookup(name).name
    for name in (
        "ascii", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "koi8-r", "koi8-u", "tis-620", "big5", "big5hkscs",
        "euc-kr", "johab", "iso-2022-kr", "shift_jis", "euc-jp", "iso-2022-jp", "gb2312", "gbk", "gb18030",
        *(f"iso-8859-{part}" for part in (*range(1, 12), *range(13, 17))),
        *(f"cp{page}" for page in (866, 874, 932, 949, 950, *range(1250, 1259))),
    )
)  # fmt: skip


def _charset(content_type: str) -> str:
    """The charset that a `Content-Type` names, if it is one of those; else UTF-8."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            try:
                found = codecs.lookup(value.strip().strip("\"'")).name
            except (LookupError, ValueError):
                break
            # What is called EUC-KR is written in its superset, Windows' code page 949.
            return "cp949" if found == "euc_kr" else found if found in _CHARSETS else "utf-8"
    return "utf-8"
