"""The Prometheus rules: promtool accepts them, each alert fires on its fault, each has a metric and a row."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.unit.test_metrics import NAME, ROOT, samples

RULES = ROOT / "eventalarm/etc/prometheus-rules.yaml"
TESTS = ROOT / "tests/data/prometheus-rules-test.yaml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
# Labels that Prometheus or a histogram adds.
ADDED = {"instance", "job", "le"}


def rules(kind: str) -> list[dict[str, Any]]:
    """Return the rules of a *kind*: ``alert`` or ``record``."""
    return [rule for group in GROUPS for rule in group["rules"] if kind in rule]


def promtool(*arguments: str | pathlib.Path) -> str:
    program = shutil.which("promtool")
    if program is None:
        raise RuntimeError("promtool is missing: apt-get install prometheus (bindep -b test)")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_tests(folder: pathlib.Path, text: str) -> str:
    """Run the unit tests of the rules against the rules in *text*."""
    (folder / "rules.yaml").write_text(text)
    return promtool("test", "rules", shutil.copy(TESTS, folder))


def test_promtool_accepts_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)


def test_each_alert_fires_on_its_fault_and_none_in_good_health(tmp_path: pathlib.Path) -> None:
    assert "SUCCESS" in run_tests(tmp_path, RULES.read_text())


def test_the_unit_tests_of_the_rules_fail_on_another_threshold(tmp_path: pathlib.Path) -> None:
    changed = RULES.read_text().replace("oldest_due_seconds) > 30", "oldest_due_seconds) > 60")
    with pytest.raises(AssertionError, match="EventalarmOutboxOld"):
        run_tests(tmp_path, changed)


def test_each_alert_is_tested() -> None:
    text = TESTS.read_text()
    # A test names an alert, or matches it by a regular expression.
    patterns = [re.compile(f"{one}$") for one in re.findall(r'alertname(?:: |=~?")([^"\n]+)', text)]
    names = [rule["alert"] for rule in rules("alert")]
    assert [name for name in names if not any(pattern.match(name) for pattern in patterns)] == []


@pytest.mark.parametrize(
    "rule", [*rules("alert"), *rules("record")], ids=lambda rule: next(iter(rule.values()))
)
def test_each_rule_reads_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    known = samples()
    recorded = {one["record"] for one in rules("record")}
    used = set(NAME.findall(rule["expr"]))
    assert used or any(name in rule["expr"] for name in recorded)
    for name, selectors in re.findall(r"\b(eventalarm_[a-z_]+)(\{[^}]*\})?", rule["expr"]):
        assert name in known
        assert set(re.findall(r"(\w+)=", selectors)) <= known[name] | ADDED
    for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        assert set(labels.split(", ")) <= set.union(*(known[name] for name in used)) | ADDED


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: str(rule["alert"]))
def test_each_alert_has_a_severity_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description"}


def test_the_documentation_lists_each_alert_with_its_severity() -> None:
    text = (ROOT / "doc/source/admin/metrics.rst").read_text()
    rows = dict(re.findall(r"^``(Eventalarm\w+)``  +(\w+) ", text, re.M))
    assert rows == {rule["alert"]: rule["labels"]["severity"] for rule in rules("alert")}
