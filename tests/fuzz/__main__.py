"""Rules and events from mutated bytes, guided by coverage: ``tox -e fuzz -- -max_total_time=600``.

Whatever escapes, and whatever takes longer than a second, ends the run with the input that caused it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
import time

import atheris

with atheris.instrument_imports(include=["eventalarm"]):
    from eventalarm.evaluator.event_rule import compile_rule
    from eventalarm.evaluator.index import ProjectIndex
    from eventalarm.evaluator.notification_rule import compile_notification, parse
    from eventalarm.evaluator.options import RuleLimits
    from eventalarm.exceptions import InvalidRule
    from eventalarm.publisher import codec

NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
RESOURCE_TRAITS = ("resource_id", "host")
MOST_SECONDS = 1.0
SEED_RULE = {"event_type": "a*", "query": {"or": [{"field": "traits.x", "op": "regex", "value": "a+"}]}}
SEED_EVENT = {"message_id": "m", "event_type": "ab", "traits": [["x", 1, "aaa"], ["y", 4, "2026-05-01"]]}


def one_input(data: bytes) -> None:
    """Read ``[rule, event, …]`` and let the events meet the rule."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    rule, *events = document if isinstance(document, list) and document else [document]
    began = time.process_time()
    index = ProjectIndex()
    with contextlib.suppress(InvalidRule):
        index.add("a", compile_notification(parse(rule, RuleLimits()), RESOURCE_TRAITS), True)
    with contextlib.suppress(InvalidRule):
        index.add("b", compile_rule(rule, RESOURCE_TRAITS), True)
    for event in codec.decode(events)[0]:
        index.candidates(event, NOW)
    took = time.process_time() - began
    if took > MOST_SECONDS:
        raise RuntimeError(f"{took:.1f} s")


def main() -> None:
    """Run until told to stop; libFuzzer's options are taken as they are."""
    one_input(json.dumps([SEED_RULE, SEED_EVENT]).encode())
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
