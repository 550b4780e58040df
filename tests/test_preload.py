"""What the page names for the browser to fetch at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import streamlit
from starlette.datastructures import Headers

from explorer.ui.panel import SCRIPT
from explorer.ui.preload import CHUNKS, Preload, links


def answer(path: str, kind: str) -> Headers:
    """What the middleware makes of an answer of that kind."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Preload(app)({"type": "http", "path": path}, receive, send))
    return Headers(raw=sent[0]["headers"])


@pytest.mark.parametrize("path", ["/", "/layers", "/export"])
def test_every_page_names_its_scripts(path: str) -> None:
    assert answer(path, "text/html; charset=utf-8")["link"] == links()


@pytest.mark.parametrize(
    ("path", "kind"), [("/static/js/a.js", "text/javascript"), ("/netron/index.html", "text/html")]
)
def test_nothing_else_does(path: str, kind: str) -> None:
    assert "link" not in answer(path, kind)


def test_what_is_named_is_there() -> None:
    named = [part.split(">")[0].strip(" <") for part in links().split(",")]
    assert named[0] == SCRIPT
    assert len(named) == len(CHUNKS) + 1
    static = Path(streamlit.__file__).parent / "static"
    assert all((static / path.lstrip("/")).is_file() for path in named[1:])
