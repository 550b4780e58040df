"""Which Chromium the browser tests drive; run as a script, it fetches one where there is none."""

import shutil
import subprocess
import sys
from pathlib import Path

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
