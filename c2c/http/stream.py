"""`GET /api/stream`: rooms as server-sent events, where WebSockets are blocked.

The stream is a connection as a WebSocket is: same sign-in, same joining and resuming, same frames, one per event.
Commands go by `POST /api/rooms/{roomId}/events`, to any node: nothing ties the two together, so no load balancer needs
sticky sessions. Another set of rooms is another stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import anyio
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from c2c.auth import Principal
from c2c.codec import SUBPROTOCOL_JSON
from c2c.connection import Connection
from c2c.errors import C2CError
from c2c.events import RoomId, Since
from c2c.http.envelope import bad_value, caller, language_of, node_of
from c2c.messages import Language, error_answer
from c2c.node import Node
from c2c.outbox import Framing, QueueOutbox

_HEARTBEAT_S: Final = 10
_SEND_TIMEOUT_S: Final = 30


class StreamRoom(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    roomId: RoomId
    since: Since | None = None


_ROOMS: Final[TypeAdapter[list[StreamRoom]]] = TypeAdapter(Annotated[list[StreamRoom], Field(min_length=1)])


async def stream(request: Request) -> Response:
    """`GET /api/stream?rooms=[{roomId, since?}]`: `joined` or `error` for each room, then everything, until the client
    goes. The last frame before the server ends it is `closing {code, reason}`, with the codes of the WebSocket."""
    node = node_of(request)
    principal = await caller(request)
    try:
        rooms = _ROOMS.validate_json(request.query_params.get("rooms", ""))
    except ValidationError as wrong:
        raise bad_value(wrong, "rooms") from None
    if refusal := node.refusal():
        raise refusal
    connection = Connection(node)
    outbox = QueueOutbox(
        node.encodings[SUBPROTOCOL_JSON, Framing.STREAM], node.settings.outbox_bytes, connection.too_slow
    )
    connection.outbox = outbox
    return EventSourceResponse(
        _frames(node, connection, principal, outbox, rooms, language_of(request)),
        ping=_HEARTBEAT_S,
        send_timeout=_SEND_TIMEOUT_S,
        # The node drains streams as it drains WebSockets; the response must not cut them off before that.
        shutdown_event=anyio.Event(),
        shutdown_grace_period=node.settings.drain_s,
    )


async def _frames(
    node: Node,
    connection: Connection,
    principal: Principal,
    outbox: QueueOutbox,
    rooms: list[StreamRoom],
    language: Language,
) -> AsyncIterator[bytes]:
    """The stream's life; its end, whatever the reason, is the connection's."""
    node.enter(connection)
    try:
        connection.sign_in(principal)
        for room in rooms:
            try:
                await connection.join(room.roomId, room.since, None)
            except C2CError as error:
                answer = {**error_answer(error, language), "roomId": room.roomId}
                outbox.offer([outbox.encoding.encode_message(answer)])
        async for frame in outbox.frames():
            yield frame
        if outbox.closing is not None:
            code, reason = outbox.closing
            closing: dict[str, Any] = {"t": "closing", "code": int(code), "reason": reason}
            yield outbox.encoding.encode_message(closing)
    finally:
        # When the client goes, the response cancels everything in its scope, again and again: goodbyes need a shield.
        with anyio.CancelScope(shield=True):
            try:
                await connection.end()
            finally:
                node.exit(connection)


routes = [Route("/api/stream", stream, methods=["GET"])]
