"""Options of the delivery of alarm actions, group ``[eventalarm_delivery]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_config import types as cfg_types

from eventalarm.conf.circuits import CIRCUIT_OPTS

DELIVERY_GROUP = "eventalarm_delivery"

ATTEMPT_OPTS: list[Any] = [
    cfg.StrOpt(
        "mode",
        default="direct",
        choices=[
            ("direct", "the listener calls the actions itself, with retries and isolation of destinations"),
            ("aodh", "the listener sends the notifications to aodh-notifier on its topic"),
        ],
        help="Which service calls the alarm actions.",
    ),
    cfg.FloatOpt(
        "connect_timeout",
        default=3.0,
        min=0.01,
        help="Timeout for connecting to a destination, in seconds.",
    ),
    cfg.FloatOpt(
        "total_timeout",
        default=10.0,
        min=0.01,
        help="Timeout for one attempt from connecting to the end of the response, in seconds.",
    ),
    cfg.FloatOpt(
        "give_up_after",
        default=86400.0,
        min=1.0,
        help="Seconds after which a delivery that fails is given up and kept as failed: a day by default. "
        "They count from when it was created or last retried by hand.",
    ),
    cfg.IntOpt(
        "max_attempts",
        default=0,
        min=0,
        help="Number of attempts after which a delivery is given up and kept as failed, even before "
        "give_up_after; 0: any number. While the circuit of a destination is open, attempts do not end a "
        "delivery.",
    ),
    cfg.IntOpt(
        "attempts_kept",
        default=20,
        min=1,
        help="Number of failed attempts that are kept of each delivery beside its last attempt, so that its "
        "project can ask the ingest API why it failed. The newest ones are kept, until the delivery is "
        "removed; after a retry by hand, up to as many of the attempts before it are kept as well.",
    ),
    cfg.BoolOpt(
        "skip_superseded",
        default=False,
        help="Whether deliveries are skipped that waited, for a retry, for their destination or for their "
        "turn, if a later one to the same URL about the same alarm and managed object is owed too. A "
        "consumer that was away then receives the last state of each managed object once, but never learns "
        "of a fault that came and went meanwhile. Skipped deliveries are kept as superseded. Those of event "
        "alarms, to subscribers, and of retries and replays by hand are always sent.",
    ),
    cfg.FloatOpt(
        "retry_initial",
        default=0.5,
        min=0.001,
        help="Seconds before the second attempt. The delay doubles with each attempt, with jitter, up to "
        "retry_max.",
    ),
    cfg.FloatOpt(
        "retry_max", default=120.0, min=0.01, help="Maximum delay between two attempts, in seconds."
    ),
    cfg.FloatOpt(
        "retry_after_max",
        default=300.0,
        min=0.0,
        help="Maximum delay that a consumer can request with the header Retry-After, in seconds.",
    ),
    cfg.IntOpt(
        "max_response_size",
        default=65536,
        min=0,
        help="Maximum number of bytes read from a response; the rest is discarded.",
    ),
]

FAIRNESS_OPTS: list[Any] = [
    cfg.IntOpt(
        "concurrency",
        default=400,
        min=1,
        help="Maximum number of concurrent calls of one process. A project may use as many as are still "
        "free: one project leaves half of them to others, two projects leave a third, and so on. A quarter "
        "is reserved for destinations whose last call was fast. A call to one of these that takes more than "
        "a second no longer counts; as many again may do so.",
    ),
    cfg.IntOpt(
        "concurrency_per_destination",
        default=16,
        min=1,
        help="Maximum number of concurrent calls of one project from one process to one destination "
        "(scheme, host and port), so that a slow destination leaves capacity for the others. All projects "
        "together may use up to four times as many.",
    ),
    cfg.IntOpt(
        "max_in_memory",
        default=10000,
        min=1,
        help="Maximum number of deliveries that one process holds in memory; further ones wait in the "
        "database. A project may use as many as are still free.",
    ),
    cfg.IntOpt(
        "max_in_memory_bytes",
        default=128 * 1024 * 1024,
        min=1024 * 1024,
        help="Approximate memory for the events and notifications of these deliveries, in bytes; the "
        "deliveries being sent may use the same amount again. An event counts once, however many "
        "deliveries refer to it. A project may use as many bytes as are still free.",
    ),
]

LEASE_OPTS: list[Any] = [
    cfg.IntOpt(
        "max_losses",
        default=3,
        min=2,
        help="Number of processes that may end, or lose their lease, while sending a delivery before it is "
        "given up. After the first loss the delivery is marked in the database before it is sent, and "
        "after the second it is sent alone, so that the delivery that crashes processes is identified.",
    ),
    cfg.FloatOpt(
        "lease",
        default=6.0,
        min=0.5,
        help="Seconds within which other processes take over the deliveries of a process that has died. A "
        "process is considered dead somewhat earlier, when the others have seen no renewal for lease minus "
        "2.4 times poll_interval minus a twentieth of lease, but not before half of lease. A process that "
        "was suspended for that long sends none of the deliveries it held. Hosts may differ: others apply "
        "the lease that a process has stored.",
    ),
    cfg.FloatOpt(
        "poll_interval",
        default=1.0,
        min=0.01,
        help="Seconds between two polls of the database for due deliveries. New deliveries do not wait for "
        "a poll; polling finds retries and the deliveries of dead processes. Where hosts differ, a host "
        "with a longer interval takes over later than lease says.",
    ),
]

BATCHING_OPTS: list[Any] = [
    cfg.FloatOpt(
        "pack_window",
        default=0.0,
        min=0.0,
        help="Seconds for which notifications to one http or https action are collected after one has been "
        'sent, to be sent together in one POST: {"packed": [...]}, see the documentation. 0 sends each '
        "notification alone, as Aodh does. A consumer that permanently refuses batches is sent the same "
        "notifications one by one.",
    ),
    cfg.IntOpt(
        "pack_limit",
        default=100,
        min=2,
        help="Maximum number of notifications in one POST. A full batch is sent before pack_window ends.",
    ),
]

NETWORK_OPTS: list[Any] = [
    cfg.IntOpt(
        "lookup_threads",
        default=64,
        min=4,
        help="Number of threads that resolve host names. A name server that does not answer blocks one "
        "thread for each name. A project may use as many threads as are still free; a quarter is reserved "
        "for names that have been resolved before.",
    ),
    cfg.FloatOpt(
        "lookup_timeout",
        default=3.0,
        min=0.01,
        help="Timeout for resolving a host name, in seconds, in addition to the other timeouts. After it "
        "the last successful result is used, if there is one.",
    ),
    cfg.FloatOpt(
        "lookup_failure_ttl",
        default=5.0,
        min=0.0,
        help="Seconds for which a host name that could not be resolved is not looked up again.",
    ),
    cfg.FloatOpt(
        "lookup_keep",
        default=3600.0,
        min=0.0,
        help="Seconds for which the last successful result is used while name servers do not answer.",
    ),
    cfg.ListOpt(
        "deny_networks",
        default=["127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"],
        item_type=cfg_types.String(),
        help="Networks that webhooks must not reach. The address actually connected to is checked, "
        "including every IPv6 form of an IPv4 address. The default protects the host of the listener, "
        "link-local addresses and metadata services; add your management networks. aodh.notifier plugins "
        "make their own connections and are not checked: see action_schemes.",
    ),
    cfg.ListOpt(
        "allow_networks",
        default=[],
        item_type=cfg_types.String(),
        help="Exceptions to deny_networks. For example, 127.0.0.0/8,::1/128 permits consumers on the host "
        "of the listener. Applies to webhooks; networks in [eventalarm_ifa] callback_deny_networks remain "
        "denied to subscriptions.",
    ),
]

PLUGIN_OPTS: list[Any] = [
    cfg.IntOpt(
        "plugin_threads",
        default=16,
        min=1,
        help="Number of threads for each action scheme that an aodh.notifier plugin implements. One project "
        "uses at most half of them.",
    ),
    cfg.ListOpt(
        "action_schemes",
        default=[
            "http",
            "https",
            "trust+http",
            "trust+https",
            "sol003+http",
            "sol003+https",
            "tacker+http",
            "tacker+https",
            "cloudevents+http",
            "cloudevents+https",
            "log",
            "zaqar",
            "trust+zaqar",
            "trust+heat",
        ],
        help="Schemes of the actions that are called; a delivery to any other scheme fails with the reason "
        "scheme_disabled. Add the schemes of further aodh.notifier plugins here. zaqar, trust+zaqar and "
        "trust+heat connect to services of the Keystone catalogue themselves, and a Zaqar subscriber can "
        "be any address that Zaqar reaches: deny_networks does not apply to them, so remove those that are "
        "not needed. Aodh's scheme test is not in the default, because it keeps every notification in "
        "memory.",
    ),
]

SIGNING_OPTS: list[Any] = [
    cfg.FloatOpt(
        "secret_refresh",
        default=5.0,
        min=0.1,
        help="Seconds between two reads of the signing secrets of projects that were created or rotated "
        "since. A new secret signs from then on. They are encrypted with [eventalarm_ifa] credentials_key.",
    ),
    cfg.StrOpt(
        "signing_key",
        default="",
        secret=True,
        help="Ed25519 keys that sign the webhooks of every project, separated by commas. Each private key "
        "(whsk_BASE64, of 32 bytes) signs; GET /v1/keys of the ingest API returns the public keys. Give the "
        "API the public keys only (whpk_BASE64, of 32 bytes). To rotate a key, announce the new public key "
        "first, then add the new private key, then remove the old one. Without a key only projects with a "
        "secret have their webhooks signed. Generate a private key with: python3 -c 'import base64, os; "
        'print("whsk_{}".format(base64.b64encode(os.urandom(32)).decode()))\'',
    ),
]

DELIVERY_OPTS: list[Any] = [
    *ATTEMPT_OPTS,
    *FAIRNESS_OPTS,
    *CIRCUIT_OPTS,
    *LEASE_OPTS,
    *BATCHING_OPTS,
    *NETWORK_OPTS,
    *PLUGIN_OPTS,
    *SIGNING_OPTS,
]
