"""How fast events became webhooks while nothing was broken, and ETSI's service availability levels."""

from __future__ import annotations

import bisect
from typing import Final

from tests.functional.disruption.history.facts import Facts
from tests.functional.disruption.history.records import History, Strike

# ETSI GS NFV-REL 001 V1.1.1, as OPNFV's availability project quotes it: the longest recovery in seconds at
# service availability levels 1, 2 and 3, and the longest detection at level 1.
RECOVERY: Final = (6.0, 15.0, 25.0)
DETECTION: Final = 1.0
# Seconds before a disruption in which an event may not become a webhook in time, and after it, in which what
# waited meanwhile is worked off.
AROUND: Final = 1.0


def level(recovery: float) -> str:
    """Return the service availability level that a recovery of so many seconds fulfils."""
    place = bisect.bisect_left(RECOVERY, recovery)
    return f"SAL {place + 1}" if place < len(RECOVERY) else "none"


def detections(history: History, consumer: str, apart_from: str) -> list[float]:
    """Return the seconds from publishing each event to its webhook at *consumer*, while nothing is broken.

    Only the first message that held an event, and the first POST that was accepted for it, count.

    :param apart_from: the first words of disruptions that do not concern this consumer.
    """
    facts = Facts(history)
    struck = [one for one in history.of(Strike) if not apart_from or not one.name.startswith(apart_from)]
    broken = [(one.began - AROUND, one.ended + AROUND) for one in struck]
    first: dict[str, float] = {}
    for receipt in facts.receipts:
        if receipt.status == facts.run.accepted and receipt.consumer == consumer:
            first.setdefault(receipt.message_id, receipt.began)
    found = []
    for message_id, published in facts.events.items():
        at = published.began
        if message_id in first and not any(began <= at <= ended for began, ended in broken):
            found.append(first[message_id] - at)
    return sorted(found)
