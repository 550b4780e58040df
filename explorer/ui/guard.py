"""In front of Streamlit: who may connect, how much may be uploaded, and what a browser may load.

Streamlit limits single files only, and takes any number of them from any page; it checks the origin
of a WebSocket by asking a server on the internet for its own address; and it sends no policy.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from explorer.workspace.folders import ALL_BYTES, SESSION_BYTES, SESSION_FILES, storage

UPLOAD = re.compile(r".*/_stcore/upload_file/([^/]+)/([^/]+)")
PRIVATE = ("/_stcore/metrics", "/_stcore/agent")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
FRAME_BYTES = 2**16  # around a file in an upload's body

NO_HOST = "This server doesn't answer to this host name; add it to server.allowedHosts."
NO_ORIGIN = "Requests from other sites are refused."
NO_LENGTH = "An upload must state its Content-Length."
FULL = "The limit for uploads is reached."


class Guard:
    """An ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._coming: Counter[str] = Counter()  # bytes on their way, by Streamlit's session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or let pass and add the headers."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        refusal = _refusal(scope)
        if refusal is not None:
            return await _refuse(scope, receive, send, *refusal)
        if scope["type"] == "websocket":
            return await self.app(scope, receive, send)
        upload = UPLOAD.fullmatch(scope["path"])
        answer = _with_headers(send)
        if upload is None or scope["method"] != "PUT":
            return await self.app(scope, receive, answer)
        return await self._take(upload[1], scope, receive, answer)

    async def _take(self, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an upload pass if there is room for its Content-Length."""
        said = Headers(scope=scope).get("content-length", "")
        if not said.isdecimal():
            return await PlainTextResponse(NO_LENGTH, 411)(scope, receive, send)
        size = int(said)
        if not self._has_room(session, size):
            return await PlainTextResponse(FULL, 413)(scope, receive, send)
        self._coming[session] += size
        try:
            await self.app(scope, receive, send)
        finally:
            self._coming -= Counter({session: size})

    def _has_room(self, session: str, size: int) -> bool:
        kept = held_in_memory()
        own = [*kept.get(session, {}).values(), self._coming[session], size]
        everything = sum(sum(each.values()) for each in kept.values()) + self._coming.total()
        return (
            sum(own) <= SESSION_BYTES + FRAME_BYTES
            and len(kept.get(session, {})) < SESSION_FILES
            and everything + size + storage().used_bytes <= ALL_BYTES
        )


def held_in_memory() -> Mapping[str, Mapping[str, int]]:
    """Bytes of the uploads that Streamlit holds, by its session and file."""
    files = runtime.get_instance().uploaded_file_mgr.file_storage  # type: ignore[attr-defined]
    return {
        session: {name: len(file.data) for name, file in list(own.items())}
        for session, own in list(files.items())
    }


@cache
def headers() -> Mapping[str, str]:
    """The headers of every response that doesn't set them itself."""
    policy = {
        "default-src": "'self'",
        "script-src": " ".join(["'self'", "blob:", *_inline_scripts()]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "frame-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'self'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "SAMEORIGIN",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _inline_scripts() -> list[str]:
    """The hashes of the scripts that stand in Streamlit's own page."""
    page = Path(streamlit.__file__).parent / "static" / "index.html"
    scripts = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    return [f"'sha256-{digest.decode()}'" for digest in digests]


def _refusal(scope: Scope) -> tuple[int, str] | None:
    given = Headers(scope=scope)
    host, origin = given.get("host"), given.get("origin")
    if not is_host_allowed(host):
        return 421, NO_HOST
    is_safe = scope["type"] == "http" and scope["method"] in SAFE_METHODS
    if origin is not None and not is_safe and urlsplit(origin).netloc != host:
        return 403, NO_ORIGIN
    if scope["path"].startswith(PRIVATE):
        return 404, "There is nothing here."
    return None


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
    else:
        await PlainTextResponse(reason, status)(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer = MutableHeaders(scope=message)
            for name, value in headers().items():
                answer.setdefault(name, value)
        await send(message)

    return sending
