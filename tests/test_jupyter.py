"""The panel in a real JupyterLab: what the hand does, and what the kernel then has."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import find_chromium, wait_for
from conftest import ROOT, SAMPLES
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

PATIENCE_MS = 120_000
TOKEN = secrets.token_hex(16)
GONE = re.compile("StreamClosedError|WebSocketClosedError")  # Jupyter wrote to a page that was left
CELLS = (
    "from explorer.notebook import Explorer\n"
    f"panel = Explorer({str(SAMPLES / 'vowels_cnn.onnx')!r}, "
    f"{str(SAMPLES / 'vowels_test.npz')!r}, {str(SAMPLES / 'vowels_calibration.npz')!r})\n"
    "panel",
    "print('reached', panel.recipe.ratio, panel.report.profile.file_bytes, len(panel.model.data))",
    "from explorer import Recipe\npanel.recipe = Recipe(weight_bits=4)\npanel",
    f"bare = Explorer({str(SAMPLES / 'vowels_cnn.onnx')!r})\nbare",
)
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
LABS_OWN = "Error: Canceled future for"  # what it says to itself when it closes a kernel's channel
# A cell that is run earlier may never be.
KERNEL_READY = """async () => {
    const context = jupyterapp.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
}"""
SCHEMES = {"JupyterLab Light": "light", "JupyterLab Dark": "dark"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a free port, with settings and files of its own; gives its address."""
    home = tmp_path_factory.mktemp("lab")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {name: str(home / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    own |= {"JUPYTER_RUNTIME_DIR": str(home / "runtime"), "IPYTHONDIR": str(home / "ipython")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "PYTHONPATH": str(ROOT)}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"), "HOME": str(home)}
    config = home / "jupyter_config_dir" / "labconfig"
    config.mkdir(parents=True)
    news = "@jupyterlab/apputils-extension:announcements"
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": {news: True}}))
    saving = home / "settings" / "@jupyterlab" / "docmanager-extension"
    saving.mkdir(parents=True)
    (saving / "plugin.jupyterlab-settings").write_text('{"autosave": false}')
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    options += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={home}"]
    options += ["--LabApp.extension_manager=readonly", "--ServerApp.port_retries=0"]
    options += ["--LabApp.expose_app_in_browser=True"]
    address, log = f"http://127.0.0.1:{port}/", home / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **own},
        )
        try:
            wait_for(f"{address}api", server, log)
            notebook = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell(source) for source in CELLS],
                metadata={"kernelspec": KERNEL},
            )
            nbformat.write(notebook, home / "panel.ipynb")
            yield address
        finally:
            server.terminate()
            server.wait(30)
    _, *failures = log.read_text().split("Traceback")
    assert [each for each in failures if not GONE.search(each)] == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            args=["--no-sandbox"], executable_path=find_chromium()
        )
        expect.set_options(timeout=PATIENCE_MS)
        yield launched
        expect.set_options(timeout=None)
        launched.close()


@pytest.fixture
def notebook(browser: Browser, lab: str) -> Iterator[Page]:
    """The notebook, its first cell run; afterwards nothing may have left this machine or failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    strangers: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: strangers.append(request.url))
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("websocket", lambda socket: strangers.append(socket.url))
    page.goto(f"{lab}lab/tree/panel.ipynb?token={TOKEN}&reset")
    page.wait_for_selector(".jp-CodeCell")
    page.evaluate(KERNEL_READY)
    page.locator(".jp-CodeCell").first.click()
    page.keyboard.press("Shift+Enter")
    measured(page)
    yield page
    expect(page.locator(".explorer-status.busy")).to_have_count(0)
    context.close()
    end_kernels(lab)
    local = (lab, lab.replace("http", "ws"), f"blob:{lab}", "data:")
    assert [url for url in strangers if not url.startswith(local)] == []
    assert [error for error in errors if not error.startswith(LABS_OWN)] == []


def end_kernels(lab: str) -> None:
    """JupyterLab loses what is sent from a page that found a kernel with another page's widgets."""
    headers = {"Authorization": f"token {TOKEN}"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{lab}api/sessions", headers=headers)
    ) as it:
        sessions = json.load(it)
    for session in sessions:
        url = f"{lab}api/sessions/{session['id']}"
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers, method="DELETE")
        ) as answer:
            assert answer.status == 204


def measured(page: Page, count: int = 6) -> None:
    """Wait until every number is that of the setting's own file."""
    expect(page.locator(".explorer-status.busy")).to_have_count(0)
    kinds = '.number:is([data-kind="computed"], [data-kind="measured"], [data-kind="noisy"])'
    expect(page.locator(kinds)).to_have_count(count)


def numbers(page: Page) -> list[str]:
    return page.locator(".number .value").all_inner_texts()


def run_cell(page: Page, place: int) -> str:
    """Run a cell, and what it printed."""
    cell = page.locator(".jp-CodeCell").nth(place)
    cell.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"))
    return cell.locator(".jp-OutputArea").inner_text()


def slide(page: Page, panel: Locator, start: float, end: float) -> set[str]:
    """Drag the ratio between two shares of its width, and the file sizes seen on the way."""
    box = panel.get_by_role("slider", name="Pruning ratio").bounding_box()
    assert box is not None
    at, y = box["x"], box["y"] + box["height"] / 2
    page.mouse.move(at + start * box["width"], y)
    page.mouse.down()
    seen = set()
    for step in range(1, 31):
        page.mouse.move(at + (start + (end - start) * step / 30) * box["width"], y)
        seen.add(panel.locator('.number[data-key="file_bytes"] .value').inner_text())
    return seen


def test_the_kernel_has_what_the_hand_reached(notebook: Page) -> None:
    before, slider = numbers(notebook), notebook.get_by_role("slider", name="Pruning ratio")
    expect(slider).to_have_attribute("aria-valuetext", "30 %")
    seen = slide(notebook, notebook.locator(".explorer-host"), 0.32, 0.6)
    assert len(seen) > 5
    for key in ("file_bytes", "params", "macs", "peak_activation_bytes"):
        moving = notebook.locator(f'.number[data-key="{key}"]')
        expect(moving).to_have_attribute("data-kind", "estimated")
    notebook.mouse.up()
    measured(notebook)
    after = numbers(notebook)
    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert changed[:3] == [True] * 3, (before, after)
    shown = int(re.findall(r"\d+", slider.get_attribute("aria-valuetext") or "")[0])
    assert shown > 45
    told = re.search(r"reached (\S+) (\d+) (\d+)", run_cell(notebook, 1))
    assert told is not None
    assert float(told[1]) == shown / 100
    assert told[2] == told[3]
    assert after[0].split()[0] == f"{int(told[2]) / 1000:.1f}"
    assert notebook.locator(".point").count() == 3


def test_keys_stay_in_the_panel(notebook: Page) -> None:
    """What Jupyter takes for commands: arrows leave a cell, `b` adds one, `x` cuts it."""
    cells = notebook.locator(".jp-CodeCell").count()
    slider = notebook.get_by_role("slider", name="Pruning ratio")
    slider.focus()
    for key in ("ArrowRight", "ArrowUp", "b", "x", "ArrowRight"):
        slider.press(key)
    expect(slider).to_have_attribute("aria-valuetext", "33 %")
    expect(slider).to_be_focused()
    assert notebook.locator(".jp-CodeCell").count() == cells
    measured(notebook)
    slider.press("Control+z")
    expect(slider).to_have_attribute("aria-valuetext", "32 %")
    measured(notebook)


def test_code_moves_every_panel_and_each_moves_the_others(notebook: Page) -> None:
    run_cell(notebook, 2)
    bits = notebook.get_by_role("slider", name="Weight bits")
    expect(bits).to_have_count(2)
    for place in range(2):
        expect(bits.nth(place)).to_have_attribute("aria-valuetext", "INT4")
    measured(notebook, 12)
    for place in (1, 0, 1):
        before = bits.nth(place).get_attribute("aria-valuetext") or ""
        bits.nth(place).press("ArrowLeft")
        for each in range(2):
            expect(bits.nth(each)).not_to_have_attribute("aria-valuetext", before)
    for each in range(2):
        expect(bits.nth(each)).to_have_attribute("aria-valuetext", "7-bit")


def test_what_cant_be_made_is_one_sentence_and_nothing_is_lost(notebook: Page) -> None:
    run_cell(notebook, 3)
    cell = notebook.locator(".jp-CodeCell").nth(3)
    expect(cell.locator('.number[data-kind="computed"]').first).to_be_visible()
    expect(cell.locator(".explorer-status.busy")).to_have_count(0)
    before = cell.locator(".number .value").all_inner_texts()
    cell.locator(".segments").get_by_text("INT8").click()
    alert = cell.get_by_role("alert")
    expect(alert).to_contain_text("8-bit activations need samples")
    assert alert.inner_text().endswith("Reverted to the previous setting.")
    assert cell.locator(".number .value").all_inner_texts() == before
    expect(cell.get_by_role("radio", name="FP32")).to_be_checked()
    slide(notebook, cell, 0.32, 0.6)
    notebook.mouse.up()
    expect(alert).to_be_hidden()


@pytest.mark.parametrize("theme", SCHEMES)
def test_the_panel_wears_the_theme(notebook: Page, theme: str) -> None:
    """As Jupyter says, whatever the system prefers; and no rule of WCAG 2 is broken."""
    scheme = SCHEMES[theme]
    notebook.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
    choose_theme(notebook, theme)
    panel = notebook.locator(".explorer-panel")
    assert panel.evaluate("panel => getComputedStyle(panel).colorScheme") == scheme
    assert (lightness(panel, "color") > 0.5) == (scheme == "dark")
    notebook.get_by_text("Layer overrides").click()
    tags = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    found = Axe().run(notebook, ".explorer-host", options=tags).response
    broken = [
        (rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]
    ]
    assert broken == []
    assert len(found["passes"]) > 5


def choose_theme(page: Page, theme: str) -> None:
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    light = "true" if SCHEMES[theme] == "light" else "false"
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", light)


def lightness(element: Locator, name: str) -> float:
    """Of a colour, between 0 and 1."""
    colour = element.evaluate("(each, name) => getComputedStyle(each)[name]", name)
    red, green, blue = (int(found) for found in re.findall(r"\d+", colour)[:3])
    return (red + green + blue) / 3 / 255
