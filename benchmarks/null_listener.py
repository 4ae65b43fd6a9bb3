"""The floor of throughput: oslo.messaging's own batch listener with an endpoint that does nothing.

``python -m benchmarks.null_listener URL TOPIC EXCHANGE BATCH_SIZE PREFETCH`` listens until it is stopped.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import oslo_messaging
from oslo_config import cfg

from eventalarm import bus

# How long a batch that is not full waits; the last one of a drain does.
BATCH_TIMEOUT = 0.01


class Nothing:
    """The endpoint."""

    def sample(self, messages: list[dict[str, Any]]) -> None:
        """Take messages and do nothing."""


def main() -> None:
    """Listen until SIGTERM."""
    url, topic, exchange, batch_size, prefetch = sys.argv[1:]
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    listener = oslo_messaging.get_batch_notification_listener(
        bus.get_transport(conf, url, prefetch=int(prefetch)),
        [oslo_messaging.Target(topic=topic, exchange=exchange)],
        [Nothing()],
        executor="threading",
        allow_requeue=True,
        batch_size=int(batch_size),
        batch_timeout=BATCH_TIMEOUT,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listener.start()
    signal.pause()


if __name__ == "__main__":
    main()
