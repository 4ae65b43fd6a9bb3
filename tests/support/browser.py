"""A headless Chromium, and the screenshots that the documentation shows."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from selenium import webdriver

# Where the screenshots of a test run are kept; doc/source/conf.py looks for them in test-output.
OUTPUT = pathlib.Path(
    os.environ.get("EVENTALARM_TEST_OUTPUT", pathlib.Path(__file__).parents[2] / "test-output")
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--window-size=1440,900", "--lang=en", "--blink-settings=preferredColorScheme=0"),
)

Browser = webdriver.Chrome


@contextlib.contextmanager
def chromium(profile: pathlib.Path) -> Iterator[Browser]:
    """Start Chromium with a profile in the directory *profile*.

    :raises RuntimeError: Chromium or its driver is not installed.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        raise RuntimeError("chromium and chromedriver are missing: bindep -b test")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def keep_screenshot(browser: Browser, name: str) -> None:
    """Save what the browser shows as the file *name* in OUTPUT."""
    OUTPUT.mkdir(exist_ok=True)
    assert browser.save_screenshot(str(OUTPUT / name))
