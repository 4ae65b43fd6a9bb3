"""Actions of other schemes: Aodh's own plugins, and aodh-notifier's topic."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import oslo_messaging
import pytest
from aodh.notifier import rest
from oslo_config import cfg

from eventalarm import bus
from eventalarm import conf as our_options
from eventalarm.delivery.options import DeliveryOptions, from_conf
from eventalarm.delivery.senders.aodh import EVENT_TYPE, AodhTopicSender, PluginSender, installed
from eventalarm.delivery.senders.base import Router
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.threads import Threads
from eventalarm.exceptions import DeliveryError, MessageTooLarge, PublishError
from tests.support.actions import OPTIONS, aodh_options, attempt, failure
from tests.support.deliveries import make_delivery
from tests.support.helpers import WebhookSink, wait_until


@pytest.fixture(scope="module")
def conf() -> cfg.ConfigOpts:
    return aodh_options()


def build_options() -> DeliveryOptions:
    """Return the default options of delivery."""
    made = cfg.ConfigOpts()
    our_options.register_opts(made)
    made.register_opts(rest.OPTS)
    made([], default_config_files=[])
    return from_conf(made)


def test_aodh_plugins_are_installed() -> None:
    assert {"http", "https", "log", "test", "trust+http", "trust+https", "zaqar"} <= installed()


def test_a_plugin_is_called_as_aodh_calls_it(conf: cfg.ConfigOpts) -> None:
    sender = PluginSender(conf, OPTIONS)
    item = make_delivery("test://somewhere/x?y=z")
    assert attempt(sender, item) is None
    (call,) = sender._plugins["test"].notifications
    action, *received = call
    assert (action.scheme, action.netloc, action.path, action.query) == ("test", "somewhere", "/x", "y=z")
    body = item.notification.body()
    names = ("alarm_id", "alarm_name", "severity", "previous", "current", "reason", "reason_data")
    assert received == [body[name] for name in names]


def test_the_log_plugin_logs(conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aodh.notifier.log")
    assert attempt(PluginSender(conf, OPTIONS), make_delivery("log://")) is None
    assert "Notifying alarm disk" in caplog.text


def test_a_delivery_with_an_unknown_scheme_is_given_up_at_once(conf: cfg.ConfigOpts) -> None:
    for action in ("gopher://h/", "nonsense", ""):
        error = failure(PluginSender(conf, OPTIONS), make_delivery(action))
        assert (error.reason, error.permanent) == ("unknown_scheme", True)


def test_a_plugin_that_cannot_be_loaded_fails_its_scheme_only(conf: cfg.ConfigOpts) -> None:
    schemes = installed() | {"missing"}

    async def run() -> DeliveryError:
        sender = PluginSender(conf, OPTIONS, lambda: schemes)
        with pytest.raises(DeliveryError) as caught:
            await sender.send(make_delivery("missing://x"))
        await sender.send(make_delivery("test://x"))
        return caught.value

    error = asyncio.run(run())
    assert (error.reason, error.permanent) == ("plugin_unusable", False)


class Troubled:
    """A plugin that fails as its constructor's argument says."""

    def __init__(self, trouble: Callable[..., object]) -> None:
        self.notify = trouble


def test_an_error_of_a_plugin_fails_the_attempt_without_revealing_secrets(conf: cfg.ConfigOpts) -> None:
    def trouble(*args: Any) -> None:
        raise ValueError(args[0].geturl())

    sender = PluginSender(conf, OPTIONS)
    sender._plugins["test"] = Troubled(trouble)
    error = failure(sender, make_delivery("test://x/?signature=secret"))
    assert (error.reason, error.detail, error.permanent) == ("plugin_error", "ValueError", False)


SIGNED = "zaqar://?queue_name=q&project_id=p&paths=/v2/queues/q/messages&methods=POST,PUT&expires=2099-01-01T00:00:00&signature=secret"


def zaqar(conf: cfg.ConfigOpts, sink: WebhookSink) -> PluginSender:
    """Return a sender whose real Zaqar plugin, with the real zaqarclient, finds *sink* in place of Zaqar."""
    sender = PluginSender(conf, DeliveryOptions(total_timeout=20.0, plugin_threads=2))
    sender._loaded("zaqar")._zendpoint = sink.url("/")
    return sender


def test_a_refusal_of_zaqar_fails_the_attempt(conf: cfg.ConfigOpts, webhook_sink: WebhookSink) -> None:
    refusal = json.dumps({"title": "Forbidden", "description": "the signature expired"}).encode()
    messages = "/v2/queues/q/messages"
    webhook_sink.behave(messages, statuses=[403], body=refusal, headers={"Content-Type": "application/json"})
    error = failure(zaqar(conf, webhook_sink), make_delivery(SIGNED))
    assert (error.reason, error.permanent) == ("plugin_error", False)
    assert "Failed to post message to Zaqar queue" in error.detail
    assert "secret" not in error.detail
    assert len(webhook_sink.at(messages)) == 1


def test_a_message_that_zaqar_accepts_is_delivered(conf: cfg.ConfigOpts, webhook_sink: WebhookSink) -> None:
    answer = json.dumps({"resources": ["/v2/queues/q/messages/1"]}).encode()
    messages = "/v2/queues/q/messages"
    webhook_sink.behave(messages, statuses=[201], body=answer, headers={"Content-Type": "application/json"})
    assert attempt(zaqar(conf, webhook_sink), make_delivery(SIGNED)) is None
    (posted,) = webhook_sink.at(messages)
    assert posted.json["messages"][0]["body"]["current"] == "alarm"


def test_zaqar_without_an_endpoint_or_a_topic_fails(conf: cfg.ConfigOpts) -> None:
    for action in (SIGNED, "zaqar://?topic=heal&subscriber=http%3A//192.0.2.1/x", "zaqar://"):
        error = failure(PluginSender(conf, OPTIONS), make_delivery(action))
        assert (error.reason, error.permanent) == ("plugin_error", False)


def test_heat_without_a_stack_fails(conf: cfg.ConfigOpts) -> None:
    error = failure(PluginSender(conf, OPTIONS), make_delivery("trust+heat://trust-id"))
    assert (error.reason, error.detail) == (
        "plugin_error",
        "stack_id and asg_id must exist to notify alarm %s",
    )


def test_only_errors_of_the_plugin_in_its_own_call_fail_it(conf: cfg.ConfigOpts) -> None:
    """Errors of other packages or threads, and warnings, do not fail the plugin."""
    logger = logging.getLogger(f"{Troubled.__module__}.own")

    def trouble(*args: Any) -> None:
        logger.warning("only a warning")
        logging.getLogger("urllib3").error("retried, then it went well")
        other = threading.Thread(target=logger.error, args=("of somebody else",))
        other.start()
        other.join()

    sender = PluginSender(conf, OPTIONS)
    sender._plugins["test"] = Troubled(trouble)
    assert attempt(sender, make_delivery("test://x")) is None


@pytest.mark.parametrize(
    ("message", "arguments", "detail"),
    [
        ("refused: %s", ("secret",), "refused: %s"),
        ("refused: zaqar://?signature=secret", (), f"{__name__}.own logged an error"),
        ("the service refused", (), "the service refused"),
    ],
)
def test_an_error_logged_by_a_plugin_reveals_no_secret(
    conf: cfg.ConfigOpts, message: str, arguments: tuple[str, ...], detail: str
) -> None:
    logger = logging.getLogger(f"{Troubled.__module__}.own")
    sender = PluginSender(conf, OPTIONS)
    sender._plugins["test"] = Troubled(lambda *args: logger.error(message, *arguments))
    error = failure(sender, make_delivery("test://x"))
    assert (error.reason, error.detail) == ("plugin_error", detail)


def test_errors_of_a_plugin_whose_logger_does_not_propagate_count(conf: cfg.ConfigOpts) -> None:
    logger = logging.getLogger(f"{Troubled.__module__}.apart")
    logger.propagate = False
    sender = PluginSender(conf, OPTIONS)
    sender._plugins["test"] = Troubled(lambda *args: logger.error("refused"))
    try:
        assert failure(sender, make_delivery("test://x")).reason == "plugin_error"
    finally:
        logger.propagate = True


def test_a_hung_plugin_blocks_only_its_own_threads(conf: cfg.ConfigOpts) -> None:
    release = threading.Event()
    options = DeliveryOptions(total_timeout=0.2, plugin_threads=2)

    async def run() -> list[str]:
        sender = PluginSender(conf, options)
        sender._plugins["test"] = Troubled(lambda *args: release.wait(30))
        hung = make_delivery("test://x")
        reasons, before = [], time.monotonic()
        for _ in range(3):
            with pytest.raises(DeliveryError) as caught:
                await sender.send(hung)
            reasons.append(caught.value.reason)
        assert time.monotonic() - before < 5.0
        await sender.send(make_delivery("log://"))
        release.set()
        sender._plugins["test"] = Troubled(lambda *args: None)
        while True:  # until a thread is free again; pytest's timeout is the limit
            try:
                await sender.send(hung)
            except DeliveryError:
                continue
            return reasons

    try:
        assert asyncio.run(run()) == ["timeout", "timeout", "busy"]
    finally:
        release.set()


def test_the_caller_receives_the_exception_of_a_call() -> None:
    def own_timeout() -> None:
        raise TimeoutError("mine")

    async def run() -> None:
        threads = Threads("t", 1, timeout=5.0)
        assert await threads.run(max, 1, 2) == 2
        with pytest.raises(TimeoutError, match="mine"):
            await threads.run(own_timeout)
        with pytest.raises(ZeroDivisionError):
            await threads.run(divmod, 1, 0)

    asyncio.run(run())


def test_the_scheme_decides_who_sends(conf: cfg.ConfigOpts, webhook_sink: WebhookSink) -> None:
    http, others = HttpSender(OPTIONS), PluginSender(conf, OPTIONS)
    router = Router({"http": http, "https": http}, others)
    places = {
        action: router.destination(make_delivery(action))
        for action in ("HTTP://H:80/x", "log://a", "log://b", "x\ny")
    }
    assert (places["HTTP://H:80/x"].host, places["HTTP://H:80/x"].limit) == ("h", 16)
    assert places["log://a"] == places["log://b"]
    assert places["log://a"].total == OPTIONS.plugin_threads
    assert attempt(router, make_delivery(webhook_sink.url("/"))) == 200


def test_a_scheme_that_is_not_enabled_is_given_up_at_once(conf: cfg.ConfigOpts) -> None:
    """Aodh's test plugin keeps every notification in memory; by default it gets none."""
    default = build_options().action_schemes
    assert default is not None
    assert {"http", "https", "log", "zaqar", "trust+heat", "sol003+https"} <= default
    plugins = PluginSender(conf, OPTIONS)
    plugins._plugins["test"] = Troubled(pytest.fail)
    error = failure(Router({}, plugins, enabled=default), make_delivery("test://x"))
    assert (error.reason, error.permanent) == ("scheme_disabled", True)
    assert "[eventalarm_delivery] action_schemes" in error.detail
    assert attempt(Router({}, plugins, enabled=default), make_delivery("LOG://x")) is None


# ---- mode = aodh


def test_aodh_notifier_gets_what_aodh_would_send_it() -> None:
    """The payload goes through a real (in-memory) bus to Aodh's own endpoint and its plugins."""
    from aodh import notifier as aodh_notifier  # noqa: PLC0415
    from stevedore import extension  # noqa: PLC0415

    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, "fake://")
    plugins: extension.ExtensionManager[Any] = extension.ExtensionManager(
        "aodh.notifier", invoke_on_load=True, invoke_args=(conf,)
    )
    plugin = plugins["test"].obj
    assert plugin is not None
    endpoint = aodh_notifier.AlarmEndpoint(plugins)
    target = oslo_messaging.Target(topic="alarming-test", exchange="aodh-test")
    listener = oslo_messaging.get_batch_notification_listener(
        transport, [target], [endpoint], executor="threading", batch_size=1
    )
    listener.start()
    try:

        def publish(payload: Any) -> None:
            bus.send(
                transport, topic="alarming-test", exchange="aodh-test", event_type=EVENT_TYPE, payload=payload
            )

        item = make_delivery("test://x")
        assert attempt(AodhTopicSender(publish, OPTIONS), item) is None
        (call,) = wait_until(lambda: plugin.notifications)
    finally:
        listener.stop()
        listener.wait()
    names = ("alarm_id", "alarm_name", "severity", "previous", "current", "reason", "reason_data")
    assert list(call[1:]) == [item.notification.body()[name] for name in names]


@pytest.mark.parametrize(
    ("trouble", "reason", "permanent"),
    [(PublishError("no broker"), "publish", False), (MessageTooLarge("17 MB"), "too_large", True)],
)
def test_a_refusal_of_the_broker_fails_the_attempt(trouble: Exception, reason: str, permanent: bool) -> None:
    def publish(payload: Any) -> None:
        raise trouble

    error = failure(AodhTopicSender(publish, OPTIONS), make_delivery("zaqar://x"))
    assert (error.reason, error.permanent) == (reason, permanent)


def test_the_broker_is_one_destination() -> None:
    sender = AodhTopicSender(lambda payload: None, OPTIONS)
    assert sender.destination(make_delivery("http://a/")) == sender.destination(make_delivery("log://b/"))
