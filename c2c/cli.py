"""The command line: `c2c serve` and what an operator needs beside it."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from c2c.app import create_server
from c2c.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A Redis-first collaborative room server.")


@app.callback()
def _root() -> None:
    """A Redis-first collaborative room server."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    redis_url: Annotated[str | None, typer.Option(help="Redis to use; without one, a private one is started.")] = None,
    auth: Annotated[str | None, typer.Option(help="dev (loopback only) or jwt.")] = None,
) -> None:
    """Run one node."""
    given: dict[str, Any] = {"host": host, "port": port, "redis_url": redis_url, "auth": auth}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as wrong:
        for error in wrong.errors():
            typer.echo(f"c2c: {'.'.join(map(str, error['loc']))} {error['msg']}", err=True)
        raise typer.Exit(2) from None
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn.error").setLevel("WARNING")
    create_server(settings).run()


def main() -> None:
    """Entry point of the `c2c` command."""
    app()
