"""Everything that can go wrong, as one tree; the same codes on the WebSocket and in REST.

C2CError
├── BadFrame            400   not a frame of the protocol (also REST: malformed body)
│   └── UnsupportedMedia 415
├── BadValue            422   a field holds what it must not
├── UnknownCommand      404   no such command, or not in this kind of room (also REST: no such path)
│   └── MethodNotAllowed 405
├── Unauthorized        401   token missing, invalid or expired
├── Forbidden           403   signed in, but not allowed
├── RoomNotFound        404   no such room, or one that may not be entered
├── NotAMember          403   join first
├── RoomExists          409
├── LineupNotFound      404   no such row in this line-up
├── MemoNotFound        404   no such memo, or it was deleted meanwhile
├── EndpointNotFound    404   no such endpoint, or it was deleted meanwhile
├── IncidentNotFound    404
├── WindowNotFound      404   no such maintenance window
├── WebhookNotFound     404
├── Conflict            409   somebody has changed it since; carries what it is now
├── TooLarge            413
├── RateLimited         429   carries retry_after_ms
├── RoomLimit           403   too many rooms on one connection
├── ServiceUnavailable  503   Redis is away, or the node is full or draining
└── Internal            500   a defect; details are in the node's log only
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar


class CloseCode(IntEnum):
    """WebSocket close codes (RFC 6455, section 7.4); 4000–4999 are the application's own.

    1012 and 4420 mean "come back"; 4400 and 4403 mean "stop"; 4401 means "get a new token first".
    """

    GOING_AWAY = 1001
    TOO_BIG = 1009
    SERVICE_RESTART = 1012
    BAD_FRAMES = 4400
    UNAUTHORIZED = 4401
    KICKED = 4403
    SIGN_IN_TIMEOUT = 4408
    SLOW_CONSUMER = 4420
    FLOOD = 4429


class C2CError(Exception):
    """An error that a client is told about.

    Arguments: `details` become extra fields of the `error` frame (wire names, JSON values).
    """

    code: ClassVar[str] = "INTERNAL"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, **details: Any) -> None:
        super().__init__(self.code, details)
        self.details = details

    @property
    def retry_after_ms(self) -> int | None:
        """How long to wait before trying again, where the error knows."""
        value = self.details.get("retryAfterMs")
        return value if isinstance(value, int) else None


class BadFrame(C2CError):
    code = "BAD_FRAME"
    http_status = 400


class UnsupportedMedia(BadFrame):
    http_status = 415


class BadValue(C2CError):
    code = "BAD_VALUE"
    http_status = 422


class UnknownCommand(C2CError):
    code = "UNKNOWN_COMMAND"
    http_status = 404


class MethodNotAllowed(UnknownCommand):
    http_status = 405


class Unauthorized(C2CError):
    code = "UNAUTHORIZED"
    http_status = 401


class Forbidden(C2CError):
    code = "FORBIDDEN"
    http_status = 403


class RoomNotFound(C2CError):
    code = "ROOM_NOT_FOUND"
    http_status = 404


class NotAMember(C2CError):
    code = "NOT_A_MEMBER"
    http_status = 403


class RoomExists(C2CError):
    code = "ROOM_EXISTS"
    http_status = 409


class LineupNotFound(C2CError):
    code = "LINEUP_NOT_FOUND"
    http_status = 404


class MemoNotFound(C2CError):
    code = "MEMO_NOT_FOUND"
    http_status = 404


class EndpointNotFound(C2CError):
    code = "ENDPOINT_NOT_FOUND"
    http_status = 404


class IncidentNotFound(C2CError):
    code = "INCIDENT_NOT_FOUND"
    http_status = 404


class WindowNotFound(C2CError):
    code = "WINDOW_NOT_FOUND"
    http_status = 404


class WebhookNotFound(C2CError):
    code = "WEBHOOK_NOT_FOUND"
    http_status = 404


class Conflict(C2CError):
    code = "CONFLICT"
    http_status = 409


class TooLarge(C2CError):
    code = "TOO_LARGE"
    http_status = 413


class RateLimited(C2CError):
    code = "RATE_LIMITED"
    http_status = 429
    retryable = True


class RoomLimit(C2CError):
    code = "ROOM_LIMIT"
    http_status = 403


class ServiceUnavailable(C2CError):
    code = "SERVICE_UNAVAILABLE"
    http_status = 503
    retryable = True


class Internal(C2CError):
    retryable = True
