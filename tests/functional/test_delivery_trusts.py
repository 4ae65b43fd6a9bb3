"""Actions that are posted with a token of a Keystone trust: ``trust+http``."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from oslo_config import cfg

from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.senders.trust import TrustSender
from tests.support.actions import OPTIONS, aodh_options, attempt, failure, keystone
from tests.support.deliveries import make_delivery
from tests.support.helpers import WebhookSink


@pytest.fixture(scope="module")
def conf() -> cfg.ConfigOpts:
    return aodh_options()


def trust_sender(conf: cfg.ConfigOpts, options: DeliveryOptions = OPTIONS) -> TrustSender:
    return TrustSender(conf, options, HttpSender(options))


def test_a_trust_action_is_posted_with_a_token_of_its_trust(
    conf: cfg.ConfigOpts, webhook_sink: WebhookSink
) -> None:
    keystone(webhook_sink, conf)
    url = webhook_sink.url("/signal?a=%2F").replace("http://", "trust+http://trust-id@")
    assert attempt(trust_sender(conf), make_delivery(url)) == 200
    (asked,) = webhook_sink.at("/v3/auth/tokens")
    assert asked.json["auth"]["scope"]["OS-TRUST:trust"] == {"id": "trust-id"}
    (posted,) = webhook_sink.at("/signal?a=%2F")
    assert posted.headers["X-Auth-Token"] == "token-of-the-trust"
    assert posted.json["current"] == "alarm"
    assert "Authorization" not in posted.headers


def test_without_keystone_only_trust_actions_fail(conf: cfg.ConfigOpts, webhook_sink: WebhookSink) -> None:
    keystone(webhook_sink, conf, status=503)
    url = webhook_sink.url("/signal").replace("http://", "trust+http://trust-id@")
    error = failure(trust_sender(conf), make_delivery(url))
    assert (error.reason, error.permanent) == ("keystone", False)
    assert webhook_sink.at("/signal") == []
    assert attempt(HttpSender(OPTIONS), make_delivery(webhook_sink.url("/"))) == 200


def test_a_trust_action_does_not_bypass_the_egress_filter(
    conf: cfg.ConfigOpts, webhook_sink: WebhookSink
) -> None:
    keystone(webhook_sink, conf)
    filtered = DeliveryOptions(deny_networks=(ip_network("169.254.0.0/16"),))
    error = failure(trust_sender(conf, filtered), make_delivery("trust+http://t@169.254.169.254/"))
    assert (error.reason, error.permanent) == ("egress_denied", True)


def test_a_hung_consumer_of_a_trust_action_costs_its_timeout(
    conf: cfg.ConfigOpts, webhook_sink: WebhookSink
) -> None:
    keystone(webhook_sink, conf)
    release = webhook_sink.hang("/signal")
    url = webhook_sink.url("/signal").replace("http://", "trust+http://trust-id@")
    options = DeliveryOptions(total_timeout=1.0)
    assert failure(trust_sender(conf, options), make_delivery(url)).reason == "timeout"
    release()


def test_a_trust_action_without_a_trust(conf: cfg.ConfigOpts) -> None:
    error = failure(trust_sender(conf), make_delivery("trust+http://127.0.0.1:1/"))
    assert (error.reason, error.permanent) == ("bad_action", True)
