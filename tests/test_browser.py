"""The real app in a real browser: what a person does in the first minutes."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import wait_for
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright
from test_app import own_model

from explorer.render.text import format_bytes
from explorer.workspace.sources import sample_models

ROOT = Path(__file__).resolve().parents[1]
Scheme = Literal["light", "dark"]
PATIENCE_MS = 120_000
CARDS = ("File size", "Parameters", "MACs", "Peak activation memory", "Latency", "Accuracy")
PAGES = ("Explore", "Layers", "Trade-offs", "Graph", "Export")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on a free port, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.port", str(port), "--server.address", "127.0.0.1"]
    log = tmp_path_factory.mktemp("app") / "log.txt"
    with log.open("w") as output:
        app = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", *options],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "STREAMLIT_SERVER_HEADLESS": "true"},
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health", app, log)
            yield f"http://127.0.0.1:{port}/"
        finally:
            app.terminate()
            app.wait(20)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            args=["--no-sandbox"], executable_path=CHROMIUM or None
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The opened app; afterwards nothing may have left this machine or have failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    strangers, errors = list[str](), list[str]()
    context.on("request", lambda request: strangers.append(request.url))
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(address)
    idle(opened)
    yield opened
    context.close()
    local = (address, address.replace("http", "ws"), "data:", f"blob:{address}")
    assert [url for url in strangers if not url.startswith(local)] == []
    assert errors == []


def test_moving_the_ratio_changes_every_card_and_adds_a_point(page: Page) -> None:
    before, points = card_values(page), chart_points(page)
    slider = page.get_by_role("slider", name="Pruning ratio")
    slider.focus()
    for _ in range(3):
        slider.press("PageUp")
    expect(slider).to_have_attribute("aria-valuetext", "60 %")
    expect(page.locator('.number[data-kind="estimated"]').first).to_be_visible()
    expect(page.locator(".ce-setting")).to_have_text("channels −60 %")
    idle(page)
    after = card_values(page)
    assert len(after) == len(CARDS)
    assert all(old != new for old, new in zip(before, after, strict=True)), (before, after)
    expect(page.locator(".point")).to_have_count(points + 1)
    assert page.locator(MEASURED).count() == len(CARDS)


def test_the_panel_counts_while_the_hand_still_moves(page: Page) -> None:
    """No choice is sent before the hand lets go; a look at the survey may be."""
    sent: list[Any] = []

    def note(frame: bytes | str) -> None:
        sent.append(frame)

    page.on("websocket", lambda socket: socket.on("framesent", note))
    page.reload()
    idle(page)
    sent.clear()
    slider = page.get_by_role("slider", name="Pruning ratio")
    box = slider.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.32 * box["width"], y)
    page.mouse.down()
    seen = set()
    for step in range(40):
        page.mouse.move(box["x"] + (0.32 + step / 100) * box["width"], y)
        seen.add(page.locator('.number[data-key="file_bytes"] .value').inner_text())
    assert len(seen) > 10
    assert page.locator('.number[data-kind="estimated"]').count() >= 4  # some predicted, too
    other = re.compile(rb'"ratio":0\.(?!3\D)')  # than before
    assert [frame for frame in sent if other.search(frame)] == []
    page.mouse.up()
    expect(page.locator(".ce-setting")).not_to_have_text("channels −30 %")
    assert any(other.search(frame) for frame in sent)
    idle(page)
    shown = page.locator('.number[data-key="file_bytes"]')
    expect(shown).to_have_attribute("data-kind", "computed")


def test_a_layer_is_pruned_alone_and_a_point_goes_back(page: Page) -> None:
    layer = page.get_by_role("slider", name="Pruned channels of stem")
    layer.focus()
    expect(page.locator(".strip .detail")).to_contain_text("stem · Conv")
    before = layer.get_attribute("aria-valuenow")
    for _ in range(4):
        layer.press("ArrowDown")
    expect(page.locator(".ce-setting")).to_contain_text("stem −")
    idle(page)
    assert layer.get_attribute("aria-valuenow") != before
    page.get_by_role("button", name="original:").click()
    expect(page.locator(".ce-setting")).to_have_text("no compression")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".ce-setting")).to_contain_text("stem −")
    page.get_by_role("button", name="Redo").click()
    expect(page.locator(".ce-setting")).to_have_text("no compression")
    page.get_by_text("Layer overrides").click()
    page.get_by_role("combobox", name="classifier").select_option("4")
    expect(page.locator(".ce-setting")).to_have_text("classifier INT4")
    page.get_by_role("button", name="Clear overrides").click()
    expect(page.locator(".ce-setting")).to_have_text("no compression")


def test_own_model_and_data_give_a_file_that_runs(page: Page, tmp_path: Path) -> None:
    model, data = own_model(tmp_path)
    page.get_by_role("button", name="Open your own model").click()
    page.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files([model, data])
    expect(page.locator(".ce-status h1")).to_have_text("my model with samples")
    idle(page)
    expect(page.locator(".number").last).to_contain_text("Accuracy")
    turn_to(page, "Export")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Compressed model (.onnx)").click()
    file = tmp_path / "downloaded.onnx"
    waiting.value.save_as(file)
    assert waiting.value.suggested_filename == "my_model_compressed.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {"image": np.load(data)["x"][:3]})
    assert outputs.shape == (3, 4)
    assert file.stat().st_size < model.stat().st_size


def test_the_downloaded_file_scores_as_the_page_says(page: Page, tmp_path: Path) -> None:
    """In ONNX Runtime alone, without any of the explorer's code."""
    for _ in range(2):
        page.get_by_role("slider", name="Weight bits").press("ArrowRight")
    expect(page.locator(".ce-setting")).to_contain_text("INT8 weights")
    turn_to(page, "Export")
    page.wait_for_selector(".ce-bar.ce-idle", state="attached")
    file = taken(page, "Compressed model (.onnx)", tmp_path / "small.onnx")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # as the page advises
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    data = np.load(ROOT / "sample_models" / "fashion_test.npz")
    parts = np.split(data["x"].astype(np.float32), range(1000, len(data["x"]), 1000))
    found = np.concatenate([session.run(None, {"image": part})[0].argmax(1) for part in parts])
    accuracy = f"{100 * np.mean(found == data['y']):.2f} %"
    expect(page.locator(".ce-summary")).to_contain_text(f"Accuracy {accuracy}")
    size = page.locator(".ce-summary b").first.inner_text()
    assert size == format_bytes(file.stat().st_size)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_needs_nothing_and_everyone_can_use_it(
    page: Page, browser: Browser, tmp_path: Path, scheme: Scheme
) -> None:
    turn_to(page, "Export")
    report = taken(page, "Report (.html)", tmp_path / "report.html")
    for width in (1280, 390):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        requests = requests_of(context)
        opened = context.new_page()
        said = said_on(opened)
        opened.goto(report.as_uri())
        expect(opened.get_by_role("heading", level=1)).to_have_text(sample_models()[0].title)
        assert opened.locator("svg.chart").count() == 3
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert opened.evaluate(wide) <= 0
        assert (requests, said) == ([report.as_uri()], [])
        context.close()
    with_axe = browser.new_context(color_scheme=scheme, bypass_csp=True)  # axe is a script
    opened = with_axe.new_page()
    opened.goto(report.as_uri())
    assert violations(opened) == []
    with_axe.close()


def requests_of(context: BrowserContext) -> list[str]:
    """The addresses that pages ask for from now on; the list grows."""
    found: list[str] = []
    context.on("request", lambda request: found.append(request.url))
    return found


def said_on(page: Page) -> list[str]:
    """What a page writes to its console from now on, and its errors; the list grows."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def taken(page: Page, label: str, path: Path) -> Path:
    """Download what a button of the page offers."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label).click()
    waiting.value.save_as(path)
    return path


def test_a_broken_model_is_one_sentence_and_the_results_stay(page: Page, tmp_path: Path) -> None:
    before = card_values(page)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is not a model")
    page.get_by_role("button", name="Open your own model").click()
    page.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files(broken)
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_have_text(re.compile(r"\.\s*$"))
    assert page.locator(".ce-status h1").inner_text() == sample_models()[0].title
    assert card_values(page) == before


def test_netron_draws_the_compressed_model(page: Page) -> None:
    turn_to(page, "Graph")
    viewer = page.frame_locator('iframe[title^="Compressed"]')
    expect(viewer.locator("#nodes .node, .node").first).to_be_attached(timeout=PATIENCE_MS)
    assert viewer.locator(".node").count() > 5


MARKUP = (
    "<img src='http://evil.test/a.png' onerror='alert(1)'>",
    "![b](http://evil.test/b.png)",
    "<a href='http://evil.test'>c</a> :red[d] $e$",
)


def test_names_never_become_markup(page: Page, tmp_path: Path) -> None:
    """In a file's name, layers, inputs and messages; the fixture sees what would be fetched."""
    model, data = own_model(tmp_path)
    proto = onnx.load(model)
    products = [node for node in proto.graph.node if node.op_type in ("Conv", "Gemm")]
    for node, name in zip(products, MARKUP, strict=True):
        node.name = name
    hostile = tmp_path / "![f](data:image,x) <b>g<|b>.onnx"
    onnx.save(proto, hostile)
    dialogs = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    page.get_by_role("button", name="Open your own model").click()
    page.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files(
        [hostile, data]
    )
    expect(page.locator(".ce-status h1")).to_contain_text("<b>g<|b>")
    idle(page)
    turn_to(page, "Layers")
    page.get_by_role("button", name="Measure sensitivity").click()
    page.wait_for_selector(".js-plotly-plot .heatmaplayer image", state="attached")
    for name in PAGES:
        turn_to(page, name)
        page.wait_for_timeout(500)
    page.get_by_role("button", name="Open your own model").click()
    page.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files(
        {"name": "<i>h</i> ![j](x).onnx", "mimeType": "", "buffer": b"no model"}
    )
    expect(page.get_by_test_id("stAlert")).to_be_visible()
    assert dialogs == []
    assert page.locator("[src*='evil'], [href*='evil'], [onerror]").count() == 0
    assert page.get_by_test_id("stAlert").locator("img, i, a").count() == 0


def test_sensitivity_is_drawn_while_it_is_measured(page: Page) -> None:
    turn_to(page, "Layers")
    page.get_by_role("button", name="Measure sensitivity").click()
    page.wait_for_selector(".js-plotly-plot .heatmaplayer image", state="attached")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert page.locator(".js-plotly-plot .heatmaplayer image").count() == 1


def test_a_click_on_a_point_of_a_sweep_selects_it_everywhere(page: Page, address: str) -> None:
    page.goto(f"{address}tradeoffs?model=vowels_cnn")
    idle_elsewhere(page)
    page.get_by_label("Ratio steps").fill("2")
    page.get_by_label("Ratio steps").press("Enter")
    page.get_by_role("button", name="Start 4 runs").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    points = page.locator(".st-key-trade_scatter .points path")
    # With the original and the setting that was open.
    expect(points).to_have_count(6, timeout=PATIENCE_MS)
    idle_elsewhere(page)
    points.nth(2).click(force=True)
    expect(page.get_by_label("Name", exact=True)).to_be_visible()
    bars = page.locator(".st-key-trade_scatter .errorbar")
    expect(bars).to_have_count(7)  # of each point, and of the one that is selected
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_label("Name", exact=True).press("Enter")
    expect(page.locator(".st-key-trade_scatter .textpoint")).to_have_text(re.compile("mine"))
    expect(page.get_by_role("gridcell", name="mine", include_hidden=True)).to_have_count(1)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => innerWidth === 390")
    page.wait_for_function(f"() => ({OVERFLOW})().every(pixels => pixels <= 0)")
    page.get_by_role("button", name="Use this setting").click()
    expect(page.get_by_role("button", name="Use this setting")).to_be_disabled()


def idle_elsewhere(page: Page) -> None:
    """Wait on a page without the panel until nothing is to come any more."""
    page.wait_for_selector(".ce-bar.ce-idle", state="attached")
    expect(page.locator(".ce-work")).to_contain_text("measured on")
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(500)


# The page scrolls in an element of its own, so both count.
OVERFLOW = """() => [document.documentElement, document.querySelector('[data-testid=stMain]')]
    .map(element => element.scrollWidth - element.clientWidth)"""


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080), (390, 844)])
def test_nothing_is_wider_than_the_screen(
    page: Page, address: str, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_function(f"() => innerWidth === {width}")
    expect(page.locator(".number").first).to_be_in_viewport()
    page.wait_for_function(f"() => ({OVERFLOW})().every(pixels => pixels <= 0)")
    for card in page.locator(".number").all():
        assert card.evaluate("card => card.scrollWidth <= card.clientWidth + 1")
    if width >= 1280:
        expect(page.locator(".number").last).to_be_in_viewport(ratio=1)
        expect(page.locator(".chart svg")).to_be_in_viewport(ratio=1)
    for path in ("layers", "tradeoffs", "graph", "export"):
        page.goto(f"{address}{path}")
        page.wait_for_selector(".ce-bar.ce-idle", state="attached")
        page.wait_for_function(f"() => ({OVERFLOW})().every(pixels => pixels <= 0)")


MEASURED = '.number:is([data-kind="computed"], [data-kind="measured"], [data-kind="noisy"])'


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_the_page(page: Page, scheme: Scheme) -> None:
    """No rule of WCAG 2, levels A and AA, is broken, as far as axe-core can tell."""
    page.emulate_media(color_scheme=scheme)
    page.get_by_text("Layer overrides").click()
    for name in PAGES:
        turn_to(page, name)
        page.wait_for_timeout(500)
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        page.wait_for_timeout(500)  # until what was faded meanwhile isn't
        assert violations(page) == [], name


def violations(page: Page) -> list[tuple[str, list[tuple[str, str]]]]:
    """What axe-core finds against WCAG 2, levels A and AA."""
    tags = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    found = Axe().run(page, options=tags).response
    assert len(found["passes"]) > 10
    return [
        (rule["id"], [(node["html"], node["failureSummary"]) for node in rule["nodes"]])
        for rule in found["violations"]
    ]


def turn_to(page: Page, name: str) -> None:
    """Go to another page by the navigation."""
    page.get_by_test_id("stTopNavLink").filter(has_text=name).click()
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def idle(page: Page) -> None:
    """Wait until cards and chart show a finished result."""
    page.wait_for_selector(".ce-bar.ce-idle", state="attached")
    page.wait_for_selector(".point.current", state="attached")


def card_values(page: Page) -> list[str]:
    return page.locator(".number .value").all_inner_texts()


def chart_points(page: Page) -> int:
    return page.locator(".point").count()
