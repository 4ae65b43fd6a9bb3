"""Actions that Aodh's code carries out: in its notifier plugins (zaqar, log, ...), or in aodh-notifier."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from oslo_log import log
from oslo_utils import netutils
from stevedore import driver

from eventalarm.delivery import action
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.threads import Threads
from eventalarm.exceptions import DeliveryError, MessageTooLarge, PublishError
from eventalarm.model import Delivery, JSONDict


class _Errors(logging.Handler):
    """Collects the errors that one thread logs to the loggers of one package."""

    def __init__(self, package: str) -> None:
        super().__init__(logging.ERROR)
        self._package = package
        self._thread = threading.get_ident()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message without its arguments, which may contain a tenant's secrets."""
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
    """Collect the errors that *plugin*'s package logs in the calling thread inside the context.

    An error is kept as its format string and the type of its exception, never with arguments.
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
    """Return the loggers that receive all records of *package*: the root, and those that do not propagate."""
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


LOG = log.getLogger(__name__)

NAMESPACE: Final = "aodh.notifier"


def installed() -> frozenset[str]:
    """Return the schemes that an installed plugin serves."""
    return frozenset(importlib.metadata.entry_points(group=NAMESPACE).names)


class PluginSender:
    """Calls plugins as Aodh's notifier does, each scheme in its own threads.

    A plugin is loaded for its first delivery, so that Keystone is required only where an action needs it.
    Return values are ignored. A call failed if it raised, did not return in time, or logged an error:
    Aodh's plugins for Zaqar and Heat log that the service refused, and return.
    """

    def __init__(
        self, conf: Any, options: DeliveryOptions, schemes: Callable[[], frozenset[str]] = installed
    ) -> None:
        self._conf = conf
        self._options = options
        self._schemes = schemes()
        self._plugins: dict[str, Any] = {}
        self._threads: dict[str, Threads] = {}
        self._loading = threading.Lock()

    def destination(self, delivery: Delivery) -> Destination:
        """Return the scheme: its deliveries share its threads."""
        threads = self._options.plugin_threads
        return Destination(action.scheme(delivery.action), "", 0, max(1, threads // 2), threads)

    async def send(self, delivery: Delivery) -> None:
        """Call the plugin.

        :raises DeliveryError: ``unknown_scheme`` (permanent) without a plugin, ``plugin_unusable`` if it
            cannot be loaded, ``plugin_error`` if it raised or logged an error, ``timeout`` and ``busy``.
        """
        scheme = action.split(delivery.action).scheme
        if scheme not in self._schemes:
            raise DeliveryError("unknown_scheme", "no aodh.notifier plugin has this scheme", permanent=True)
        if scheme not in self._threads:
            limit, timeout = self._options.plugin_threads, self._options.total_timeout
            self._threads[scheme] = Threads(f"notifier {scheme}", limit, timeout)
        await self._threads[scheme].run(self._notify, scheme, delivery)

    async def close(self) -> None:
        """Do nothing: the threads end by themselves."""

    def _notify(self, scheme: str, delivery: Delivery) -> None:
        plugin = self._loaded(scheme)
        url = netutils.urlsplit(delivery.action)
        sent = delivery.notification
        with errors_of(plugin) as errors:
            try:
                plugin.notify(
                    url,
                    sent.alarm_id,
                    sent.alarm_name,
                    sent.severity,
                    sent.previous,
                    sent.current,
                    sent.reason,
                    sent.reason_data,
                )
            except Exception as exc:
                # The text of the exception may contain the URL with a tenant's secrets.
                raise DeliveryError("plugin_error", type(exc).__name__) from exc
        if errors:
            raise DeliveryError("plugin_error", errors[-1])

    def _loaded(self, scheme: str) -> Any:
        with self._loading:
            if scheme not in self._plugins:
                try:
                    manager: Any = driver.DriverManager(
                        NAMESPACE, scheme, invoke_on_load=True, invoke_args=(self._conf,)
                    )
                except Exception as exc:
                    LOG.debug("The aodh.notifier plugin for %s:// cannot be loaded", scheme, exc_info=True)
                    raise DeliveryError("plugin_unusable", type(exc).__name__) from exc
                self._plugins[scheme] = manager.driver
            return self._plugins[scheme]


EVENT_TYPE = "alarm.update"

# Sends the payload of one ``alarm.update`` sample; raises PublishError or MessageTooLarge.
Publish = Callable[[JSONDict], None]


class AodhTopicSender:
    """Publishes each delivery; it counts as delivered when the broker accepted it."""

    def __init__(self, publish: Publish, options: DeliveryOptions) -> None:
        self._publish = publish
        threads = options.plugin_threads
        self._destination = Destination("aodh-notifier", "", 0, max(1, threads // 2), threads)
        self._threads = Threads("aodh-notifier", options.plugin_threads, options.total_timeout)

    def destination(self, delivery: Delivery) -> Destination:
        """Return the broker, whatever the action is."""
        return self._destination

    async def send(self, delivery: Delivery) -> None:
        """Publish the notification as Aodh's evaluator does.

        :raises DeliveryError: ``publish`` if the broker did not accept it, ``too_large`` (permanent) if it
            rejects its size.
        """
        payload = {"actions": [delivery.action], **delivery.notification.body()}
        try:
            await self._threads.run(self._publish, payload)
        except PublishError as exc:
            raise DeliveryError("publish", "the broker did not accept the message") from exc
        except MessageTooLarge as exc:
            raise DeliveryError("too_large", "the broker rejects its size", permanent=True) from exc

    async def close(self) -> None:
        """Do nothing."""
