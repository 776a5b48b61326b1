"""Pages and static files, from `c2c/web`.

Files have two addresses. `/static/<version>/…` never changes and is kept by browsers for good; pages refer to it, and
so do modules, since they import each other relatively. `/static/…` is for people who load the SDK by hand and is asked
for anew each time. Pages are never kept without asking, so a new version of the server is a new version of the page.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from c2c import __version__
from c2c.errors import UnknownCommand
from c2c.http.envelope import node_of, success

# Named here and not asked of the system: there, what `.js` is depends on the registry and on installed packages.
_MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}
_COMPRESSED: Final = frozenset({".js", ".ts", ".css", ".html", ".svg", ".json", ".webmanifest"})
_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_SCRIPT: Final = re.compile(rb'<script type="module" src="/static/([^"]+)"></script>')
_IMPORTED: Final = re.compile(rb"(?:\bfrom|^import) '(\.[^']+)'", re.MULTILINE)
_COMMENT: Final = re.compile(rb"/\*.*?\*/", re.DOTALL)
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_FIRST: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class _File:
    media_type: str
    body: bytes
    zipped: bytes | None
    etag: str


@dataclass(frozen=True, slots=True)
class _Site:
    """`version`: the package's and a digest of all files. `files`: by path, ready to send."""

    version: str
    files: dict[str, _File]


@cache
def _site() -> _Site:
    """The web folder, read once: it is small and never changes while we run."""
    root = files("c2c") / "web"
    sources = {path: entry.read_bytes() for path, entry in _walk(root, "")} if root.is_dir() else {}
    digest = hashlib.sha256(b"".join(path.encode() + body for path, body in sorted(sources.items()))).hexdigest()
    version = f"{__version__}-{digest[:8]}"
    return _Site(version, {path: _prepare(path, _hurried(path, sources), version) for path in sources})


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _walk(entry, f"{path}/")
        elif _suffix(path) in _MEDIA_TYPES:
            found.append((path, entry))
    return found


def _hurried(path: str, sources: dict[str, bytes]) -> bytes:
    """A file as it is; a page with links to all modules that its own module leads to: a browser would else find out by
    reading one after the other, a round trip for each step."""
    body = sources[path]
    script = _SCRIPT.search(body) if path.endswith(".html") else None
    if script is None:
        return body
    found = [script[1].decode()]
    for module in found:  # grows meanwhile
        for name in _IMPORTED.findall(_COMMENT.sub(b"", sources.get(module, b""))):
            imported = posixpath.normpath(posixpath.join(posixpath.dirname(module), name.decode()))
            if imported not in found:
                found.append(imported)
    links = "".join(f'\n    <link rel="modulepreload" href="/static/{module}">' for module in found[1:])
    return body[: script.end()] + links.encode() + body[script.end() :]


def _suffix(path: str) -> str:
    return path[path.rfind(".") :]


def _prepare(path: str, body: bytes, version: str) -> _File:
    suffix = _suffix(path)
    if suffix == ".html":
        body = body.replace(b"/static/", f"/static/{version}/".encode())
    zipped = gzip.compress(body, mtime=0) if suffix in _COMPRESSED else None
    return _File(_MEDIA_TYPES[suffix], body, zipped, f'W/"{hashlib.sha256(body).hexdigest()[:16]}"')


def _send(request: Request, path: str, cache_control: str) -> Response:
    file = _site().files.get(path)
    if file is None:
        raise UnknownCommand()
    headers = {**_SECURITY, "Cache-Control": cache_control, "ETag": file.etag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    body = file.body
    if file.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        body = file.zipped
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers={**headers, "Content-Type": file.media_type})


async def static(request: Request) -> Response:
    """`GET /static/…`, with or without the version."""
    path = request.path_params["path"]
    version, _, rest = path.partition("/")
    if version == _site().version:
        return _send(request, rest, _FOR_EVER)
    return _send(request, path, _ASK_FIRST)


async def landing(request: Request) -> Response:
    """`GET /`: create or join a room."""
    return _send(request, "index.html", _ASK_FIRST)


async def chat(request: Request) -> Response:
    """`GET /chat/{roomId}`: the page finds out by itself whether the room exists."""
    return _send(request, "chat.html", _ASK_FIRST)


async def online(request: Request) -> Response:
    """`GET /online`: everybody who is there."""
    return _send(request, "online.html", _ASK_FIRST)


async def lineup(request: Request) -> Response:
    """`GET /lineup/{retreatSlug}`: one retreat's table; the page finds out by itself whether there is one."""
    return _send(request, "lineup.html", _ASK_FIRST)


async def monitor(request: Request) -> Response:
    """`GET /monitor`: all that is checked, and how it does."""
    return _send(request, "monitor.html", _ASK_FIRST)


async def endpoint(request: Request) -> Response:
    """`GET /monitor/{endpointId}`: one endpoint; the page finds out by itself whether there is one."""
    return _send(request, "endpoint.html", _ASK_FIRST)


async def status(request: Request) -> Response:
    """`GET /status`: how everything does, for strangers; its route is in `c2c.http.status`."""
    return _send(request, "status.html", _ASK_FIRST)


async def config(request: Request) -> Response:
    """`GET /api/config`: what a page must know before anybody has signed in."""
    return success({"auth": node_of(request).settings.auth, "version": _site().version})


routes = [
    Route("/", landing, methods=["GET"]),
    Route("/chat/{room_id}", chat, methods=["GET"]),
    Route("/online", online, methods=["GET"]),
    Route("/lineup/{retreat_slug}", lineup, methods=["GET"]),
    Route("/monitor", monitor, methods=["GET"]),
    Route("/monitor/{endpoint_id}", endpoint, methods=["GET"]),
    Route("/static/{path:path}", static, methods=["GET"]),
    Route("/api/config", config, methods=["GET"]),
]
