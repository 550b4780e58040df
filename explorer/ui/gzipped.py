"""Scripts and styles go over the wire compressed; Streamlit sends them as they are.

Each file is compressed once and kept, as a whole class may come at the same moment. What people
upload and download is left alone: it is large, and mostly dense already.
"""

import gzip
from dataclasses import dataclass
from pathlib import PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDERS = ("/static/", "/widget/", "/netron/")
SUFFIXES = (".js", ".css", ".svg", ".html", ".json")
LEAST_BYTES = 1000
LEVEL = 6


@dataclass(frozen=True)
class _Kept:
    """A compressed file, and a tag that changes with the original."""

    tag: str
    body: bytes


class Gzipped:
    """An ASGI middleware that answers with compressed files where the browser takes them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: dict[str, _Kept] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Compress a file, or let everything else pass."""
        answer: list[Message] = []
        compressing = _may_compress(scope)
        await self.app(scope, receive, _collect(answer) if compressing else send)
        if compressing:
            await self._send(scope["path"], answer, send)

    async def _send(self, path: str, answer: list[Message], send: Send) -> None:
        start, body = answer[0], b"".join(each.get("body", b"") for each in answer[1:])
        headers = MutableHeaders(raw=start["headers"])
        plain = start["status"] == 200 and "content-encoding" not in headers
        if plain and len(body) >= LEAST_BYTES:
            tag = f"{headers.get('etag', '')} {len(body)}"
            kept = self._kept.get(path)
            if kept is None or kept.tag != tag:
                kept = _Kept(tag, await run_in_threadpool(gzip.compress, body, LEVEL))
                self._kept[path] = kept
            body = kept.body
            headers["Content-Encoding"] = "gzip"
            headers["Content-Length"] = str(len(body))
            headers.add_vary_header("Accept-Encoding")
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})


def _may_compress(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    path, asked = scope["path"], Headers(scope=scope)
    return (
        path.startswith(FOLDERS)
        and not path.startswith("/netron/model/")
        and PurePosixPath(path).suffix in SUFFIXES
        and "gzip" in asked.get("accept-encoding", "")
        and "range" not in asked
    )


def _collect(answer: list[Message]) -> Send:
    async def collect(message: Message) -> None:
        if message["type"] in ("http.response.start", "http.response.body"):
            answer.append(message)

    return collect
