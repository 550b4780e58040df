"""What stands before Streamlit: hosts, origins, headers and quotas, asked without a server."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit import config

from explorer.ui import guard
from explorer.ui.guard import Guard
from explorer.workspace.folders import ALL_BYTES, SESSION_BYTES, SESSION_FILES

Scope = dict[str, Any]


@pytest.fixture(autouse=True)
def allowed() -> Iterator[None]:
    before = config.get_option("server.allowedHosts")
    config.set_option("server.allowedHosts", ["localhost", "*.school.example"])
    yield
    config.set_option("server.allowedHosts", before)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, int]]:
    """What Streamlit holds of uploads, for a test to fill."""
    files: dict[str, dict[str, int]] = {}
    monkeypatch.setattr(guard, "held_in_memory", lambda: files)
    monkeypatch.setattr(guard, "storage", lambda: SimpleNamespace(used_bytes=0))
    return files


def http(path: str = "/", method: str = "GET", **headers: str) -> Scope:
    given = {"host": "localhost:8501", **headers}
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items()],
    }


def put(size: str | None, session: str = "s", file: str = "f") -> Scope:
    headers = {} if size is None else {"content_length": size}
    return http(f"/_stcore/upload_file/{session}/{file}", "PUT", **headers)


def ask(scope: Scope, behind: Guard | None = None) -> list[dict[str, Any]]:
    """The messages that come back; the app behind answers 200."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run((behind or Guard(answering))(scope, receive, send))
    return sent


async def answering(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


def status(scope: Scope, behind: Guard | None = None) -> int:
    found: int = ask(scope, behind)[0]["status"]
    return found


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("localhost:8501", 200),
        ("ai.school.example", 200),
        ("school.example.evil.test", 421),
        ("rebind.test", 421),
        ("localhost@evil.test", 421),
        ("", 421),
    ],
)
def test_hosts(host: str, expected: int) -> None:
    assert status(http(host=host)) == expected


@pytest.mark.parametrize(
    ("method", "origin", "expected"),
    [
        ("POST", "http://localhost:8501", 200),
        ("POST", "https://localhost:8501", 200),
        ("POST", "http://localhost:9999", 403),
        ("PUT", "http://evil.test", 403),
        ("DELETE", "null", 403),
        ("GET", "http://evil.test", 200),
    ],
)
def test_origins(method: str, origin: str, expected: int) -> None:
    assert status(http(method=method, origin=origin)) == expected


@pytest.mark.parametrize(
    ("origin", "kind"),
    [("http://localhost:8501", "websocket.accept"), ("http://evil.test", "websocket.close")],
)
def test_a_websocket_from_another_site_is_closed(origin: str, kind: str) -> None:
    scope = {**http("/_stcore/stream", origin=origin), "type": "websocket"}
    assert ask(scope)[0]["type"] == kind


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/_stcore/agent/openapi.json"])
def test_what_concerns_nobody_isnt_there(path: str) -> None:
    assert status(http(path)) == 404


@pytest.mark.parametrize("host", ["localhost", "rebind.test"])
def test_every_answer_has_the_headers(host: str) -> None:
    found = {k.decode(): v.decode() for k, v in ask(http(host=host))[0]["headers"]}
    assert found.items() >= {name.lower(): value for name, value in guard.headers().items()}.items()
    assert found["x-content-type-options"] == "nosniff"
    assert "unsafe-eval" not in found["content-security-policy"]
    assert "script-src 'self' blob: 'sha256-" in found["content-security-policy"]


def test_an_answer_may_have_a_stricter_policy() -> None:
    async def strict(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-security-policy", b"default-src 'none'")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    found = dict(ask(http(), Guard(strict))[0]["headers"])
    assert found[b"content-security-policy"] == b"default-src 'none'"


def test_an_upload_within_the_quota_passes(held: dict[str, dict[str, int]]) -> None:
    assert status(put(str(SESSION_BYTES))) == 200


@pytest.mark.parametrize("size", [None, "", "-5", "many"])
def test_an_upload_says_how_long_it_is(held: dict[str, dict[str, int]], size: str | None) -> None:
    assert status(put(size)) == 411


def test_too_many_bytes(held: dict[str, dict[str, int]]) -> None:
    held["s"] = {"a": SESSION_BYTES - 1000}
    assert status(put(str(1000 + guard.FRAME_BYTES))) == 200
    assert status(put(str(1001 + guard.FRAME_BYTES))) == 413
    assert status(put(str(SESSION_BYTES), session="other")) == 200


def test_too_many_files(held: dict[str, dict[str, int]]) -> None:
    held["s"] = {str(index): 1 for index in range(SESSION_FILES - 1)}
    assert status(put("1")) == 200
    held["s"]["one more"] = 1
    assert status(put("1")) == 413


def test_all_together_have_a_limit(held: dict[str, dict[str, int]]) -> None:
    for index in range(ALL_BYTES // SESSION_BYTES):
        held[str(index)] = {"f": SESSION_BYTES}
    assert status(put(str(SESSION_BYTES), session="new")) == 413


def test_what_is_on_its_way_counts(held: dict[str, dict[str, int]]) -> None:
    seen: list[int] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if not seen:
            seen.append(True)
            seen.append(await _status_behind(put(str(SESSION_BYTES // 2 + FRAME)), behind))
        await answering(scope, receive, send)

    behind = Guard(slow)
    assert status(put(str(SESSION_BYTES // 2 + FRAME)), behind) == 200
    assert seen[1] == 413
    assert status(put(str(SESSION_BYTES // 2 + FRAME)), behind) == 200


FRAME = guard.FRAME_BYTES


async def _status_behind(scope: Scope, behind: Guard) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await behind(scope, lambda: None, send)  # type: ignore[arg-type,return-value]
    found: int = sent[0]["status"]
    return found
