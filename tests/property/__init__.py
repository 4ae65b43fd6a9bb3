"""Property tests: generated alarms and events against Aodh's own code and against brute force."""

from __future__ import annotations

import os
from typing import Any

import hypothesis

FACTOR = int(os.environ.get("EVENTALARM_EXAMPLES", "1"))


def examples(count: int, **others: Any) -> hypothesis.settings:
    """Return settings for *count* examples, times the environment's EVENTALARM_EXAMPLES."""
    return hypothesis.settings(max_examples=count * FACTOR, **others)
