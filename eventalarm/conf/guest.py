"""Options of eventalarm-guest-monitor, group ``[eventalarm_guest]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GUEST_GROUP = "eventalarm_guest"

WATCH_OPTS: list[Any] = [
    cfg.StrOpt(
        "uri",
        default="qemu:///system",
        help="URI of the hypervisor whose guests are watched, as libvirt has it. dir:///PATH reads the XML "
        "of each domain from a file NAME.xml in a directory instead, and uses the sockets of their "
        "guest agents itself; for trials without libvirt.",
    ),
    cfg.StrOpt(
        "host",
        default="",
        help="Name of this compute node in events; it must be the name that Nova has for the host. If empty, "
        "the host name of the machine is used.",
    ),
    cfg.StrOpt(
        "watch",
        default="opted_in",
        choices=[
            (
                "opted_in",
                "guests whose flavor has the extra spec eventalarm:guest_heartbeat, or is in flavors",
            ),
            ("agent", "also every other guest that has a channel for QEMU's guest agent"),
        ],
        help="Which guests are challenged. Events of libvirt are reported for the same guests.",
    ),
    cfg.MultiStrOpt(
        "flavors",
        default=[],
        help="Settings of the guests of a flavor, in the form PATTERN heartbeat=SECONDS timeout=SECONDS "
        "health=BOOL; may be repeated, and the first pattern that fits counts. PATTERN may contain * "
        "and ?. Needed for Nova before 32.0.0 (2025.2), which does not tell libvirt the extra specs. An "
        "extra spec takes precedence.",
    ),
    cfg.FloatOpt(
        "interval",
        default=30.0,
        min=1.0,
        max=3600.0,
        help="Seconds within which a guest that stops answering is reported, unless its flavor says "
        "otherwise. A guest is challenged at least once in this time. The shorter, the more processor "
        "time is used.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=5.0,
        min=0.1,
        max=300.0,
        help="Seconds that a guest has for its answer, at most interval / (2 * misses). libvirt counts whole "
        "seconds, so shorter times hold up a thread longer than needed.",
    ),
    cfg.IntOpt(
        "misses",
        default=2,
        min=1,
        max=10,
        help="Number of challenges in a row that a guest must miss, or of health commands that must fail, "
        "before it is reported. With 1 a single lost answer raises the alarm.",
    ),
    cfg.FloatOpt(
        "startup_grace",
        default=300.0,
        min=0.0,
        max=86400.0,
        help="Seconds after its start during which a guest whose agent has not answered yet is not reported. "
        "Choose a time longer than the guests need to boot.",
    ),
    cfg.StrOpt(
        "health_command",
        default="",
        help="Path and arguments of a program that the guest agent runs in each guest whose flavor has the "
        "extra spec eventalarm:guest_health = true. Exit code 0 means healthy. If it prints a JSON "
        "object, its members reason and severity are part of the event. If empty, no program is run.",
    ),
    cfg.FloatOpt(
        "health_timeout",
        default=10.0,
        min=0.5,
        max=600.0,
        help="Seconds after which the health command counts as failed. It is not stopped in the guest.",
    ),
]

LIMIT_OPTS: list[Any] = [
    cfg.IntOpt(
        "workers",
        default=8,
        min=2,
        max=64,
        help="Maximum number of guests that are challenged through libvirt at the same time, half of which "
        "are reserved for guests that answered the last time. Each silent guest occupies a worker of "
        "libvirt's daemon for the timeout: keep this well below max_workers in its configuration (20), "
        "or Nova has to wait.",
    ),
    cfg.IntOpt(
        "max_response_size",
        default=65536,
        min=4096,
        max=4 * 1024 * 1024,
        help="Maximum size of a response of a guest agent, in bytes. A guest that sends more counts as "
        "silent.",
    ),
    cfg.FloatOpt(
        "refresh_interval",
        default=60.0,
        min=1.0,
        help="Seconds between two listings of the domains, which correct what events of libvirt missed.",
    ),
    cfg.FloatOpt(
        "beat_interval",
        default=30.0,
        min=1.0,
        help="Seconds between two events guest.monitor.beat. Give the alarm that awaits them an absence of "
        "at least three times as long.",
    ),
]

REPORT_OPTS: list[Any] = [
    cfg.StrOpt(
        "endpoint",
        default="",
        help="URL of the ingest API. If empty, the endpoint of type alarm-event in the service catalog is "
        "used.",
    ),
    cfg.StrOpt(
        "auth_mode",
        default="keystone",
        choices=[
            ("keystone", "with a token for the user in [service_credentials], who needs the role service"),
            ("noauth", "with the headers X-Project-Id, X-User-Id and X-Roles; for trials only"),
        ],
        help="How the monitor identifies itself to the ingest API. It must be the auth_mode of the API.",
    ),
    cfg.StrOpt(
        "region_name", default="", help="Region of the endpoint in the service catalog; empty for any."
    ),
    cfg.StrOpt(
        "interface",
        default="internal",
        choices=["admin", "internal", "public"],
        help="Interface of the endpoint in the service catalog.",
    ),
    cfg.FloatOpt(
        "request_timeout",
        default=10.0,
        min=0.5,
        help="Seconds after which a request to the ingest API or to Keystone fails. It is repeated.",
    ),
    cfg.StrOpt(
        "spool_directory",
        default="/var/lib/eventalarm-guest-monitor",
        help="Directory that keeps the events that the ingest API has not accepted yet, and which guests are "
        "in fault, so that neither its absence nor a restart of the monitor loses an event. The "
        "monitor must be allowed to write to it, and each monitor needs its own.",
    ),
    cfg.IntOpt(
        "spool_size",
        default=10000,
        min=100,
        help="Maximum number of events in the spool directory. Beyond it the oldest are dropped, logged and "
        "counted in the next beat. The state of the guests is sent again when the API is back.",
    ),
]

GUEST_OPTS: list[Any] = [*WATCH_OPTS, *LIMIT_OPTS, *REPORT_OPTS]
