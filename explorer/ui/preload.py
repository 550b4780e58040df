"""Scripts that every page needs are named with the page, before its own script asks for them."""

from functools import cache
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from explorer.ui.panel import SCRIPT

CHUNKS = ("BidiComponent", "Html", "Selectbox")  # Streamlit's own, that it loads when it draws them


class Preload:
    """An ASGI middleware that adds the names to Streamlit's own page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let everything pass."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                is_page = headers.get("content-type", "").startswith("text/html")
                if is_page and not scope["path"].startswith("/netron/"):
                    headers["Link"] = links()
            await send(message)

        await self.app(scope, receive, sending)


@cache
def links() -> str:
    """The header: scripts as modules, to be fetched at once."""
    static = Path(streamlit.__file__).parent / "static"
    chunks = [
        path for name in CHUNKS for path in sorted((static / "static/js").glob(f"{name}.*.js"))
    ]
    found = [SCRIPT, *(f"/{path.relative_to(static)}" for path in chunks)]
    return ", ".join(f"<{path}>; rel=modulepreload" for path in found)
