"""Options of the HTTP APIs: what both share, and the ingest API, group ``[eventalarm_ingest]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

AUTH_MODE_OPT: Any = cfg.StrOpt(
    "auth_mode",
    default="keystone",
    choices=[
        ("keystone", "keystonemiddleware validates tokens, see [keystone_authtoken]"),
        (
            "noauth",
            "the headers X-Project-Id, X-User-Id and X-Roles are trusted; for trials only",
        ),
    ],
    help="How callers are authenticated.",
)


def server_opts(program: str, port: int) -> list[Any]:
    """Return the options of the web server of *program*, whose default port is *port*."""
    return [
        cfg.StrOpt("host", default="127.0.0.1", help=f"Address on which {program} listens."),
        cfg.PortOpt("port", default=port, help=f"Port on which {program} listens."),
        cfg.IntOpt(
            "threads",
            default=8,
            min=1,
            help=f"Number of requests that one {program} process handles concurrently.",
        ),
        cfg.IntOpt(
            "connection_limit",
            default=200,
            min=10,
            help=f"Maximum number of connections that one {program} process keeps open. Each further "
            "connection closes the one that has waited longest for a request of its client, so silent "
            "clients cannot lock others out.",
        ),
        cfg.FloatOpt(
            "request_timeout",
            default=30.0,
            min=1.0,
            help="Seconds within which a client must send a request or read its response, and for which a "
            "connection may be idle.",
        ),
        cfg.IntOpt(
            "body_buffer",
            default=64 * 1024 * 1024,
            min=1024 * 1024,
            help="Maximum total size of the request bodies held in memory, in bytes. Above it, the "
            "connections that take longest to send their request are closed.",
        ),
        AUTH_MODE_OPT,
    ]


INGEST_GROUP = "eventalarm_ingest"

INGEST_OPTS: list[Any] = [
    *server_opts("eventalarm-ingest-api", 8044),
    cfg.IntOpt(
        "max_body_size",
        default=1024 * 1024,
        min=1024,
        help="Maximum size of a request body, in bytes. A larger request is answered with 413.",
    ),
    cfg.IntOpt(
        "max_events",
        default=1000,
        min=1,
        help="Maximum number of events in one request. They are sent to the listeners in one message, "
        "unless that would exceed max_message_size.",
    ),
    cfg.IntOpt(
        "max_message_size",
        default=8 * 1024 * 1024,
        min=16 * 1024,
        help="Maximum size of a message to the broker, in bytes. The events of a larger request are split "
        "over several messages.",
    ),
    cfg.IntOpt(
        "max_tested_events",
        default=5000,
        min=1,
        help="Maximum number of recorded events over which one request tests a rule. 1,000 take about 0.2 "
        "seconds of a processor.",
    ),
    cfg.DictOpt(
        "alert_event_types",
        default={},
        help="Types of the events that alerts of Alertmanager, Zabbix and collectd become, by the name of "
        "the alert, as NAME:EVENT_TYPE,NAME:EVENT_TYPE. A name may be a pattern with * and ?; the first that "
        "fits counts. An event type may also be the name of a fault of the catalogue. The label event_type "
        "of an alert takes precedence. Names that are not listed, and that eventalarm does not know either, "
        "become alertmanager.NAME, zabbix.NAME or collectd.NAME.",
    ),
    cfg.IntOpt(
        "page_size",
        default=100,
        min=1,
        max=1000,
        help="Maximum number of deliveries on a page. Requests can ask for fewer (limit).",
    ),
    cfg.IntOpt(
        "max_replay",
        default=1000,
        min=1,
        max=10000,
        help="Maximum number of deliveries in one replay, also together with what the same actions are still "
        "owed. A replay is one transaction, during which its alarms wait.",
    ),
    cfg.ListOpt(
        "maintenance_token_hosts",
        default=[],
        help="Hosts of admin tools such as Fenix that receive the Keystone token of the caller with the "
        "answer to a maintenance session, as HOST or HOST:PORT. The sender of a session chooses the URL of "
        "the answer: list only hosts that you operate. Others receive the answer without a token.",
    ),
    cfg.IntOpt(
        "secret_overlap",
        default=86400,
        min=0,
        max=2592000,
        help="Seconds for which the replaced signing secret of a project stays valid beside the new one, "
        "unless the request to rotate it says otherwise.",
    ),
    cfg.IntOpt(
        "retry_after",
        default=2,
        min=1,
        help="Value of the header Retry-After, in seconds, while the broker accepts no events.",
    ),
]
