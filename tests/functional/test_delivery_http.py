"""Webhooks over real sockets: what a consumer receives, and the result of each kind of failure."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import json
import pathlib
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

from eventalarm.delivery import retry
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.exceptions import DeliveryError
from tests.support.deliveries import make_delivery
from tests.support.helpers import WebhookSink

Talk = Callable[[socket.socket, threading.Event], None]
QUICK = DeliveryOptions(connect_timeout=2.0, total_timeout=5.0)


def attempt(url: str, options: DeliveryOptions = QUICK, **fields: Any) -> int | DeliveryError:
    """Return the status of one attempt, or the DeliveryError it raised."""

    async def run() -> int | DeliveryError:
        sender = HttpSender(options)
        try:
            return await sender.send(make_delivery(url, **fields))
        except DeliveryError as exc:
            return exc
        finally:
            await sender.close()

    return asyncio.run(run())


def failure(url: str, options: DeliveryOptions = QUICK) -> DeliveryError:
    """Return the error of one attempt, which must fail."""
    error = attempt(url, options)
    assert isinstance(error, DeliveryError)
    return error


def connections(sender: HttpSender) -> Collection[Any]:
    """Return the idle connections of *sender*, those of one destination in each item."""
    assert sender._session is not None
    assert sender._session.connector is not None
    return sender._session.connector._conns.values()


@contextlib.contextmanager
def talker(talk: Talk) -> Iterator[int]:
    """Serve each connection with *talk(connection)* in a thread; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        ending = threading.Event()
        threads: list[threading.Thread] = []

        def serve(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                connection.settimeout(10)
                talk(connection, ending)

        def accept() -> None:
            while not ending.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    threads.append(threading.Thread(target=serve, args=(connection,)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server.getsockname()[1]
        finally:
            ending.set()
            accepting.join()
            for thread in threads:
                thread.join(10)


def answer_with(text: bytes) -> Talk:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(text)

    return talk


# ---- what a consumer sees


def test_a_consumer_sees_what_aodh_sends(webhook_sink: WebhookSink) -> None:
    item = make_delivery(webhook_sink.url("/a%2Fb?x=%7e&aodh-alarm-ssl-verify=0"))
    assert attempt(item.action, delivery_id="id-1", alarm_id="alarm-1") == 200
    assert attempt(item.action, delivery_id="id-1", alarm_id="alarm-1", attempts=1) == 200
    first, second = webhook_sink.wait(2)
    assert first.path == "/a%2Fb?x=%7e&aodh-alarm-ssl-verify=0"
    sample = pathlib.Path(__file__).parents[1] / "data" / "aodh-webhook-body.json"
    assert set(first.json) == set(json.loads(sample.read_text()))
    assert list(first.json) == [
        "alarm_name",
        "alarm_id",
        "severity",
        "previous",
        "current",
        "reason",
        "reason_data",
    ]
    expected = make_delivery(item.action, alarm_id="alarm-1").notification.body()
    assert first.body == json.dumps(expected).encode()
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["X-Eventalarm-Delivery-Id"] == second.headers["X-Eventalarm-Delivery-Id"] == "id-1"
    name = {key.lower(): key for key in first.headers}["x-openstack-request-id"]
    assert re.fullmatch(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first.headers[name])
    assert first.headers[name] != second.headers[name]


def test_aodh_itself_sends_the_same_bytes(webhook_sink: WebhookSink) -> None:
    from aodh.notifier import rest  # noqa: PLC0415
    from oslo_config import cfg  # noqa: PLC0415
    from oslo_utils import netutils  # noqa: PLC0415

    conf = cfg.ConfigOpts()
    conf.register_opts(rest.OPTS)
    conf([])
    url = webhook_sink.url("/x/%41?q=a+b%20c&r=")
    sent = make_delivery(url, alarm_id="a").notification
    rest.RestAlarmNotifier(conf).notify(netutils.urlsplit(url), **sent.body())
    assert attempt(url, alarm_id="a") == 200
    theirs, ours = webhook_sink.wait(2)
    assert (ours.body, ours.headers["Content-Type"]) == (theirs.body, theirs.headers["content-type"])
    assert ours.path == "/x/%41?q=a+b%20c&r="


def test_credentials_in_the_url_become_basic_authentication(webhook_sink: WebhookSink) -> None:
    url = webhook_sink.url("/p").replace("http://", "http://user:p%40ss@")
    assert attempt(url) == 200
    (request,) = webhook_sink.wait(1)
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert "user" not in request.path
    assert "@" not in request.headers["Host"]


def test_connections_are_used_again_and_cookies_are_forgotten(webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/", headers={"Set-Cookie": "tenant=a"}, body=b"thanks")

    async def run() -> int:
        sender = HttpSender(QUICK)
        for _ in range(5):
            await sender.send(make_delivery(webhook_sink.url("/")))
        (kept,) = connections(sender)
        await sender.close()
        return len(kept)

    assert asyncio.run(run()) == 1
    assert all("Cookie" not in request.headers for request in webhook_sink.wait(5))


# ---- ways to fail


@pytest.mark.parametrize(
    ("status", "reason", "permanent"),
    [(500, "http_5xx", False), (404, "http_4xx", False), (410, "http_4xx", True)],
)
def test_any_other_status_is_a_failure(
    webhook_sink: WebhookSink, status: int, reason: str, permanent: bool
) -> None:
    webhook_sink.behave("/", statuses=[status])
    error = failure(webhook_sink.url("/"))
    assert (error.reason, error.status, error.permanent) == (reason, status, permanent)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success(webhook_sink: WebhookSink, status: int) -> None:
    webhook_sink.behave("/", statuses=[status])
    assert attempt(webhook_sink.url("/")) == status


def test_retry_after_is_read(webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/seconds", statuses=[429], headers={"Retry-After": "7"})
    assert failure(webhook_sink.url("/seconds")).retry_after == 7.0
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    webhook_sink.behave(
        "/date", statuses=[503], headers={"Retry-After": until.strftime("%a, %d %b %Y %H:%M:%S GMT")}
    )
    wait = failure(webhook_sink.url("/date")).retry_after
    assert wait is not None
    assert 90 < wait <= 100


def test_a_redirect_is_not_followed(webhook_sink: WebhookSink) -> None:
    denied = DeliveryOptions(deny_networks=(ipaddress.ip_network("169.254.0.0/16"),))
    webhook_sink.behave("/", statuses=[302], headers={"Location": "http://169.254.169.254/latest/"})
    assert failure(webhook_sink.url("/"), denied).reason == "redirect"
    webhook_sink.behave("/", statuses=[307], headers={"Location": webhook_sink.url("/elsewhere")})
    assert failure(webhook_sink.url("/")).reason == "redirect"
    assert webhook_sink.at("/elsewhere") == []


def test_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = failure(f"http://127.0.0.1:{port}/?token=secret")
    assert (error.reason, error.permanent) == ("connect", False)
    assert "secret" not in str(error)


def test_a_name_that_does_not_exist() -> None:
    error = failure("http://name.invalid/?token=secret")
    assert (error.reason, error.permanent) == ("dns", False)
    assert "secret" not in str(error)


def test_a_consumer_that_never_answers() -> None:
    def hang(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        ending.wait(20)

    options = DeliveryOptions(total_timeout=0.3)
    before = time.monotonic()
    with talker(hang) as port:
        assert failure(f"http://127.0.0.1:{port}/", options).reason == "timeout"
        assert time.monotonic() - before < 4.0


def test_a_consumer_that_never_accepts() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with contextlib.ExitStack() as waiting:
            for _ in range(4):  # more than the backlog: the kernel ignores what comes next
                extra = waiting.enter_context(socket.socket())
                extra.setblocking(False)
                extra.connect_ex(address)
            options = DeliveryOptions(connect_timeout=0.3, total_timeout=5.0)
            assert failure(f"http://127.0.0.1:{address[1]}/", options).reason == "connect_timeout"


@pytest.mark.parametrize(
    "url", ["http://", "http://h:99999/", "http://h/\r\nX: y", "http://" + "a" * 70 + ".b/"]
)
def test_an_action_that_cannot_be_called(url: str) -> None:
    error = failure(url)
    assert (error.reason, error.permanent) == ("bad_action", True)


# ---- the egress filter


DENIED = DeliveryOptions(
    connect_timeout=2.0,
    total_timeout=4.0,
    deny_networks=tuple(map(ipaddress.ip_network, ("169.254.0.0/16", "127.0.0.0/8", "::1/128"))),
)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "169.16689662",
        "[::ffff:169.254.169.254]",
        "127.0.0.1",
        "0.0.0.0",
        "localhost",
    ],
)
def test_denied_networks_are_not_reached_by_any_spelling(webhook_sink: WebhookSink, host: str) -> None:
    error = failure(f"http://{host}:{webhook_sink.port}/", DENIED)
    # aiohttp itself refuses some spellings.
    assert (error.reason, error.permanent) in [("egress_denied", True), ("bad_action", True)]
    assert webhook_sink.requests == []


def test_other_networks_are_reached_through_the_egress_filter(webhook_sink: WebhookSink) -> None:
    options = DeliveryOptions(deny_networks=(ipaddress.ip_network("169.254.0.0/16"),))
    assert attempt(webhook_sink.url("/", host="localhost"), options) == 200


@pytest.mark.parametrize("value", ["1e999", "NaN", "-5", "0x10", "9" * 4000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_is_limited_by_the_option(webhook_sink: WebhookSink, value: str) -> None:
    webhook_sink.behave("/", statuses=[503], headers={"Retry-After": value})
    error = failure(webhook_sink.url("/"))
    result = retry.failed(make_delivery(webhook_sink.url("/")), error, QUICK, lambda low, high: high)
    assert 0 < result.retry_in <= QUICK.retry_after_max
