"""The page for a NOC wall in a real browser: what it shows, by keyboard, live, and with hostile names."""

from __future__ import annotations

import datetime
import os
import pathlib
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from eventalarm.model import UTC
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from tests.functional.conftest import Spawn
from tests.functional.test_ifa_service import TOKEN, keystone, start
from tests.support.builders import PROJECT, event_body, rule
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ifa_api import IfaApi
from tests.support.ifa_server import serving

# Where the screenshots of a test run are kept.
KEPT = pathlib.Path(
    os.environ.get("EVENTALARM_TEST_OUTPUT", pathlib.Path(__file__).parents[2] / "test-output")
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--window-size=1440,900", "--lang=en", "--blink-settings=preferredColorScheme=0"),
)
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

Browser = webdriver.Chrome


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One headless Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.fail("chromium and chromedriver are missing: bindep -b test", pytrace=False)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


class Wall(NamedTuple):
    """The page, open, and the cloud that it shows."""

    browser: Browser
    api: IfaApi
    url: str

    def find(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        found: list[str] = self.browser.execute_script(script, selector)
        return found

    def servers(self) -> list[str]:
        return self.texts("#rows .pick")

    def until(self, condition: Callable[[], Any]) -> None:
        wait_until(condition, 30)

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.browser).send_keys(*keys).perform()

    def focused(self) -> str:
        text: str = self.browser.execute_script("return document.activeElement.textContent")
        return text

    def shoot(self, name: str) -> None:
        KEPT.mkdir(exist_ok=True)
        assert self.browser.save_screenshot(str(KEPT / name))

    def enter(self) -> None:
        self.find("#project").send_keys(PROJECT, Keys.ENTER)

    def alarm(self, server: str, severity: str, name: str = "server failed") -> str:
        the_rule = rule(instance_id=server, state="error")
        return self.api.alarm(the_rule, name=name, severity=severity, ok_actions=["http://ok"])

    def fault(self, server: str, state: str = "error", **traits: Any) -> None:
        generated = datetime.datetime.now(UTC).replace(tzinfo=None).isoformat()
        body = event_body(instance_id=server, state=state, generated=generated, **traits)
        self.api.engine.process(body)

    def age(self, server: str, seconds: float) -> None:
        """Let the alarm of a server be as old as that."""
        at = datetime.datetime.now(UTC) - datetime.timedelta(seconds=seconds)
        with self.api.database.engine.begin() as connection:
            for table, column in ((tables.occurrence, "raised_at"), (tables.transition, "recorded_at")):
                change = sa.update(table).where(table.c.managed_object == server)
                connection.execute(change.values(**{column: at}))

    def complaints(self) -> list[str]:
        """Return what the browser complained of since the last call."""
        return [entry["message"] for entry in self.browser.get_log("browser")]


@pytest.fixture
def api(our_sqlite_url: str) -> Iterator[IfaApi]:
    opened = storage.connect(our_sqlite_url)
    yield IfaApi(opened, page_size=2)
    opened.dispose()


@pytest.fixture
def wall(chromium: Browser, api: IfaApi) -> Iterator[Wall]:
    with serving(api) as url:
        chromium.get(f"{url}/ui")
        yield Wall(chromium, api, url)
        chromium.get("about:blank")


def test_a_wall_is_live_and_works_by_keyboard(wall: Wall) -> None:
    for server, severity, seconds in (
        ("vm-7", "low", 7500),
        ("vm-4", "moderate", 1300),
        ("vm-2", "critical", 95),
    ):
        wall.alarm(server, severity)
        wall.fault(server, host="compute-3")
        wall.age(server, seconds)
    wall.alarm("vm-9", "critical", "database server failed")
    wall.enter()
    wall.until(lambda: wall.servers() == ["vm-2", "vm-4", "vm-7"])
    assert wall.texts("#rows .badge") == ["CRITICAL", "MAJOR", "WARNING"]
    assert [age.split()[1] for age in wall.texts("#rows td:last-child")] == ["min", "min", "h"]
    assert wall.texts("#counts b") == ["1", "1", "0", "1", "0"]
    assert (wall.find("#link-text").text, wall.browser.title) == ("Live", "(3) Alarms")

    # A raise appears without anybody touching the page, and is told to those who cannot see it.
    wall.fault("vm-9")
    wall.until(lambda: wall.servers() == ["vm-9", "vm-2", "vm-4", "vm-7"])
    assert "raised CRITICAL vm-9" in wall.find("#latest").text

    wall.press(Keys.ARROW_DOWN)
    assert wall.focused() == "vm-9"
    wall.press(Keys.ARROW_DOWN, Keys.ENTER)
    wall.until(lambda: wall.find("#detail").is_displayed() and wall.focused() == "vm-2")
    wall.until(lambda: wall.texts("#timeline b") == ["raised"])
    wall.fault("vm-2", host="compute-3", state="active")
    wall.fault("vm-2", host="compute-3")
    wall.until(lambda: wall.texts("#timeline b") == ["raised", "cleared", "raised"])
    assert "cleared" not in wall.servers()
    wall.shoot("ifa-wall.png")
    wall.press(Keys.ESCAPE)
    wall.until(lambda: not wall.find("#detail").is_displayed())
    assert wall.focused() == "vm-2"
    wall.press("/", "vm-4")
    wall.until(lambda: wall.servers() == ["vm-4"])
    wall.press(Keys.ESCAPE)
    wall.until(lambda: len(wall.servers()) == 4)
    wall.find("#counts .MAJOR").send_keys(Keys.SPACE)
    wall.until(lambda: wall.servers() == ["vm-4"])
    wall.fault("vm-4", state="active")
    wall.until(lambda: wall.servers() == [])
    assert wall.find("#none").text.endswith("None of the active alarms fits")
    assert "cleared" in wall.find("#latest").text
    assert wall.complaints() == []


def test_names_are_text_and_nothing_else_is_loaded(wall: Wall) -> None:
    wall.alarm("vm-1", "critical", HOSTILE)
    wall.fault("vm-1", event_type="compute.instance.update")
    wall.enter()
    wall.until(lambda: wall.texts("#rows .name") == [HOSTILE])
    wall.find("#rows .pick").click()
    wall.until(lambda: HOSTILE in wall.texts("#facts dd"))
    assert wall.browser.title == "(1) Alarms"
    assert wall.browser.find_elements(By.CSS_SELECTOR, "main img, main script") == []
    loaded = wall.browser.execute_script(
        "return performance.getEntriesByType('resource').map((one) => one.name)"
    )
    assert loaded
    assert {name for name in loaded if not name.startswith(f"{wall.url}/")} == set()
    # Even markup that got in could run nothing.
    wall.browser.execute_script(
        "document.body.insertAdjacentHTML('beforeend', arguments[0])",
        "<img src=data:x onerror=\"document.title='owned'\">",
    )
    wall.until(lambda: any("Content Security Policy" in text for text in wall.complaints()))
    assert wall.browser.title == "(1) Alarms"


def test_a_token_is_asked_for_kept_in_the_tab_and_forgotten(
    chromium: Browser,
    api: IfaApi,
    our_sqlite_url: str,
    tmp_path: pathlib.Path,
    spawn: Spawn,
    webhook_sink: WebhookSink,
) -> None:
    keystone(webhook_sink)
    _, url = start(our_sqlite_url, tmp_path, spawn, webhook_sink)
    wall = Wall(chromium, api, url)
    chromium.get(f"{url}/ui")
    assert wall.find("#token").is_displayed()
    assert not wall.find("#project").is_displayed()
    wall.find("#everywhere").click()
    wall.find("#token").send_keys(TOKEN, Keys.ENTER)
    wall.until(lambda: "policy ifa:alarms:all_projects" in wall.find("#refused").text)
    wall.find("#everywhere").click()
    wall.find("#token").send_keys(TOKEN, Keys.ENTER)
    wall.until(lambda: wall.find("#none").is_displayed())
    chromium.refresh()
    wall.until(lambda: wall.find("#none").is_displayed())
    wall.find("#leave").click()
    wall.shoot("ifa-wall-token.png")
    chromium.refresh()
    assert wall.find("#token").is_displayed()
    assert wall.browser.execute_script("return sessionStorage.length") == 0
    chromium.get("about:blank")


def test_what_is_served_is_fenced_in(api: IfaApi) -> None:
    with serving(api) as url:
        for path, kind in (("/ui", "text/html"), ("/ui/", "text/html"), ("/ui/noc.js", "text/javascript")):
            with urllib.request.urlopen(f"{url}{path}", timeout=30) as answer:
                assert answer.headers["Content-Type"].startswith(kind)
                assert answer.headers["Content-Security-Policy"].startswith(
                    "default-src 'none'; script-src 'self'"
                )
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert api.client.simulate_get("/ui/../noc.js").status_code == 401
    assert api.client.simulate_post("/ui").status_code == 405
