"""The one catalogue of error messages: code → language → sentence for a person."""

from __future__ import annotations

from typing import Any, Final, Literal

from c2c.errors import C2CError

Language = Literal["en", "ko"]

ERROR_MESSAGES: Final[dict[str, dict[Language, str]]] = {
    "BAD_FRAME": {"en": "This message is not valid.", "ko": "올바르지 않은 메시지입니다."},
    "BAD_VALUE": {"en": "A value is not allowed.", "ko": "허용되지 않는 값이 있습니다."},
    "UNKNOWN_COMMAND": {"en": "This command does not exist here.", "ko": "여기에서는 사용할 수 없는 명령입니다."},
    "UNAUTHORIZED": {"en": "Please sign in again.", "ko": "다시 로그인해 주세요."},
    "FORBIDDEN": {"en": "You are not allowed to do this.", "ko": "이 작업을 할 권한이 없습니다."},
    "ROOM_NOT_FOUND": {"en": "This room does not exist.", "ko": "존재하지 않는 방입니다."},
    "NOT_A_MEMBER": {"en": "Join the room first.", "ko": "먼저 방에 입장해 주세요."},
    "ROOM_EXISTS": {"en": "A room with this id exists already.", "ko": "같은 아이디의 방이 이미 있습니다."},
    "LINEUP_NOT_FOUND": {"en": "This row does not exist any more.", "ko": "더 이상 존재하지 않는 행입니다."},
    "MEMO_NOT_FOUND": {"en": "This memo does not exist any more.", "ko": "더 이상 존재하지 않는 메모입니다."},
    "ENDPOINT_NOT_FOUND": {
        "en": "This endpoint does not exist any more.",
        "ko": "더 이상 존재하지 않는 엔드포인트입니다.",
    },
    "INCIDENT_NOT_FOUND": {"en": "This incident does not exist.", "ko": "존재하지 않는 장애입니다."},
    "WINDOW_NOT_FOUND": {"en": "This maintenance window does not exist.", "ko": "존재하지 않는 점검 시간입니다."},
    "WEBHOOK_NOT_FOUND": {"en": "This webhook does not exist.", "ko": "존재하지 않는 웹훅입니다."},
    "CONFLICT": {"en": "Somebody has changed this meanwhile.", "ko": "그사이 다른 사람이 변경했습니다."},
    "TOO_LARGE": {"en": "This is too large.", "ko": "크기가 너무 큽니다."},
    "RATE_LIMITED": {
        "en": "Too many messages. Please wait a moment.",
        "ko": "메시지가 너무 많습니다. 잠시 기다려 주세요.",
    },
    "ROOM_LIMIT": {"en": "Too many rooms on one connection.", "ko": "한 연결에서 참여할 수 있는 방의 수를 넘었습니다."},
    "SERVICE_UNAVAILABLE": {
        "en": "The service is away for a moment. Please try again.",
        "ko": "서비스를 잠시 사용할 수 없습니다. 다시 시도해 주세요.",
    },
    "INTERNAL": {"en": "Something went wrong on our side.", "ko": "서버에서 문제가 발생했습니다."},
}


def error_message(code: str, language: Language) -> str:
    """The sentence for an error code."""
    return ERROR_MESSAGES[code][language]


def error_answer(error: C2CError, language: Language) -> dict[str, Any]:
    """The `error` frame of the protocol."""
    return {
        "t": "error",
        "code": error.code,
        "message": error_message(error.code, language),
        "retryable": error.retryable,
        **error.details,
    }


def choose_language(query: str | None, accept_language: str | None) -> Language:
    """Pick a language from `?lang=`, else from `Accept-Language`, else English.

    `Accept-Language` is read by quality value (RFC 9110, section 12.5.4); unknown languages are passed over.
    """
    if query in ("en", "ko"):
        return "ko" if query == "ko" else "en"
    best: tuple[float, Language] = (0.0, "en")
    for item in (accept_language or "").split(","):
        tag, _, parameters = item.strip().partition(";")
        primary = tag.strip().split("-")[0].lower()
        if primary not in ("en", "ko"):
            continue
        quality = _quality(parameters)
        if quality > best[0]:
            best = (quality, "ko" if primary == "ko" else "en")
    return best[1]


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
