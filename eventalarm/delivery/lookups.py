"""Which host name is resolved next: fair between projects, some threads kept for known names. Pure."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

RESERVED_SHARE: Final = 4

# (project, host name)
Key = tuple[str, str]


class LookupQueue:
    """Lets *limit* lookups run at once; a project may have as many as are still free.

    So N projects whose name servers do not answer leave 1/(N+1) of the threads free, and a quarter of all is
    kept for names that were resolved before.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._reserve = limit // RESERVED_SHARE
        self._running: Counter[str] = Counter()
        # By whether they were resolved before: project -> waiting names.
        self._waiting: dict[bool, dict[str, deque[Key]]] = {True: {}, False: {}}

    def put(self, key: Key, *, known: bool) -> None:
        """Queue a lookup; *known*: the name was resolved before."""
        self._waiting[known].setdefault(key[0], deque()).append(key)

    def remove(self, key: Key) -> bool:
        """Remove a lookup that no delivery waits for any more; return False if it is not queued."""
        for queues in self._waiting.values():
            names = queues.get(key[0])
            if names is not None and key in names:
                names.remove(key)
                if not names:
                    del queues[key[0]]
                return True
        return False

    def take(self) -> Key | None:
        """Return the next lookup to run, or None when none may run now."""
        for known in (True, False):
            queues = self._waiting[known]
            if not queues:
                continue
            project = min(queues, key=self._running.__getitem__)
            if self._running[project] >= (self._free if known else self._free - self._reserve):
                continue
            # Among equals, the others come first next time.
            names = queues.pop(project)
            key = names.popleft()
            if names:
                queues[project] = names
            self._running[project] += 1
            self._free -= 1
            return key
        return None

    def finished(self, key: Key) -> None:
        """Record that a lookup that was taken has ended."""
        self._free += 1
        self._running[key[0]] -= 1
        if not self._running[key[0]]:
            del self._running[key[0]]
