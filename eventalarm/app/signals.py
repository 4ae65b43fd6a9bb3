"""What the threads of one listener process share."""

from __future__ import annotations

import dataclasses
import threading

from eventalarm.trace import LastEvent, Trace
from eventalarm.watchdog import Progress


@dataclasses.dataclass(frozen=True)
class ProcessSignals:
    """Shared state of one listener process; each member is safe to use from any thread."""

    trace: Trace | None = None
    stopping: threading.Event = dataclasses.field(default_factory=threading.Event)
    last_event: LastEvent = dataclasses.field(default_factory=LastEvent)
    progress: Progress = dataclasses.field(default_factory=Progress)
