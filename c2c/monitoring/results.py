"""What is checked and what came of it, as the checker sees it: no Redis, no rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["UP", "DOWN", "DEGRADED", "UNKNOWN"]
STATUSES: tuple[Status, ...] = ("UP", "DOWN", "DEGRADED", "UNKNOWN")

# Why a check failed, as a word that pages translate: see `docs/protocol.md`, "Why a check failed".
Reason: TypeAlias = Literal[
    "timeout", "dns", "refused", "unreachable", "reset", "tls", "certificate", "protocol", "status", "keyword",
    "redirect", "body", "guard", "missed", "reported", "suspect",
]  # fmt: skip

# Failures without any answer, as a checker that is cut off sees them. A page that says 503 proves that it is not.
CUT_OFF: frozenset[Reason] = frozenset({"timeout", "dns", "refused", "unreachable", "reset", "tls"})


@dataclass(frozen=True, slots=True)
class Target:
    """What one check needs to know.

    `url`: `http(s)://…`, or `tcp://host:port` of kind `tcp`. `expected`: ranges of status codes, both ends included.
    `timeout_s`: the one deadline for all of it: resolving, connecting, every redirect and the body. `headers`: sent to
    the first origin only, not to where a redirect leads on another host, scheme or port. `content`: the body of a POST.
    `redirects`: how many are followed; 0: none, a redirect is the answer.
    """

    kind: Literal["http", "tcp"]
    url: str
    method: Literal["GET", "HEAD", "POST"] = "GET"
    timeout_s: float = 10.0
    expected: tuple[tuple[int, int], ...] = ((200, 299),)
    keyword: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    redirects: int = 3


@dataclass(frozen=True, slots=True)
class Phases:
    """How long each part of the last hop took, in ms; None: there was none."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a check came to. `response_ms`: how long all of it took; None: it never got that far.

    `error`: in plain English words, at most 200 characters, without secrets; '' when `ok`.
    """

    ok: bool
    response_ms: float | None = None
    status_code: int | None = None
    reason: Reason | None = None
    error: str = ""
    phases: Phases = field(default_factory=Phases)
    certificate_expires_at_ms: int | None = None
