"""A policy of the inspector that the tests share."""

from __future__ import annotations

from typing import Any

# More than two faults that are not critical on one host within 10 minutes: the host is unavailable.
POLICY: dict[str, Any] = {
    "name": "unavailable",
    "event": "compute.host.*",
    "traits": {"severity": ["minor", "warning"]},
    "by": "hostname",
    "at_least": 3,
    "within": 600,
    "emit": {"event": "compute.host.down", "traits": {"status": "down", "severity": "critical"}},
}
