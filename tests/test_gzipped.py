"""What goes over the wire compressed, and what is left alone."""

import asyncio
import gzip
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from explorer.ui.gzipped import LEAST_BYTES, Gzipped

SCRIPT = b"let several = [1, 2, 3];\n" * 1000


class Files:
    """A server of one script, of whatever content it has now."""

    def __init__(self) -> None:
        self.content, self.tag = SCRIPT, "one"
        self._app = Gzipped(Starlette(routes=[Route("/{path:path}", self.answer)]))

    async def answer(self, request: Request) -> Response:
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304)
        return Response(self.content, media_type="text/javascript", headers={"etag": self.tag})

    def get(self, path: str, **headers: str) -> tuple[bytes, int, Headers]:
        """What comes over the wire, with the status and the headers."""
        asked = {"accept-encoding": "gzip, br", **headers}
        raw = [(name.encode(), value.encode()) for name, value in asked.items()]
        scope = {"type": "http", "method": "GET", "path": path, "headers": raw}
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self._app({**scope, "query_string": b""}, receive, send))
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return body, sent[0]["status"], Headers(raw=sent[0]["headers"])


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.mark.parametrize("path", ["/static/js/index.js", "/widget/panel.js", "/netron/index.js"])
def test_a_script_is_compressed(files: Files, path: str) -> None:
    sent, _, headers = files.get(path)
    assert gzip.decompress(sent) == SCRIPT
    assert len(sent) == int(headers["content-length"]) < len(SCRIPT) / 10
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "Accept-Encoding"
    assert headers["etag"] == "one"


@pytest.mark.parametrize(
    "path", ["/media/model.onnx", "/static/font.woff2", "/netron/model/a.json", "/index.js"]
)
def test_everything_else_is_left_alone(files: Files, path: str) -> None:
    sent, _, headers = files.get(path)
    assert sent == SCRIPT
    assert "content-encoding" not in headers


def test_who_takes_no_gzip_gets_none(files: Files) -> None:
    sent, _, headers = files.get("/static/index.js", **{"accept-encoding": "identity"})
    assert (sent, "content-encoding" in headers) == (SCRIPT, False)


def test_small_files_and_other_answers_pass(files: Files) -> None:
    files.content = b"x" * (LEAST_BYTES - 1)
    assert files.get("/static/index.js")[0] == files.content
    assert files.get("/static/index.js", **{"if-none-match": "one"})[1] == 304


def test_a_file_is_compressed_once_as_long_as_it_stays(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, really = [], gzip.compress

    def compress(body: bytes, level: int) -> bytes:
        made.append(level)
        return really(body, level)

    monkeypatch.setattr(gzip, "compress", compress)
    for _ in range(3):
        files.get("/static/index.js")
    assert len(made) == 1
    files.content, files.tag = SCRIPT + b"more", "two"
    assert gzip.decompress(files.get("/static/index.js")[0]) == SCRIPT + b"more"
    assert len(made) == 2
