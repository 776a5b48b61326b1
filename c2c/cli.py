"""The command line: `c2c serve`, and what operators and curious people need beside it."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from c2c import inspection, lineup_upload, serving, terminal
from c2c.auth import mint_token
from c2c.client import ClientError
from c2c.embedded import EmbeddedRedisError, find_running
from c2c.errors import C2CError, Unauthorized
from c2c.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A Redis-first collaborative room server. Every setting is also a variable, C2C_HOST for --host.",
)

RedisUrl = Annotated[
    str | None, typer.Option("--redis-url", help="Redis to use; without one, a private one.", show_default=False)
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the private Redis keeps its data.")]
Url = Annotated[str, typer.Option("--url", envvar="C2C_URL", help="WebSocket address of a node.")]
TokenText = Annotated[
    str | None,
    typer.Option("--token", envvar="C2C_TOKEN", help="Token; in auth mode dev a user id, by default yours."),
]
RoomId = Annotated[str, typer.Argument(metavar="ROOM")]

_LOCAL_URL = "ws://127.0.0.1:8080/ws"


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any.", show_default="8080")] = None,
    redis_url: RedisUrl = None,
    workers: Annotated[int, typer.Option(min=1, max=64, envvar="C2C_WORKERS", help="Nodes, a process each.")] = 1,
    auth: Annotated[str | None, typer.Option(help="dev (loopback only) or jwt.", show_default="dev")] = None,
    data_dir: DataDir = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default="info")] = None,
) -> None:
    """Run a node, or several as workers, until SIGTERM or Ctrl+C."""
    settings = read_settings(
        host=host, port=port, redis_url=redis_url, auth=auth, data_dir=data_dir, log_level=log_level
    )
    try:
        serving.serve(settings, workers)
    except serving.ServeError as error:
        fail(str(error), error.exit_code)


@app.command(hidden=True)
def serve_worker(
    fd: Annotated[list[int], typer.Option(help="Listening sockets that the parent bound.")],
    lifeline: Annotated[int, typer.Option(help="Reading end of a pipe that ends with the parent.")],
) -> None:
    """One worker of `c2c serve --workers`; not for people."""
    try:
        serving.serve_worker(read_settings(), fd, lifeline)
    except serving.ServeError as error:
        fail(str(error), error.exit_code)


@app.command()
def token(
    user: Annotated[str, typer.Argument(metavar="USER", help="User id.")],
    name: Annotated[str | None, typer.Option(help="Name for people.")] = None,
    ttl: Annotated[int, typer.Option(min=1, help="Seconds for which it is good.")] = 3600,
    room: Annotated[list[str] | None, typer.Option(help="Room that it opens, or 'prefix*'; none: all.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="With role admin.")] = False,
    viewer: Annotated[bool, typer.Option("--viewer", help="With role viewer: sees line-ups, edits none.")] = False,
) -> None:
    """Mint a token (HS256 with C2C_JWT_SECRET)."""
    if admin and viewer:
        fail("a token has one role: --admin or --viewer", 2)
    settings = read_settings(auth="jwt")
    if settings.jwt_algorithm != "HS256" or settings.jwt_secret is None:
        fail(f"tokens for {settings.jwt_algorithm} are minted by who has the private key, not here", 2)
    try:
        typer.echo(
            mint_token(
                settings.jwt_secret, user, name=name, ttl_s=ttl, rooms=room or None, admin=admin, viewer=viewer,
                issuer=settings.jwt_issuer, audience=settings.jwt_audience,
            )
        )  # fmt: skip
    except Unauthorized:
        fail(f"{user!r} is no user id: 1 to 64 letters, digits and . _ - @", 2)


@app.command()
def rooms(
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Rooms at most.")] = 1000,
) -> None:
    """Show the rooms that Redis holds."""

    async def show(settings: Settings) -> None:
        async with inspection.open_redis(settings) as redis:
            await inspection.show_rooms(redis, inspection.make_console(), limit)

    look(show(redis_settings(redis_url, data_dir)))


@app.command()
def inspect(room: RoomId, redis_url: RedisUrl = None, data_dir: DataDir = None) -> None:
    """Show all that Redis holds of a room, and the redis-cli commands that show it."""

    async def show(settings: Settings) -> None:
        async with inspection.open_redis(settings) as redis:
            await inspection.show_room(redis, inspection.make_console(), room)

    look(show(redis_settings(redis_url, data_dir)), room)


@app.command()
def tail(room: RoomId, url: Url = _LOCAL_URL, token: TokenText = None) -> None:
    """Follow a room: one event a line, as JSON."""
    talk(terminal.tail(url, token or getpass.getuser(), room))


@app.command()
def chat(
    room: RoomId,
    url: Url = _LOCAL_URL,
    token: TokenText = None,
    name: Annotated[str | None, typer.Option(help="Who you are, in auth mode dev.")] = None,
    create: Annotated[bool, typer.Option("--create", help="Open the room if it is not there.")] = False,
) -> None:
    """Chat in a room. /quit or Ctrl+D ends it."""
    talk(terminal.chat(url, token or name or getpass.getuser(), room, create=create))


@app.command()
def import_lineup(
    retreat: Annotated[str, typer.Argument(metavar="RETREAT", help="The line-up is the room retreat-RETREAT.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV (UTF-8 or CP949), or .json.")],
    url: Url = _LOCAL_URL,
    token: TokenText = None,
) -> None:
    """Take a table over into a retreat's line-up; known rows keep group and memos. Needs role admin."""
    try:
        typer.echo(lineup_upload.upload(url, token or getpass.getuser(), retreat, file))
    except lineup_upload.UploadError as error:
        fail(str(error))


def read_settings(**given: Any) -> Settings:
    """The settings, from the variables and what was given. What is wrong is said, a line each; exit code 2."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as wrong:
        for error in wrong.errors():
            name = ".".join(str(part) for part in error["loc"])
            message = error["msg"].removeprefix("Value error, ")
            typer.echo(f"c2c: C2C_{name.upper()}: {message}" if name else f"c2c: {message}", err=True)
    except SettingsError as wrong:
        typer.echo(f"c2c: {wrong}", err=True)
    raise typer.Exit(2)


def redis_settings(redis_url: str | None, data_dir: Path | None) -> Settings:
    """Settings for looking into Redis: the given one, else the private one of a c2c that runs."""
    # Who may connect to a node is not asked here, so its settings need not be right.
    settings = read_settings(redis_url=redis_url, data_dir=data_dir, auth="dev", host="127.0.0.1")
    if settings.redis_url:
        return settings
    try:
        found = find_running(settings.data_dir)
    except EmbeddedRedisError as error:
        fail(str(error))
    if found is None:
        fail("no c2c with a private Redis runs here: say which Redis with --redis-url")
    return settings.model_copy(update={"redis_url": found})


def look(work: Coroutine[Any, Any, None], room: str = "") -> None:
    """Run a look into Redis; errors are one line."""
    try:
        asyncio.run(work)
    except C2CError as error:
        fail(inspection.explain(error, room))
    except (inspection.RedisAway, ValueError) as error:
        fail(str(error))


def talk(work: Coroutine[Any, Any, None]) -> None:
    """Run a terminal client; errors are one line."""
    try:
        terminal.run(work)
    except (ClientError, terminal.ChatError) as error:
        fail(str(error))


def fail(text: str, code: int = 1) -> NoReturn:
    """Say what is wrong on stderr and end."""
    typer.echo(f"c2c: {text}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Entry point of the `c2c` command."""
    app(prog_name="c2c")
