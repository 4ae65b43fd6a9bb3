"""The NOC dashboard in a real browser: what it shows, by keyboard, live, and with hostile names."""

from __future__ import annotations

import datetime
import json
import pathlib
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import falcon
import pytest
import sqlalchemy as sa
from falcon import testing
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from eventalarm.ifa_shim.api.sign_in import SignIn
from eventalarm.model import UTC
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from tests.functional.conftest import Spawn
from tests.functional.test_ifa_service import TOKEN, keystone, start
from tests.support.browser import Browser, keep_screenshot
from tests.support.builders import PROJECT, event_body, rule
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ifa_api import IfaApi
from tests.support.ifa_server import serving

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


class Dashboard(NamedTuple):
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
        """Set the age of the alarm of a server."""
        at = datetime.datetime.now(UTC) - datetime.timedelta(seconds=seconds)
        with self.api.database.engine.begin() as connection:
            for table, column in ((tables.occurrence, "raised_at"), (tables.transition, "recorded_at")):
                change = sa.update(table).where(table.c.managed_object == server)
                connection.execute(change.values(**{column: at}))

    def complaints(self) -> list[str]:
        """Return the log messages of the browser since the last call."""
        return [entry["message"] for entry in self.browser.get_log("browser")]


@pytest.fixture
def api(our_sqlite_url: str) -> Iterator[IfaApi]:
    opened = storage.connect(our_sqlite_url)
    yield IfaApi(opened, page_size=2)
    opened.dispose()


@pytest.fixture
def dashboard(chromium: Browser, api: IfaApi) -> Iterator[Dashboard]:
    with serving(api) as url:
        chromium.get(f"{url}/ui")
        yield Dashboard(chromium, api, url)
        chromium.get("about:blank")


def test_the_dashboard_is_live_and_works_by_keyboard(dashboard: Dashboard) -> None:
    for server, severity, seconds in (
        ("vm-7", "low", 7500),
        ("vm-4", "moderate", 1300),
        ("vm-2", "critical", 95),
    ):
        dashboard.alarm(server, severity)
        dashboard.fault(server, host="compute-3")
        dashboard.age(server, seconds)
    dashboard.alarm("vm-9", "critical", "database server failed")
    dashboard.enter()
    dashboard.until(lambda: dashboard.servers() == ["vm-2", "vm-4", "vm-7"])
    assert dashboard.texts("#rows .badge") == ["CRITICAL", "MAJOR", "WARNING"]
    assert [age.split()[1] for age in dashboard.texts("#rows td:last-child")] == ["min", "min", "h"]
    assert dashboard.texts("#counts b") == ["1", "1", "0", "1", "0"]
    assert (dashboard.find("#link-text").text, dashboard.browser.title) == ("Live", "(3) Alarms")

    # A raised alarm appears without user input, and is announced to screen readers.
    dashboard.fault("vm-9")
    dashboard.until(lambda: dashboard.servers() == ["vm-9", "vm-2", "vm-4", "vm-7"])
    assert "raised CRITICAL vm-9" in dashboard.find("#latest").text

    dashboard.press(Keys.ARROW_DOWN)
    assert dashboard.focused() == "vm-9"
    dashboard.press(Keys.ARROW_DOWN, Keys.ENTER)
    dashboard.until(lambda: dashboard.find("#detail").is_displayed() and dashboard.focused() == "vm-2")
    dashboard.until(lambda: dashboard.texts("#timeline b") == ["raised"])
    dashboard.fault("vm-2", host="compute-3", state="active")
    dashboard.fault("vm-2", host="compute-3")
    dashboard.until(lambda: dashboard.texts("#timeline b") == ["raised", "cleared", "raised"])
    assert "cleared" not in dashboard.servers()
    keep_screenshot(dashboard.browser, "noc-dashboard.png")
    dashboard.press(Keys.ESCAPE)
    dashboard.until(lambda: not dashboard.find("#detail").is_displayed())
    assert dashboard.focused() == "vm-2"
    dashboard.press("/", "vm-4")
    dashboard.until(lambda: dashboard.servers() == ["vm-4"])
    dashboard.press(Keys.ESCAPE)
    dashboard.until(lambda: len(dashboard.servers()) == 4)
    dashboard.find("#counts .MAJOR").send_keys(Keys.SPACE)
    dashboard.until(lambda: dashboard.servers() == ["vm-4"])
    dashboard.fault("vm-4", state="active")
    dashboard.until(lambda: dashboard.servers() == [])
    assert dashboard.find("#none").text.endswith("No active alarm matches")
    assert "cleared" in dashboard.find("#latest").text
    assert dashboard.complaints() == []


def test_an_alarm_is_acknowledged_by_keyboard_with_a_comment(dashboard: Dashboard) -> None:
    for server in ("vm-1", "vm-2"):
        dashboard.alarm(server, "critical", f"alarm of {server}")
        dashboard.fault(server)
    dashboard.enter()
    dashboard.until(lambda: dashboard.servers() == ["vm-2", "vm-1"])
    dashboard.press(Keys.ARROW_DOWN, "a")
    dashboard.until(lambda: dashboard.browser.switch_to.active_element.get_attribute("id") == "comment")
    dashboard.press("adds a disk", Keys.ENTER)
    dashboard.until(lambda: dashboard.texts("#rows .name")[0] == "✓ acknowledged · alarm of vm-2")
    assert dashboard.texts("#rows .name")[1] == "alarm of vm-1"
    dashboard.until(lambda: dashboard.texts("#timeline b") == ["acknowledged", "raised"])
    assert dashboard.texts("#timeline p")[0] == "adds a disk"
    assert "by noc" in dashboard.texts("#timeline p")
    keep_screenshot(dashboard.browser, "noc-dashboard-acknowledged.png")
    # Again by keyboard: the acknowledgement is removed.
    dashboard.find("#detail-title").send_keys("a")
    dashboard.until(lambda: dashboard.focused() == "Remove the acknowledgement")
    dashboard.press(Keys.ENTER)
    dashboard.until(lambda: dashboard.texts("#rows .name")[0] == "alarm of vm-2")
    dashboard.until(lambda: dashboard.texts("#timeline b") == ["raised"])
    assert dashboard.complaints() == []


def test_the_sound_is_off_and_the_colours_are_those_of_the_browser_until_a_key_is_pressed(
    dashboard: Dashboard,
) -> None:
    def ground() -> str:
        return str(dashboard.find("body").value_of_css_property("background-color"))

    dashboard.enter()
    dashboard.until(lambda: dashboard.find("#none").is_displayed())
    for server in ("vm-1", "vm-2"):
        dashboard.alarm(server, "critical")
    dashboard.fault("vm-1")
    dashboard.until(lambda: dashboard.servers() == ["vm-1"])
    assert dashboard.find("#sound").get_attribute("aria-pressed") == "false"
    assert dashboard.find("#sound").get_attribute("data-played") is None
    dashboard.press("s")
    assert dashboard.find("#sound").get_attribute("aria-pressed") == "true"
    dashboard.fault("vm-2")
    dashboard.until(lambda: dashboard.find("#sound").get_attribute("data-played") == "1")
    before = ground()
    dashboard.press("d")
    assert ground() != before
    dashboard.browser.refresh()
    dashboard.until(lambda: dashboard.servers() == ["vm-2", "vm-1"])
    assert ground() != before
    assert dashboard.find("#sound").get_attribute("aria-pressed") == "false"
    dashboard.press("d")
    assert ground() == before


def test_a_link_names_the_project_where_authentication_is_disabled(dashboard: Dashboard) -> None:
    dashboard.alarm("vm-1", "critical")
    dashboard.fault("vm-1")
    dashboard.browser.get("about:blank")
    dashboard.browser.get(f"{dashboard.url}/ui#project={PROJECT}")
    dashboard.until(lambda: dashboard.servers() == ["vm-1"])
    assert dashboard.browser.current_url == f"{dashboard.url}/ui"


def test_names_are_text_and_nothing_else_is_loaded(dashboard: Dashboard) -> None:
    dashboard.alarm("vm-1", "critical", HOSTILE)
    dashboard.fault("vm-1", event_type="compute.instance.update")
    dashboard.enter()
    dashboard.until(lambda: dashboard.texts("#rows .name") == [HOSTILE])
    dashboard.find("#rows .pick").click()
    dashboard.until(lambda: HOSTILE in dashboard.texts("#facts dd"))
    assert dashboard.browser.title == "(1) Alarms"
    assert dashboard.browser.find_elements(By.CSS_SELECTOR, "main img, main script") == []
    loaded = dashboard.browser.execute_script(
        "return performance.getEntriesByType('resource').map((one) => one.name)"
    )
    assert loaded
    assert {name for name in loaded if not name.startswith(f"{dashboard.url}/")} == set()
    # Injected markup could not run scripts either.
    dashboard.browser.execute_script(
        "document.body.insertAdjacentHTML('beforeend', arguments[0])",
        "<img src=data:x onerror=\"document.title='owned'\">",
    )
    dashboard.until(lambda: any("Content Security Policy" in text for text in dashboard.complaints()))
    assert dashboard.browser.title == "(1) Alarms"


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
    dashboard = Dashboard(chromium, api, url)
    chromium.get(f"{url}/ui")
    assert dashboard.find("#token").is_displayed()
    assert not dashboard.find("#project").is_displayed()
    dashboard.find("#everywhere").click()
    dashboard.find("#token").send_keys(TOKEN, Keys.ENTER)
    dashboard.until(lambda: "policy ifa:alarms:all_projects" in dashboard.find("#refused").text)
    dashboard.find("#everywhere").click()
    dashboard.find("#token").send_keys(TOKEN, Keys.ENTER)
    dashboard.until(lambda: dashboard.find("#none").is_displayed())
    chromium.refresh()
    dashboard.until(lambda: dashboard.find("#none").is_displayed())
    dashboard.find("#leave").click()
    keep_screenshot(chromium, "noc-dashboard-token.png")
    chromium.refresh()
    assert dashboard.find("#token").is_displayed()
    assert dashboard.browser.execute_script("return sessionStorage.length") == 0
    chromium.get("about:blank")


def test_a_password_is_exchanged_for_a_token_that_is_kept_in_memory_only(
    chromium: Browser,
    api: IfaApi,
    our_sqlite_url: str,
    tmp_path: pathlib.Path,
    spawn: Spawn,
    webhook_sink: WebhookSink,
) -> None:
    keystone(webhook_sink)
    process, url = start(our_sqlite_url, tmp_path, spawn, webhook_sink)
    dashboard = Dashboard(chromium, api, url)
    chromium.get(f"{url}/ui")
    for name, text in (("user", "noc"), ("password", "s3cret"), ("project-name", "p")):
        dashboard.find(f"#{name}").send_keys(text)
    dashboard.press(Keys.ENTER)
    dashboard.until(lambda: dashboard.find("#none").is_displayed())
    asked = [json.loads(one.body) for one in webhook_sink.requests if one.method == "POST"]
    assert [
        one["auth"]["identity"]["password"]["user"] for one in asked if "password" in one["auth"]["identity"]
    ] == [{"name": "noc", "domain": {"name": "Default"}, "password": "s3cret"}]
    assert asked[-1]["auth"]["scope"] == {"project": {"name": "p", "domain": {"name": "Default"}}}
    stored = "return JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])"
    assert TOKEN not in chromium.execute_script(stored)
    assert dashboard.find("#password").get_attribute("value") == ""
    chromium.refresh()
    assert dashboard.find("#user").is_displayed()
    assert "s3cret" not in process.text()
    chromium.get("about:blank")


@pytest.mark.parametrize(
    ("status", "answered", "words"),
    [(401, 401, "refuses this user, password or project"), (500, 503, "does not answer")],
)
def test_a_refused_password_is_answered_with_the_reason(
    api: IfaApi, webhook_sink: WebhookSink, status: int, answered: int, words: str
) -> None:
    webhook_sink.behave("/v3/auth/tokens", statuses=[status])
    app = falcon.App()
    app.add_route("/ui/token", SignIn(lambda: webhook_sink.url("/"), at_once=1))
    client = testing.TestClient(app)
    body = {"user": "noc", "password": "wrong", "project": "p"}
    found = client.simulate_post("/ui/token", json=body)
    assert (found.status_code, words in found.text) == (answered, True)
    assert "wrong" not in found.text
    for bad, field in (
        ({**body, "user": ""}, "/user"),
        ({**body, "x": 1}, "/x"),
        ({**body, "password": 1}, "/password"),
    ):
        assert client.simulate_post("/ui/token", json=bad).status_code == 400, field
    busy = testing.TestClient(falcon.App())
    busy.app.add_route("/ui/token", SignIn(lambda: webhook_sink.url("/"), at_once=0))
    assert busy.simulate_post("/ui/token", json=body).status_code == 503


def test_the_headers_confine_the_page(api: IfaApi) -> None:
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
