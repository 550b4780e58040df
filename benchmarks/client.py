"""A visitor without a browser: speaks to the server as Streamlit's front end does.

It sets widgets by their label, runs the page, follows `run_every` for as long as that is asked for,
and drops files into the upload box. What comes back stands in `page`.
"""

import asyncio
import contextlib
import json
import time
import urllib.request
import uuid
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urljoin, urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileUploaderState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from benchmarks.page import Page
from explorer.recipe import Recipe

XSRF = "_streamlit_xsrf"
PATIENCE_S = 60.0
LARGEST_MESSAGE = 2**26
CUT_SHORT = ForwardMsg.FINISHED_EARLY_FOR_RERUN
FULL_ENDS = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)

Watcher = Callable[[Page], None]


class Visitor:
    """One open tab; `watch` is called with the page whenever a run has ended."""

    def __init__(self, address: str, watch: Watcher = lambda _: None) -> None:
        self.page = Page()
        self.polls = 0  # runs of a fragment that `run_every` asked for
        self.runs = 0  # of any kind, that have ended
        self._address = address
        self._watch = watch
        self._xsrf = ""
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._timers: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._ended = asyncio.Condition()
        self._is_cut_off = False
        self._full_runs = 0
        self._urls: asyncio.Future[Any] | None = None

    async def open(self) -> float:
        """Connect and run the page for the first time; seconds until it has ended."""
        started = time.perf_counter()
        health = urljoin(self._address, "_stcore/health")
        cookie = await asyncio.to_thread(_cookie, health)
        self._xsrf = cookie.removeprefix(f"{XSRF}=")
        self._socket = await connect(
            urljoin(self._address.replace("http", "ws", 1), "_stcore/stream"),
            origin=Origin(self._address.rstrip("/")),
            subprotocols=[Subprotocol("streamlit"), Subprotocol(self._xsrf)],
            additional_headers={"Cookie": cookie},
            max_size=LARGEST_MESSAGE,
            compression=None,
            open_timeout=PATIENCE_S,
        )
        self._reader = asyncio.create_task(self._read())
        await self._send_run()
        await self._until(lambda: self._full_runs > 0, "the first look")
        return time.perf_counter() - started

    async def close(self) -> None:
        """Leave, as by closing the tab."""
        self._stop_timers()
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            with contextlib.suppress(Exception):
                await self._reader

    async def move(self, label: str, value: Any) -> None:
        """Change a widget, and don't wait for what comes of it."""
        state = self.page.state(label, value)
        self.page.states[state.id] = state
        await self._send_run()

    async def choose(self, recipe: Recipe) -> float:
        """Let the panel go at a recipe; seconds until the run that shows it so has ended."""
        started = time.perf_counter()
        number = await self.slide(recipe)
        await self._until(lambda: self._has_seen(number), "the panel")
        return time.perf_counter() - started

    def _has_seen(self, number: int) -> bool:
        panel = self.page.panel
        return panel is not None and panel["seen"] >= number

    async def slide(self, recipe: Recipe) -> int:
        """Let the panel go at a recipe, and don't wait; the number of the choice."""
        state, fragment = self.page.choice(recipe)
        self.page.states[state.id] = state
        await self._send_run(fragment, by_itself=False)
        number: int = json.loads(state.json_value)["choice"]["number"]
        return number

    async def drop(self, label: str, name: str, content: bytes) -> None:
        """Drop a file into the upload box with this label."""
        assert self._socket is not None
        self._urls = asyncio.get_running_loop().create_future()
        ask = BackMsg()
        ask.file_urls_request.request_id = uuid.uuid4().hex
        ask.file_urls_request.file_names.append(name)
        ask.file_urls_request.session_id = self.page.session
        await self._socket.send(ask.SerializeToString())
        (urls,) = (await asyncio.wait_for(self._urls, PATIENCE_S)).file_urls
        url = urljoin(self._address, urls.upload_url)
        await asyncio.to_thread(_put, url, name, content, self._xsrf)
        uploaded = FileUploaderState()
        uploaded.uploaded_file_info.add(
            name=name, size=len(content), file_id=urls.file_id, file_urls=urls
        )
        before = self._full_runs
        await self.move(label, uploaded)
        await self._until(lambda: self._full_runs > before, "an upload")

    async def wait_for(
        self, is_so: Callable[[Page], bool], what: str, timeout_s: float = PATIENCE_S
    ) -> None:
        """Wait until the page, after some run, is as wanted.

        Raises:
            TimeoutError: it hasn't become so in time.
        """
        await self._until(lambda: is_so(self.page), what, timeout_s)

    async def _until(
        self, done: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S
    ) -> None:
        async def waiting() -> None:
            async with self._ended:
                await self._ended.wait_for(lambda: self._is_cut_off or done())

        try:
            await asyncio.wait_for(waiting(), timeout_s)
        except TimeoutError:
            asked = f"There was no answer to {what} in {timeout_s:.0f} s"
            raise TimeoutError(f"{asked}; the page says {self.page.shown}.") from None
        if self._is_cut_off:
            raise ConnectionError("The server has closed the connection.")

    async def _send_run(self, fragment: str = "", by_itself: bool = True) -> None:
        assert self._socket is not None
        message = BackMsg()
        run = message.rerun_script
        run.widget_states.widgets.extend(self.page.states.values())
        run.page_script_hash = self.page.hash
        run.fragment_id, run.is_auto_rerun = fragment, bool(fragment) and by_itself
        run.cached_message_hashes.extend(self.page.cached)
        run.context_info.url = self._address
        run.context_info.timezone, run.context_info.locale = "UTC", "en"
        await self._socket.send(message.SerializeToString())

    async def _read(self) -> None:
        assert self._socket is not None
        try:
            async for data in self._socket:
                message = ForwardMsg()
                message.ParseFromString(data)
                await self._take(message)
        finally:
            self._is_cut_off = True
            self._stop_timers()
            await self._tell()

    async def _tell(self) -> None:
        async with self._ended:
            self._ended.notify_all()

    async def _take(self, message: ForwardMsg) -> None:
        self.page.take(message)
        match message.WhichOneof("type"):
            case "new_session" if not message.metadata.run.fragment_ids:
                self._stop_timers()
            case "auto_rerun":
                self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._stop_timer(fragment)
            case "file_urls_response" if self._urls is not None:
                self._urls.set_result(message.file_urls_response)
            case "script_finished" if message.script_finished != CUT_SHORT:
                self.runs += 1
                self._full_runs += message.script_finished in FULL_ENDS
                self._watch(self.page)
                await self._tell()

    def _start_timer(self, fragment: str, interval_s: float) -> None:
        if fragment in self._timers and self._timers[fragment][0] == interval_s:
            return
        self._stop_timer(fragment)
        self._timers[fragment] = (interval_s, asyncio.create_task(self._poll(fragment, interval_s)))

    async def _poll(self, fragment: str, interval_s: float) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(interval_s)
                self.polls += 1
                await self._send_run(fragment)

    def _stop_timer(self, fragment: str) -> None:
        if fragment in self._timers:
            self._timers.pop(fragment)[1].cancel()

    def _stop_timers(self) -> None:
        for fragment in list(self._timers):
            self._stop_timer(fragment)


def _cookie(url: str) -> str:
    """The cookie against forged requests, that the server hands out."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        given = answer.headers["Set-Cookie"]
    found: str = given.split(";")[0]
    return found


def _put(url: str, name: str, content: bytes, xsrf: str) -> None:
    """Send a file as a form does.

    Raises:
        ConnectionError: the server refused it.
    """
    border = uuid.uuid4().hex
    head = (
        f'--{border}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{border}--\r\n".encode()
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=PATIENCE_S)
    headers = {
        "Content-Type": f"multipart/form-data; boundary={border}",
        "Origin": f"{parts.scheme}://{parts.netloc}",
        "X-Xsrftoken": xsrf,
        "Cookie": f"{XSRF}={xsrf}",
    }
    try:
        connection.request("PUT", parts.path, body, headers)
        answer = connection.getresponse()
        if answer.status != 204:
            raise ConnectionError(f"The upload was refused: {answer.status} {answer.read()!r}")
    finally:
        connection.close()
