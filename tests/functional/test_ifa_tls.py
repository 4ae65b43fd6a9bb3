"""TLS_CERT: consumers that require a client certificate, over real sockets."""

from __future__ import annotations

import pytest
from cryptography import fernet
from falcon import testing

from eventalarm.exceptions import InvalidOption
from eventalarm.storage import database as storage
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ifa_api import IfaApi
from tests.support.listening import listening
from tests.support.subscribers import SUBSCRIPTIONS, World, bound, fault
from tests.support.tls import Authority, tls_server

TLS_CERT = {"authType": ["TLS_CERT"]}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


class TlsWorld(World):
    """A cloud that trusts *authority*, and presents the certificate of *name* if given."""

    def __init__(
        self, database: storage.Database, sink: WebhookSink, authority: Authority, name: str = ""
    ) -> None:
        files = {"rest_notifier_ca_bundle_certificate_path": str(authority.bundle)}
        if name:
            certificate, key = authority.issue(name)
            files |= {"rest_notifier_certificate_file": certificate, "rest_notifier_certificate_key": key}
        super().__init__(
            database,
            sink,
            aodh=files,
            credentials_key=fernet.Fernet.generate_key().decode(),
            suspend_after=1.0,
            probe_interval=0.1,
        )

    def ask(self, uri: str, authentication: object = TLS_CERT) -> testing.Result:
        body = {"callbackUri": uri, "authentication": authentication}
        return self.api.call("POST", SUBSCRIPTIONS, body=body)


def test_test_and_notification_use_our_certificate_also_after_a_suspension(
    lite_database: storage.Database, webhook_sink: WebhookSink, authority: Authority
) -> None:
    asked: list[str] = []
    takes = [204]

    def status(method: str) -> int:
        asked.append(method)
        return takes[0] if method == "POST" else 204

    world = TlsWorld(lite_database, webhook_sink, authority, "vim")
    for n in range(2):
        world.api.alarm(bound(f"vm-{n}"))
    with (
        tls_server(authority, client_certificate=True, status=status) as (port, seen),
        listening(world.api.conf, lite_database) as world.listener,
    ):
        assert world.ask(f"https://localhost:{port}/nfvo").status_code == 201
        assert asked == ["GET"]
        world.listener.process(fault("vm-0"))
        wait_until(lambda: asked == ["GET", "POST"], what="the notification")
        takes[0] = 503
        world.listener.process(fault("vm-1"))
        world.run_until(lambda: asked.count("GET") > 1, what="a probe of the suspended")
        takes[0], posts = 204, asked.count("POST")
        world.run_until(lambda: asked.count("POST") > posts, what="the rebuilt list")
        world.quiet()
    assert set(seen) == {"vim"}


def test_without_a_certificate_such_a_subscription_is_refused(
    lite_database: storage.Database,
    webhook_sink: WebhookSink,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    world = TlsWorld(lite_database, webhook_sink, authority)
    with tls_server(authority, client_certificate=True) as (port, seen):
        uri = f"https://localhost:{port}/nfvo"
        answer = world.ask(uri)
        assert answer.status_code == 422
        assert "no certificate for TLS_CERT" in answer.json["detail"]
        basic = {"authType": ["TLS_CERT", "BASIC"], "paramsBasic": {"userName": "vim", "password": "p"}}
        for other in (basic, {"authType": ["BASIC"]}):
            caplog.clear()
            assert world.ask(uri, other).status_code == 422
            assert "this service has no client certificate" in caplog.text
    assert seen == []
    assert world.api.get(SUBSCRIPTIONS).json == []


@pytest.mark.parametrize(
    ("scheme", "host", "detail", "logged"),
    [
        ("https", "127.0.0.1", "the test of the callback failed", "tls: IP address mismatch"),
        ("http", "localhost", "TLS_CERT requires an https callback", ""),
    ],
)
def test_a_callback_without_verified_tls_is_refused(
    lite_database: storage.Database,
    webhook_sink: WebhookSink,
    authority: Authority,
    scheme: str,
    host: str,
    detail: str,
    logged: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The reason is only in the log, since in the response it would make the API a port scanner."""
    caplog.set_level("INFO")
    world = TlsWorld(lite_database, webhook_sink, authority, "vim")
    with tls_server(authority, client_certificate=True) as (port, seen):
        answer = world.ask(f"{scheme}://{host}:{port}/nfvo")
    assert (answer.status_code, seen) == (422, [])
    assert detail in answer.json["detail"]
    assert logged in caplog.text
    assert not logged or logged not in answer.text


def test_a_consumer_that_demands_more_than_our_certificate_is_refused(
    lite_database: storage.Database,
    webhook_sink: WebhookSink,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    world = TlsWorld(lite_database, webhook_sink, authority, "vim")
    with tls_server(authority, client_certificate=True, status=lambda method: 401) as (port, seen):
        answer = world.ask(f"https://localhost:{port}/nfvo")
    assert (answer.status_code, seen) == (422, ["vim"])
    assert "answered with 401" in caplog.text


def test_a_certificate_that_cannot_be_read_is_named_at_start(lite_database: storage.Database) -> None:
    with pytest.raises(InvalidOption, match="rest_notifier_certificate_file"):
        IfaApi(lite_database, aodh={"rest_notifier_certificate_file": "/nowhere/cert.pem"})
