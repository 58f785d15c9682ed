"""The web console: the files of ``console/``, as they are."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import azure.functions as func

from functions.exchange import answering, takes_gzip
from shared.errors import NotFound
from shared.roles import Principal, Role

bp = func.Blueprint()

FOLDER = Path(__file__).parent.parent / "console"

_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_COMPRESSIBLE = frozenset({".html", ".css", ".js", ".svg"})

_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Asset:
    """A file of the console; *compressed* is None where that would not make it smaller."""

    content: bytes
    compressed: bytes | None
    media_type: str
    etag: str


@bp.function_name("serve_console")
@bp.route("console/{*path}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@answering(Role.VIEWER)
def serve_console(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Return a file of the console; browsers keep it and ask whether it is still the same."""
    if urlsplit(req.url).path == "/console":  # relative addresses need the slash
        return func.HttpResponse(status_code=308, headers={"Location": "/console/"})
    asset = read_assets().get(req.route_params.get("path") or "index.html")
    if asset is None:
        raise NotFound("The console has no such file.")
    headers = {**_HEADERS, "Cache-Control": "private, no-cache", "ETag": asset.etag}
    if asset.etag in req.headers.get("if-none-match", ""):
        return func.HttpResponse(status_code=304, headers=headers)
    content = asset.content
    if asset.compressed and takes_gzip(req):
        content = asset.compressed
        headers["Content-Encoding"] = "gzip"
    # The type comes as a header: as an argument it would lose its charset.
    return func.HttpResponse(content, headers={**headers, "Content-Type": asset.media_type})


@cache
def read_assets() -> Mapping[str, Asset]:
    """Return the console's files by path. What is not among them cannot be asked for."""
    return {
        path.relative_to(FOLDER).as_posix(): _read(path)
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in _TYPES
    }


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(
        content=content,
        compressed=gzip.compress(content, mtime=0) if path.suffix in _COMPRESSIBLE else None,
        media_type=_TYPES[path.suffix],
        etag=f'"{hashlib.sha256(content).hexdigest()[:20]}"',
    )
