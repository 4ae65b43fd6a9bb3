"""What an ``aodh.notifier`` plugin logs while it notifies: the only way in which some report a failure."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any


class _Errors(logging.Handler):
    """Collects the errors that one thread logs to the loggers of one package."""

    def __init__(self, package: str) -> None:
        super().__init__(logging.ERROR)
        self._package = package
        self._thread = threading.get_ident()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what the record says without values, which may hold a tenant's secrets."""
        if record.thread != self._thread or record.name.partition(".")[0] != self._package:
            return
        kind = record.exc_info[0] if record.exc_info else None
        text = _without_values(record)
        self.found.append(f"{text} ({kind.__name__})" if kind else text)


def _without_values(record: logging.LogRecord) -> str:
    text = str(record.msg).partition("\n")[0][:200]
    filled_in = not record.args and ("://" in text or "=" in text)
    return f"{record.name} logged an error" if filled_in or not text else text


@contextlib.contextmanager
def errors_of(plugin: Any) -> Iterator[list[str]]:
    """Collect the messages of level ERROR that *plugin*'s package logs in the calling thread meanwhile.

    A message is kept as the template that was logged, with the type of its exception, never with values.
    """
    package = type(plugin).__module__.partition(".")[0]
    handler = _Errors(package)
    loggers = _ends_of(package)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield handler.found
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _ends_of(package: str) -> list[logging.Logger]:
    """Return the loggers at which records of *package* end: the root, and those that do not propagate."""
    known = list(logging.root.manager.loggerDict.items())
    return [
        logging.getLogger(),
        *(
            logger
            for name, logger in known
            if isinstance(logger, logging.Logger)
            and not logger.propagate
            and name.partition(".")[0] == package
        ),
    ]
