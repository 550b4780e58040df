"""Which Chromium the browser tests drive, and when a server is there for it.

Run as a script, it fetches a Chromium where there is none.
"""

import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PATIENCE_S = 120
NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """Path of the system's Chromium, else of Playwright's own, else None."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if path and Path(path).exists() else None


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until a server answers; its log says why, where it doesn't."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def main() -> int:
    """Install Playwright's Chromium where there is no other."""
    if find_chromium():
        return 0
    done = subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if done.returncode:
        print("The browser tests need Chromium: install your system's package 'chromium'.")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
