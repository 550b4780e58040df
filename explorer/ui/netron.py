"""Netron, served from its installed package on the app's own port.

`netron.start` shares one model among all visitors, asks the internet for the visitor's country and
stops half a year after its release; the page served here lacks the version and date that do this.
A model is reached by a random token only, and a strict policy keeps the pages from loading anything
from elsewhere.
"""

import re
import secrets
from collections import OrderedDict
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".ico": "image/x-icon",
    ".png": "image/png",
}
MOST_TOKENS = 512
ITS_DARK, DARK = "#404040", "#1b212b"

_models: "OrderedDict[str, Path]" = OrderedDict()
_lock = Lock()


def publish(path: Path) -> str:
    """Make a model file readable for whoever knows the token; the oldest tokens end."""
    token = secrets.token_urlsafe(24)
    with _lock:
        _models[token] = path
        while len(_models) > MOST_TOKENS:
            _models.popitem(last=False)
    return token


def is_published(token: str) -> bool:
    """Whether a token still opens its model."""
    return token in _models


def withdraw(token: str) -> None:
    """End a token."""
    with _lock:
        _models.pop(token, None)


def viewer_url(token: str, name: str) -> str:
    """The address of the viewer with that model, relative to the app."""
    return f"/netron/index.html?url=/netron/model/{token}&identifier={quote(name, safe='')}"


async def model(request: Request) -> Response:
    """The bytes of a published model."""
    path = _models.get(request.path_params["token"])
    if path is None or not path.is_file():
        return Response(status_code=404)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


async def asset(request: Request) -> Response:
    """A file of the viewer."""
    name = request.path_params["name"]
    path = _root() / name
    if not re.fullmatch(r"[\w-]+\.\w+", name) or path.suffix not in TYPES or not path.is_file():
        return Response(status_code=404)
    content = _index() if name == "index.html" else path.read_bytes()
    response = Response(content, media_type=TYPES[path.suffix])
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "max-age=3600"
    if name == "index.html":
        response.headers["Cache-Control"] = "no-store"
        response.set_cookie("consent", "1", path="/netron", samesite="lax")
    return response


ROUTES = [Route("/netron/model/{token}", model), Route("/netron/{name}", asset)]


@cache
def _root() -> Path:
    spec = find_spec("netron")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


@cache
def _index() -> bytes:
    """Its page without a version (turns analytics off) and without a date (it never expires).

    Where it is dark, it is as dark as the app's own surfaces.
    """
    html = (_root() / "index.html").read_text(encoding="utf-8")
    html = re.sub(
        r'<meta name="version" content="[^"]*">', '<meta name="version" content="0.0.0">', html
    )
    html = re.sub(r'<meta name="date" content="[^"]*">', "", html)
    return html.replace(f"background-color: {ITS_DARK};", f"background-color: {DARK};").encode()
