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
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

from eventalarm.delivery import retry
from eventalarm.delivery.options import DeliveryOptions, TlsOptions
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.exceptions import DeliveryError, InvalidOption
from tests.support.deliveries import make_delivery
from tests.support.helpers import WebhookSink
from tests.support.tls import Authority, tls_server

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


def _connections(sender: HttpSender) -> Collection[Any]:
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
        (kept,) = _connections(sender)
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


def test_dripping_headers_end_with_the_total_timeout() -> None:
    def drip(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not ending.wait(0.05):
            connection.sendall(b"X-Drip: 1\r\n")

    options = DeliveryOptions(total_timeout=0.4)
    before = time.monotonic()
    with talker(drip) as port:
        assert failure(f"http://127.0.0.1:{port}/", options).reason in ("timeout", "protocol")
        assert time.monotonic() - before < 4.0


def test_an_accepted_delivery_stays_accepted_when_the_body_drips() -> None:
    def drip(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not ending.wait(0.05):
            connection.sendall(b".")

    options = DeliveryOptions(total_timeout=0.4)
    with talker(drip) as port:
        assert attempt(f"http://127.0.0.1:{port}/", options) == 200


def test_an_endless_body_is_read_up_to_the_limit() -> None:
    sent: list[int] = []

    def flood(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not ending.is_set():
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent.append(65536)

    options = DeliveryOptions(total_timeout=30.0, max_response_size=100_000)
    with talker(flood) as port:
        assert attempt(f"http://127.0.0.1:{port}/", options) == 200
    assert sum(sent) < 20_000_000


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"
# What a hostile consumer sends first and then repeatedly, and the result of the attempt. With trailers it
# depends on the segments of TCP: the status counts if it was read before there were too many trailers.
FLOODS = {
    "interim answers": (b"", INTERIM * 2000, "disconnected"),
    "an extension of a chunk": (CHUNKED + b"1;", b"x" * 65536, 200),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000, (200, "protocol")),
    "tiny chunks": (CHUNKED, b"1\r\nx\r\n" * 10_000, 200),
    "a header": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536, "protocol"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000, "protocol"),
    "a status line": (b"", b"H" * 65536, "protocol"),
    "more answers than requests": (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 1000, 200),
    "another protocol": (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"x" * 65536,
        "http_1xx",
    ),
}


@pytest.mark.parametrize(("first", "then", "outcome"), FLOODS.values(), ids=FLOODS)
def test_a_flood_of_any_kind_ends_the_connection(
    first: bytes, then: bytes, outcome: str | int | tuple[int | str, ...]
) -> None:
    """Fails for interim responses and chunk extensions if only the body is bounded."""
    sent: list[int] = []

    def flood(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(first)
        while not ending.is_set():
            connection.sendall(then)
            sent.append(len(then))

    options = DeliveryOptions(total_timeout=20.0)
    with talker(flood) as port:
        found = attempt(f"http://127.0.0.1:{port}/", options)
    assert getattr(found, "reason", found) in (outcome if isinstance(outcome, tuple) else (outcome,))
    assert sum(sent) < 20_000_000


def test_each_response_on_a_connection_has_its_own_byte_limit(webhook_sink: WebhookSink) -> None:
    """On one persistent connection: each response alone is within the bound, all of them together are not."""
    webhook_sink.behave("/", body=b"x" * 60_000)

    async def run() -> int:
        sender = HttpSender(DeliveryOptions())
        used: set[object] = set()
        for _ in range(10):
            await sender.send(make_delivery(webhook_sink.url("/")))
            (kept,) = _connections(sender)
            used.update(protocol for protocol, *_ in kept)
        await sender.close()
        return len(used)

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "disconnected"),
        (b"HTTP/1.1 200", "disconnected"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
    ],
)
def test_a_response_that_is_not_http_is_a_failure(text: bytes, reason: str) -> None:
    with talker(answer_with(text)) as port:
        assert failure(f"http://127.0.0.1:{port}/").reason == reason


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


# ---- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def tls(**fields: Any) -> DeliveryOptions:
    return DeliveryOptions(total_timeout=5.0, tls=TlsOptions(**fields))


def test_servers_are_verified_with_the_bundle(authority: Authority) -> None:
    with tls_server(authority) as (port, seen):
        url = f"https://localhost:{port}/"
        assert attempt(url, tls(ca_bundle=str(authority.bundle))) == 200
        assert failure(url, tls()).reason == "tls"
        by_address = failure(f"https://127.0.0.1:{port}/", tls(ca_bundle=str(authority.bundle)))
        assert by_address.reason == "tls"
        assert not by_address.permanent
        assert len(seen) == 1


@pytest.mark.parametrize(
    ("verify", "query", "accepted"),
    [
        (True, "", False),
        (False, "", True),
        (True, "?aodh-alarm-ssl-verify=0", True),
        (True, "?aodh-alarm-ssl-verify=1&aodh-alarm-ssl-verify=0", True),
        (False, "?aodh-alarm-ssl-verify=1", False),
    ],
)
def test_an_action_decides_about_verification_as_in_aodh(
    authority: Authority, verify: bool, query: str, accepted: bool
) -> None:
    with tls_server(authority) as (port, _):
        outcome = attempt(f"https://localhost:{port}/{query}", tls(verify=verify))
        assert getattr(outcome, "reason", outcome) == (200 if accepted else "tls")


def test_an_unreadable_choice_is_a_permanent_failure() -> None:
    error = failure("https://localhost:1/?aodh-alarm-ssl-verify=no", tls())
    assert (error.reason, error.permanent) == ("bad_action", True)


def test_the_client_certificate_is_shown(authority: Authority) -> None:
    certificate, key = authority.issue("listener")
    with tls_server(authority, client_certificate=True) as (port, seen):
        bundle = str(authority.bundle)
        shown = tls(ca_bundle=bundle, certificate=certificate, key=key)
        assert attempt(f"https://localhost:{port}/", shown) == 200
        assert seen == ["listener"]
        assert failure(f"https://localhost:{port}/", tls(ca_bundle=bundle)).reason in ("tls", "disconnected")


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"ca_bundle": "/nowhere/ca.pem"}, "rest_notifier_ca_bundle_certificate_path"),
        ({"certificate": "/nowhere/cert.pem"}, "rest_notifier_certificate_file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_at_start(fields: dict[str, str], option: str) -> None:
    with pytest.raises(InvalidOption, match=option):
        HttpSender(tls(**fields))


def test_a_bundle_may_be_a_folder(authority: Authority, tmp_path: pathlib.Path) -> None:
    """The certificates in it have the names that OpenSSL expects."""
    with tls_server(authority) as (port, _):
        url = f"https://localhost:{port}/"
        assert failure(url, tls(ca_bundle=str(tmp_path))).reason == "tls"
        shutil.copy(authority.bundle, tmp_path / "authority.pem")
        subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, timeout=60)
        assert attempt(url, tls(ca_bundle=str(tmp_path))) == 200


def test_a_handshake_that_never_ends() -> None:
    def drip(connection: socket.socket, ending: threading.Event) -> None:
        # A handshake record of 16 KiB, sent one byte at a time.
        connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
        while not ending.wait(0.05):
            connection.sendall(b"x")

    options = DeliveryOptions(connect_timeout=0.4, total_timeout=20.0)
    with talker(drip) as port:
        assert failure(f"https://127.0.0.1:{port}/", options).reason == "connect_timeout"


@pytest.mark.parametrize("value", ["1e999", "NaN", "-5", "0x10", "9" * 4000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_is_limited_by_the_option(webhook_sink: WebhookSink, value: str) -> None:
    webhook_sink.behave("/", statuses=[503], headers={"Retry-After": value})
    error = failure(webhook_sink.url("/"))
    result = retry.failed(make_delivery(webhook_sink.url("/")), error, QUICK, lambda low, high: high)
    assert 0 < result.retry_in <= QUICK.retry_after_max


def test_plain_text_on_an_https_port(webhook_sink: WebhookSink) -> None:
    assert failure(f"https://127.0.0.1:{webhook_sink.port}/", tls()).reason in ("tls", "disconnected")
