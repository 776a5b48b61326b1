"""What `c2c serve` does around a node: listen, start the private Redis, say where everything is, run, clean up."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType
from typing import Any, Final

import jwt
import typer

from c2c import __version__
from c2c.app import NodeServer, create_server
from c2c.embedded import EmbeddedRedis, EmbeddedRedisError
from c2c.inspection import redis_cli, without_password
from c2c.settings import Settings
from c2c.workers import Workers, watch_lifeline

_BACKLOG: Final = 4096
_NODE_ID_MAX: Final = 64
_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class ServeError(Exception):
    """The server can't run; the text is for the person at the terminal. `exit_code`: 2 for wrong settings, else 1."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def serve(settings: Settings, workers: int) -> None:
    """Run one node, or several as workers, until SIGTERM or SIGINT. Raises ServeError.

    Without a Redis URL a private Redis runs meanwhile; it is stopped when the nodes have drained.
    """
    set_up_logging(settings)
    sockets = listen(settings.host, settings.port)
    settings = settings.model_copy(update={"port": sockets[0].getsockname()[1]})
    with ExitStack() as stack:
        for sock in sockets:
            stack.callback(sock.close)
        redis = None
        if not settings.redis_url:
            redis = _start_private_redis(settings, stack)
            settings = settings.model_copy(update={"redis_url": redis.url})
        server = make_server(settings)
        announce(settings, redis, workers)
        if workers == 1:
            run_node(server, sockets)
        else:
            Workers(sockets, [worker_environment(settings, index) for index in range(workers)]).run()


def serve_worker(settings: Settings, files: Sequence[int], lifeline: int) -> None:
    """One worker: a node on the sockets that the parent bound (`c2c.workers`). Raises ServeError."""
    set_up_logging(settings)
    watch_lifeline(lifeline)
    run_node(make_server(settings), [socket.socket(fileno=number) for number in files])


def run_node(server: NodeServer, sockets: list[socket.socket]) -> None:
    """Run a node until SIGTERM or SIGINT, then drain it and return."""

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn handles these itself while it runs, and raises them once more behind it. That must not kill us before the
    # private Redis is stopped; and a signal that comes before uvicorn is ready must not be lost.
    for number in _SIGNALS:
        signal.signal(number, stop)
    server.run(sockets)


def set_up_logging(settings: Settings) -> None:
    """The log goes to stderr; what is announced goes to stdout."""
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s [%(process)d] %(name)s %(message)s"
    )
    logging.getLogger("uvicorn.error").setLevel("WARNING")


def make_server(settings: Settings) -> NodeServer:
    """The server; settings that only show their error when used (a Redis URL, a key file) raise ServeError."""
    try:
        return create_server(settings)
    except (ValueError, OSError, jwt.PyJWTError) as error:
        raise ServeError(f"a setting can't be used: {error}", exit_code=2) from error


def listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address of the host; port 0 means any free one. Raises ServeError.

    They listen before anything else starts: a taken port shows at once, and whoever connects to the address that is
    announced waits a moment instead of being refused.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        missing: OSError | None = None
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                sockets.append(_listen_on(family, kind, protocol, (address[0], port, *address[2:])))
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                missing = error  # `localhost` is ::1 too on machines that have no IPv6
                continue
            port = sockets[0].getsockname()[1]
        if not sockets and missing is not None:
            raise missing
    except OSError as error:
        for sock in sockets:
            sock.close()
        if error.errno == errno.EADDRINUSE:
            raise ServeError(f"port {port} of {host} is in use: choose another with --port") from error
        raise ServeError(f"can't listen on {host}, port {port}: {error.strerror or error}") from error
    return sockets


def _listen_on(family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # else a restarted node would find its own closed connections in the way
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def worker_environment(settings: Settings, index: int) -> dict[str, str]:
    """What a worker is told: our environment, what the command line or the private Redis changed, its own node id."""
    suffix = f"-{index + 1}"
    return {
        **os.environ,
        "C2C_HOST": settings.host,
        "C2C_PORT": str(settings.port),
        "C2C_REDIS_URL": settings.redis_url or "",
        "C2C_AUTH": settings.auth,
        "C2C_LOG_LEVEL": settings.log_level,
        "C2C_NODE_ID": settings.node_id[: _NODE_ID_MAX - len(suffix)] + suffix,
    }


def announce(settings: Settings, redis: EmbeddedRedis | None, workers: int) -> None:
    """Say on stdout what runs where, in plain lines that scripts may look for."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    nodes = f"node {settings.node_id}" if workers == 1 else f"{workers} workers"
    typer.echo(f"c2c {__version__}, {nodes}: http://{host}:{settings.port} (WebSocket ws://{host}:{settings.port}/ws)")
    url = settings.redis_url or ""
    if redis is None:
        typer.echo(f"Redis: {without_password(url)}")
    else:
        kept = "kept across restarts" if redis.keeps_data else "lost at the end"
        typer.echo(f"Redis: a private one, {redis.flavour}; data in {redis.data_dir}, {kept}")
    typer.echo(f"Look into it: {redis_cli(url)}")
    if settings.auth == "dev":
        typer.secho(
            "WARNING: auth mode 'dev': EVERYBODY IS WHO THEY SAY THEY ARE, and an admin. Only this machine can connect;"
            " for others use --auth jwt.",
            fg=typer.colors.YELLOW,
            bold=True,
        )
    sys.stdout.flush()


def _start_private_redis(settings: Settings, stack: ExitStack) -> EmbeddedRedis:
    try:
        return stack.enter_context(EmbeddedRedis(settings.data_dir))
    except EmbeddedRedisError as error:
        raise ServeError(str(error)) from error
