"""No backtracking expression over text that a tenant, an event or a consumer chooses: RE2, or none.

Python's ``re`` can take minutes for kilobytes of text, during which it blocks every thread.
"""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest
import yaml

import eventalarm
from eventalarm import reasons
from eventalarm.delivery import action
from eventalarm.evaluator.event_rule import compile_rule
from eventalarm.ifa_shim import actions
from eventalarm.ifa_shim.subscriptions.notifications import Style
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import UTC, Event, Notification, parse_time
from eventalarm.patterns import matches_glob, regex_test
from tests.support.builders import NOW, event_body

ROOT = pathlib.Path(eventalarm.__file__).parent
# Modules of Python that backtrack, or create expressions that do.
BACKTRACKING = {"re", "sre_compile", "regex", "fnmatch", "glob", "textwrap", "string"}
# Reviewed modules, and the origin of the text that each matches: never a tenant, an event or a consumer.
REVIEWED = {
    "service.py": "texts of oslo.config's errors",
    "status/queue_limits.py": "what the broker says of itself",
    "bus.py": "texts of the broker's errors",
    "broker_errors.py": "texts of the broker's errors",
    "publisher/options.py": "publisher URLs of the deployer",
    "publisher/partitions.py": "names of our own topics",
    "cmd/filters.py": "arguments of our commands",
    "pulse/plugins/service_urls.py": "URLs of the catalogue, which operators write",
    "pulse/plugins/web.py": "texts of errors about URLs of operators",
    "metrics_server.py": "names of our own files",
    "status/checks.py": "our own reports, wrapped for a terminal",
    "trial/own_cloud/programs/processes.py": "what programs of ours print",
    "trial/own_cloud/stage.py": "what programs of ours print",
    "trial/own_cloud/services/faketime.py": "the folder of libfaketime",
    "patterns.py": "fnmatch.translate writes one character class for RE2; nothing is matched with it",
}
# Patterns of JSON Schema run in ``re``: one repeated class after the other, each with its own characters, or
# a list whose separator is in none of its words.
REVIEWED_SCHEMAS = {
    r"^[0-9]+\.[0-9]+\.[0-9]+(-impl:\S+)?$",
    '^"[0-9a-f]+"$',
    r"^[^\u0000]+$",
    r"^[^\u0000]*$",
    "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "^(pending|leased|deferred|delivered|failed|superseded)(,(pending|leased|deferred|delivered|failed|superseded))*$",
    "^whsec_",
    "^whpk_",
}


def _imported(path: pathlib.Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("__import__", "import_module")):
            yield from (str(one.value) for one in node.args[:1] if isinstance(one, ast.Constant))


def test_every_use_of_re_is_reviewed() -> None:
    used = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in ROOT.rglob("*.py")
        if (found := BACKTRACKING.intersection(_imported(path)))
    }
    assert set(used) - set(REVIEWED) == set(), "use eventalarm.patterns (RE2), or review whose text it is"
    assert set(REVIEWED) - set(used) == set(), "no longer needed"


def _patterns(document: object) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "pattern" and isinstance(value, str):
                yield value
            elif key == "patternProperties":
                yield from value
            yield from _patterns(value)
    elif isinstance(document, list):
        for value in document:
            yield from _patterns(value)


def test_every_pattern_of_a_schema_is_reviewed() -> None:
    documents = [*ROOT.rglob("*.yaml"), *ROOT.rglob("*.json")]
    assert documents
    found = {pattern for path in documents for pattern in _patterns(yaml.safe_load(path.read_text()))}
    assert found <= REVIEWED_SCHEMAS


MANY = 3000
HOSTILE = {
    "separators": ",event_type=" * MANY + "> " * MANY,
    "verdicts": "> " * MANY + " the query <query=" * MANY,
    "digits": "-1" * MANY,
    "stars": "*a" * MANY,
    "parameters": "?" + "=;&" * MANY,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_processed_quickly_everywhere(text: str) -> None:
    """Fails with an expression of three lazy groups over the reason: minutes."""
    reason = f"Event <id=a,event_type=b> hits the clear query <query={text}>."
    assert reasons.parse(reason) is None or text in reason
    reasons.query_in(reason)
    reasons.message_id_in(text)
    notification = Notification(
        "n", "a", "low", "alarm", "ok", reason, {"type": "event", "event": event_body()}
    )
    assert actions.sol003_notification(notification, NOW, "d", Settings(), Style())
    Event.parse(event_body(generated=text)).time(NOW)
    with pytest.raises(ValueError):
        parse_time(text)
    matches_glob("a" * 16384, text)
    matches_glob(text, "*" + "a" * 250 + "b")
    regex_test("(.*a){20}$")(text)
    rule = compile_rule({"event_type": text + "*", "query": []}, ())
    assert not rule.watches("a" * 1024)
    action.masked(f"http://host/{text}")
    action.start(f"http://{text}")
    action.goes_to(f"http://{text}")(f"http://{text}")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("Event <id=a,event_type=b> hits the query <query=[1]>.", ("a", "b", "[1]")),
        ("Event <id=a,event_type=b> no longer hits the query <query=[]>", ("a", "b", "[]")),
        ('Event <id=a,event_type=b> hits the query <query=["> "]>.', ("a", "b", '["> "]')),
        ("Event <id=,event_type=b> hits the query <query=[]>.", None),
        ("Event <id=a,event_type=b> hits the clear query <query=[]>.", None),
        ("Event <id=a,event_type=b> hits the query <query=[]", None),
        ("Manually set via API", None),
        ("", None),
    ],
)
def test_reasons_are_parsed(reason: str, said: tuple[str, str, str] | None) -> None:
    found = reasons.parse(reason)
    assert (found and (found.message_id, found.event_type, found.query)) == said


def test_an_event_cannot_forge_the_query_of_a_reason() -> None:
    """Given the id and type of the event; without them, the query is taken from the event type."""
    event_type = 'b> hits the query <query=["forged"]>. '
    reason = reasons.compose("a", event_type, "hits the query", ["real"])
    assert reasons.query_in(reason, "a", event_type) == ["real"]


@pytest.mark.parametrize("text", ["2026-5-1", "2026-05-1T01:2:3", "2026-5-1T01:02:03+00:00"])
def test_times_with_one_digit_are_read(text: str) -> None:
    assert parse_time(text).astimezone(UTC).month == 5
