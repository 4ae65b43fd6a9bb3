"""Names use the glossary of CONTRIBUTING.rst: neither a module nor an identifier has a retired word."""

from __future__ import annotations

import io
import keyword
import pathlib
import re
import tokenize
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = ("eventalarm", "tests", "benchmarks")

#: Each retired word, and the word of the glossary that replaces it.
RETIRED = {
    **dict.fromkeys(("life", "lives"), "occurrence"),
    **dict.fromkeys(("tale", "tales"), "notification log, or reconciliation"),
    **dict.fromkeys(("told", "untold"), "notification log"),
    **dict.fromkeys(("heard", "hear", "herald", "ear"), "subscription, notification"),
    **dict.fromkeys(("notice", "notices"), "notification"),
    **dict.fromkeys(("interest", "interests"), "filter"),
    **dict.fromkeys(("unheard", "deaf"), "stalled subscription"),
    **dict.fromkeys(("step", "steps"), "transition"),
    **dict.fromkeys(("letter", "letters"), "delivery"),
    **dict.fromkeys(("parcel", "parcels", "shipment", "shipments"), "delivery, or batch"),
    **dict.fromkeys(("pack", "packs", "packing", "packed"), "batch"),
    **dict.fromkeys(("portion", "portions"), "batch"),
    **dict.fromkeys(("duty", "duties"), "leader lease"),
    **dict.fromkeys(("alive", "signs"), "lease, health check or stats"),
    **dict.fromkeys(("lane", "lanes"), "queue per destination, scheduler"),
    **dict.fromkeys(("courier", "couriers"), "enqueuer"),
    "fence": "egress filter",
    **dict.fromkeys(("books", "ledger", "ledgers"), "unit of work, batch state"),
    **dict.fromkeys(("judge", "judged"), "evaluate"),
    **dict.fromkeys(("bucket", "buckets", "filing"), "postings"),
    "wall": "NOC dashboard",
    "own": "occurrence of eventalarm",
}

#: Parts of names that keep a retired word, each with its reason.
ALLOWED = {
    "dead_letter": "the industry's term",
    "dead_letters": "the industry's term",
    "DeadLetter": "the industry's term",
    "is_alive": "the method of threading.Thread",
    "keepalive": "the TCP option",
    "isAlive": "the method of libvirt",
    "setKeepAlive": "the method of libvirt",
    "pack_window": "a public option",
    "pack_limit": "a public option",
    "pack_into": "the function of struct",
    "stateful_step_count": "the setting of Hypothesis",
    "LATENCY_BUCKETS": "Prometheus' word for the bounds of a histogram",
    "AGE_BUCKETS": "Prometheus' word for the bounds of a histogram",
    "wall_clock": "the clock that people read, in contrast to a monotonic one",
    "clock_step": "a clock that is set steps",
    "next_steps": "what a reader does next",
    "StepFailed": "a step of the demo, which numbers them for its reader",
}

#: Words that have their ordinary meaning in one file, each with its reason.
ALLOWED_IN = {
    "eventalarm/metrics.py": {"buckets": "the argument of prometheus_client"},
    "eventalarm/storage/clock.py": {
        "step": "a clock that is set steps",
        "steps": "a clock that is set steps",
    },
    "eventalarm/standalone/demo.py": {"step": "a step of the demo"},
    "eventalarm/trial/own_cloud/proxy.py": {"pack": "the function of struct"},
    "tests/functional/test_clocks.py": {"step": "a clock that is set steps"},
    "tests/functional/test_demo.py": {"step": "a step of the demo"},
    "tests/functional/test_failover.py": {
        "fence": "cutting off a failed server, the term of cluster managers"
    },
    "tests/support/replicas.py": {"fence": "cutting off a failed server, the term of cluster managers"},
    "tests/unit/storage/test_clock.py": {
        "step": "a clock that is set steps",
        "steps": "a clock that is set steps",
    },
}

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _words(name: str) -> list[str]:
    for allowed in ALLOWED:
        name = re.sub(rf"(?<![a-z])(?i:{allowed})(?![a-z])", "", name)
    return [word.lower() for word in WORD.findall(name)]


def retired_in(name: str) -> list[str]:
    """Return the retired words of the identifier or module name *name*.

    *own* counts as the last word only: before a noun it is English.
    """
    words = _words(name)
    return [
        word
        for place, word in enumerate(words, 1)
        if word in RETIRED and (word != "own" or place == len(words))
    ]


def _names(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            yield token.start[0], token.string


def findings(root: pathlib.Path) -> list[str]:
    """Return ``path:line: name (word: replacement)`` for every retired word below *root*."""
    found = []
    for path in sorted(one for folder in FOLDERS for one in (root / folder).rglob("*.py")):
        where = path.relative_to(root)
        allowed = ALLOWED_IN.get(str(where), {})
        first: dict[str, int] = {path.stem: 0}
        for line, name in _names(path.read_text()):
            first.setdefault(name, line)
        for name, line in first.items():
            for word in retired_in(name):
                if word not in allowed:
                    found.append(f"{where}:{line}: {name} ({word}: {RETIRED[word]})")
    return found


def test_no_module_and_no_name_uses_a_retired_word() -> None:
    found = findings(ROOT)
    assert found == [], "\n".join(found)


def test_every_exception_is_needed() -> None:
    sources = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert ALLOWED_IN.keys() <= sources
    texts = "\n".join(
        (ROOT / path).read_text() for path in sources if not path.endswith("test_vocabulary.py")
    )
    assert [name for name in ALLOWED if name.lower() not in texts.lower()] == []


@pytest.mark.parametrize(
    "name", ["letters", "DeadLetterBox", "Ledger", "told_at", "LIVES", "_own", "own_alarms"]
)
def test_a_retired_word_is_found_in_every_spelling(name: str) -> None:
    assert (retired_in(name) != []) == (name not in {"DeadLetterBox", "own_alarms"})


@pytest.mark.parametrize("name", ["dead_letters", "alive_since", "deliveries", "owner", "downtime", "learn"])
def test_only_whole_words_count(name: str) -> None:
    assert (retired_in(name) != []) == (name == "alive_since")
