"""Calls of webhooks over TLS: verification, certificates, and what is no TLS."""

from __future__ import annotations

import pathlib
import shutil
import socket
import subprocess
import threading
from typing import Any

import pytest

from eventalarm.delivery.options import DeliveryOptions, TlsOptions
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.exceptions import InvalidOption
from tests.functional.test_delivery_http import attempt, failure, talker
from tests.support.helpers import WebhookSink
from tests.support.tls import Authority, tls_server


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


def test_plain_text_on_an_https_port(webhook_sink: WebhookSink) -> None:
    assert failure(f"https://127.0.0.1:{webhook_sink.port}/", tls()).reason in ("tls", "disconnected")
