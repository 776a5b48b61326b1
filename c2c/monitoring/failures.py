"""Why a check failed, in plain words."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

import httpx

from c2c.monitoring.results import Reason

Step: TypeAlias = Literal["dns", "connect", "tls", "first_byte", "body"]
Words: TypeAlias = tuple[Reason, str]


class CheckFailed(Exception):
    """The target did not do what is expected; `words` say what it did."""

    def __init__(self, reason: Reason, error: str) -> None:
        super().__init__(reason, error)
        self.words: Words = (reason, error)


_CERTIFICATE: Final[Mapping[int, str]] = {
    # X509_V_ERR_…, openssl/x509_vfy.h
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed",
    19: "the certificate's issuer is not trusted",
    20: "the certificate's issuer is not trusted",
    21: "the certificate's issuer is not trusted",
    23: "the certificate was revoked",
    62: "the certificate is for another host",
    64: "the certificate is for another host",
}
_TLS: Final[Mapping[str, str]] = {
    "WRONG_VERSION_NUMBER": "the server does not speak TLS",
    "RECORD_LAYER_FAILURE": "the server does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "the server's TLS is too old",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the server's TLS is too old",
}
_NETWORK: Final[Mapping[int, Words]] = {
    errno.ECONNREFUSED: ("refused", "connection refused"),
    errno.ECONNRESET: ("reset", "connection reset"),
    errno.ECONNABORTED: ("reset", "connection reset"),
    errno.EPIPE: ("reset", "connection reset"),
    errno.EHOSTUNREACH: ("unreachable", "host unreachable"),
    errno.EHOSTDOWN: ("unreachable", "host unreachable"),
    errno.ENETUNREACH: ("unreachable", "network unreachable"),
    errno.ENETDOWN: ("unreachable", "network unreachable"),
    errno.EADDRNOTAVAIL: ("unreachable", "network unreachable"),
    errno.EACCES: ("unreachable", "this machine's firewall forbids it"),
    errno.EPERM: ("unreachable", "this machine's firewall forbids it"),
    errno.EMFILE: ("unreachable", "the checker has no socket left"),
    errno.ENFILE: ("unreachable", "the checker has no socket left"),
}
_NOT_FOUND: Final = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def words_for(error: Exception, step: Step, timeout_s: float) -> Words:
    """Why a connection or what came over it failed, by the first cause that says so; else by the step it failed in."""
    for cause in _causes(error):
        match cause:
            case TimeoutError() | httpx.TimeoutException():
                return "timeout", f"no answer within {timeout_s:g} s"
            case ssl.SSLCertVerificationError():
                return "certificate", _CERTIFICATE.get(cause.verify_code, "the certificate is not valid")
            case ssl.SSLError():
                return "tls", _TLS.get(cause.reason or "", "the TLS handshake failed")
            case socket.gaierror():
                return "dns", "host not found" if cause.errno in _NOT_FOUND else "the name servers gave no answer"
            case OSError(errno=int(number)) if number in _NETWORK:
                return _NETWORK[number]
    return _words_for_step(error, step)


def _words_for_step(error: Exception, step: Step) -> Words:
    # An exception of h11, which parses the answers, says which status a server would answer with.
    hints = [cause.error_status_hint for cause in _causes(error) if hasattr(cause, "error_status_hint")]
    if step == "tls":
        return "tls", "the TLS handshake failed"
    if step == "body":
        return "body", "the page broke off"
    if isinstance(error, httpx.LocalProtocolError):
        return "protocol", "the request can not be sent"
    if isinstance(error, httpx.RemoteProtocolError):
        if not hints:
            return "protocol", "the connection was closed without an answer"
        return "protocol", "the answer's headers are too long" if 431 in hints else "the answer is not HTTP"
    return ("unreachable", "host unreachable") if step == "connect" else ("reset", "connection reset")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
