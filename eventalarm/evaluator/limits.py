"""How large a rule may be: measured when it is saved, so that no rule can make events expensive."""

from __future__ import annotations

import dataclasses
import sys
from typing import Final

# Deeper than this nothing is read, not even when the limits of a deployer were higher once.
DEEPEST: Final = 64


@dataclasses.dataclass(frozen=True, slots=True)
class RuleLimits:
    """The options of ``[eventalarm]`` with these names.

    ``size`` is in bytes of JSON, the lengths are in characters.
    """

    size: int = 32768
    depth: int = 8
    conditions: int = 100
    list_length: int = 100
    value_length: int = 1024
    pattern_length: int = 255


# What is saved is evaluated: a limit that was lowered afterwards must not silence an alarm.
WHEN_LOADED: Final = RuleLimits(
    size=sys.maxsize,
    depth=DEEPEST,
    conditions=sys.maxsize,
    list_length=sys.maxsize,
    value_length=sys.maxsize,
    pattern_length=sys.maxsize,
)
