"""What the status variables of a Galera node mean."""

from __future__ import annotations

import pytest

from eventalarm.exceptions import InvalidOption
from eventalarm.pulse.checks import CheckContext
from eventalarm.pulse.finding import Health
from eventalarm.pulse.plugins.galera import Galera, evaluate


class Options:
    galera_size = 0

    def __init__(self, *urls: str) -> None:
        self.galera_urls = list(urls)


def status(**changes: str) -> dict[str, str]:
    fine = {"cluster_size": "3", "cluster_status": "Primary", "ready": "ON", "local_state_comment": "Synced"}
    return {
        f"wsrep_{name}": value for name, value in {**fine, "flow_control_paused": "0.0", **changes}.items()
    }


@pytest.mark.parametrize(
    ("changes", "health", "text"),
    [
        ({}, Health.OK, "Synced in a cluster of 3"),
        ({"cluster_size": "2"}, Health.WARNING, "2 instead of 3 nodes"),
        ({"cluster_size": "1"}, Health.CRITICAL, "1 instead of 3 nodes"),
        ({"cluster_status": "non-Primary", "ready": "OFF"}, Health.CRITICAL, "outside of the primary"),
        ({"ready": "OFF"}, Health.CRITICAL, "wsrep_ready is OFF"),
        ({"local_state_comment": "Donor/Desynced"}, Health.WARNING, "is Donor/Desynced"),
        ({"flow_control_paused": "0.5"}, Health.WARNING, "50% of the time"),
        ({"cluster_size": "0", "cluster_status": "Disconnected"}, Health.CRITICAL, "not part of a Galera"),
    ],
)
def test_of_one_node(changes: dict[str, str], health: Health, text: str) -> None:
    found = evaluate("db-1:3306", status(**changes), 3)
    assert found.health is health
    assert text in found.summary
    assert bool(found.remedy) == found.failed
    assert found.host == ("db-1" if found.failed else "")


def test_a_server_without_galera_is_a_fault() -> None:
    assert evaluate("db-1:3306", {}, 0).health is Health.CRITICAL


def test_without_an_expected_size_any_size_is_good() -> None:
    assert evaluate("db-1:3306", status(cluster_size="1"), 0).health is Health.OK


def context(*urls: str) -> CheckContext:
    return CheckContext(options=Options(*urls), connect=lambda: None, timeout=1.0)


def test_each_node_is_looked_at_once() -> None:
    urls = ("mysql+pymysql://u:p@a/", "mysql+pymysql://u:p@a:3306/", "mysql+pymysql://u:p@[::1]:3307/")
    assert [one.target for one in Galera(context(*urls)).probes()] == ["a:3306", "[::1]:3307"]


@pytest.mark.parametrize("url", ["nonsense", "postgresql://u:secret@a/", "mysql+pymysql:///db"])
def test_another_url_names_option_and_remedy(url: str) -> None:
    with pytest.raises(InvalidOption, match=r"\[eventalarm_pulse\] galera_urls.*write mysql") as caught:
        list(Galera(context(url)).probes())
    assert "secret" not in str(caught.value)
