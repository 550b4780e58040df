"""The live panel in a real browser: how soon it follows the hand, and how soon it is measured.

    python -m benchmarks.panel [--layers 60] [--settings 20]

Needs Playwright and Chromium, as the browser tests do. Everything runs on this machine: server,
workers and browser share its cores.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.figures import Row, print_rows, print_start
from benchmarks.load import percentile
from benchmarks.server import Server, serving

CHANNELS, SIDE = 32, 8  # of the chain of convolutions
PATIENCE_MS = 120_000
MOVES = 300
LOADS = 5
MS, MB = 1e3, 1e6
# From the slider's event to the moment behind the frame that it is painted in.
WATCH = """() => {
  window.times = [];
  window.addEventListener('input', () => {
    const started = performance.now();
    requestAnimationFrame(() => {
      const behind = new MessageChannel();
      behind.port1.onmessage = () => window.times.push(performance.now() - started);
      behind.port2.postMessage(0);
    });
  }, { capture: true });
}"""

# From a change of the slider to the frame that shows its latency and accuracy measured. The page
# looks itself: a program that asks it time and again takes its processor from it.
LET_GO = """() => {
  const measured = ["measured", "noisy", "first"];
  const shadows = [...document.querySelectorAll("*")].map((each) => each.shadowRoot);
  const panel = shadows.find((root) => root?.querySelector(".number"));
  const slider = panel.querySelector('input[type="range"]');
  const isShown = (percent) =>
    document.querySelector(".ce-setting").textContent.includes(`channels −${percent} %`) &&
    ["latency", "quality"].every((key) =>
      measured.includes(panel.querySelector(`.number[data-key=${key}]`).dataset.kind));
  window.letGo = (percent) => new Promise((resolve) => {
    const started = performance.now();
    const watch = new MutationObserver(() => {
      if (!isShown(percent)) return;
      watch.disconnect();
      requestAnimationFrame(() => {
        const behind = new MessageChannel();
        behind.port1.onmessage = () => resolve(performance.now() - started);
        behind.port2.postMessage(0);
      });
    });
    const all = { subtree: true, childList: true, attributes: true, characterData: true };
    for (const root of [panel, document.body]) watch.observe(root, all);
    slider.value = percent;
    for (const kind of ["input", "change"]) {
      slider.dispatchEvent(new Event(kind, { bubbles: true }));
    }
  });
}"""


def main() -> None:
    """Print the figures, each beside its goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=60)
    parser.add_argument("--settings", type=int, default=20)
    given = parser.parse_args()
    print_start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder) as server, chromium() as browser:
            rows = first_loads(browser, server)
            rows += following(browser, server, given.layers, folder)
            rows += measuring(browser, server, given.settings)
    print_rows(rows)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def opened(browser: Browser, server: Server) -> Iterator[Page]:
    """The app in a browser that has never seen it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(server.address, wait_until="commit")
    yield page
    context.close()


def first_loads(browser: Browser, server: Server) -> list[Row]:
    """Time until there are numbers and layers, and what came over the wire on the first load.

    Before, somebody has opened the sample and seen it measured.
    """
    shown_s, received = [], 0
    with opened(browser, server) as page:
        page.wait_for_selector(".point.current", state="attached")
        page.wait_for_selector(".ce-bar.ce-idle", state="attached")
    for _ in range(LOADS):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        received_bytes = count_bytes(page)
        started = time.perf_counter()
        page.goto(server.address, wait_until="commit")
        page.wait_for_selector(".number .value", timeout=PATIENCE_MS)
        page.wait_for_selector(".strip .body", timeout=PATIENCE_MS)
        shown_s.append(time.perf_counter() - started)
        page.wait_for_load_state("networkidle")
        received = received_bytes.total()
        context.close()
    return [
        ("first useful paint, median", f"{np.median(shown_s):.2f} s", "2.5 s"),
        ("over the wire on the first load", f"{received / MB:.2f} MB", "3 MB"),
    ]


def count_bytes(page: Page) -> Counter[str]:
    """Bytes as they came, compressed where they were, by request."""
    found: Counter[str] = Counter()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on(
        "Network.loadingFinished",
        lambda event: found.update({event["requestId"]: int(event["encodedDataLength"])}),
    )
    return found


def following(browser: Browser, server: Server, layers: int, folder: Path) -> list[Row]:
    """From a move of the mouse on the slider to the painted frame."""
    file = folder / "chain.onnx"
    file.write_bytes(chain(layers))
    with opened(browser, server) as page:
        page.get_by_role("button", name="Open your own model").click()
        page.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files(file)
        page.locator(".strip .column").nth(layers - 1).wait_for(state="attached")
        page.keyboard.press("Escape")
        page.wait_for_selector(".ce-bar.ce-idle", state="attached")
        page.evaluate(WATCH)
        slider = page.get_by_role("slider", name="Pruning ratio", exact=True)
        box = slider.bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 0.3 * box["width"], y)
        page.mouse.down()
        for move in range(MOVES):
            share = 0.5 + 0.45 * np.sin(move / 12)
            page.mouse.move(box["x"] + share * box["width"], y)
        page.mouse.up()
        times: list[float] = page.evaluate("window.times")
    return [
        (f"events on the slider, {layers} layers", f"{len(times)}", ""),
        ("event to painted frame, median", f"{np.median(times):.1f} ms", ""),
        ("event to painted frame, p95", f"{percentile(times, 0.95):.1f} ms", "16 ms"),
    ]


def measuring(browser: Browser, server: Server, settings: int) -> list[Row]:
    """From letting go to measured latency and accuracy on the screen, one setting after another."""
    rng, took_s = random.Random(0), []
    with opened(browser, server) as page:
        page.wait_for_selector(".point.current", state="attached")
        page.wait_for_selector(".ce-bar.ce-idle", state="attached")
        page.evaluate(LET_GO)
        for percent in rng.sample([p for p in range(5, 90) if p != 30], settings):
            took_s.append(page.evaluate("percent => window.letGo(percent)", percent) / MS)
            page.wait_for_selector(".ce-bar.ce-idle", state="attached")
    return [
        ("slider released to measured on the screen, median", f"{np.median(took_s):.2f} s", ""),
        (
            "slider released to measured on the screen, p95",
            f"{percentile(took_s, 0.95):.2f} s",
            "1 s",
        ),
    ]


def chain(layers: int) -> bytes:
    """A network of so many convolutions in a row, each with its ReLU."""
    rng = np.random.default_rng(0)
    nodes, weights, source = [], [], "x"
    for number in range(layers):
        channels = 3 if number == 0 else CHANNELS
        weight = rng.normal(0, (2 / (9 * channels)) ** 0.5, (CHANNELS, channels, 3, 3))
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{number}"))
        name, pads = f"conv{number}", [1, 1, 1, 1]
        nodes.append(
            helper.make_node("Conv", [source, f"w{number}"], [f"c{number}"], name, pads=pads)
        )
        source = f"r{number}"
        nodes.append(helper.make_node("Relu", [f"c{number}"], [source], f"relu{number}"))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    y = helper.make_tensor_value_info(source, TensorProto.FLOAT, ["n", CHANNELS, SIDE, SIDE])
    graph = helper.make_graph(nodes, "chain", [x], [y], weights)
    opset = [helper.make_opsetid("", 17)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=9)
    data: bytes = model.SerializeToString()
    return data


if __name__ == "__main__":
    main()
