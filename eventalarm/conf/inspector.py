"""Options of eventalarm-inspector, group ``[eventalarm_inspector]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

INSPECTOR_GROUP = "eventalarm_inspector"

CONSUMER_OPTS: list[Any] = [
    cfg.StrOpt(
        "queue",
        default="eventalarm-inspector",
        help="Queue from which the inspectors consume the events of [eventalarm] topic. All inspectors of a "
        "deployment share it. It keeps events while no inspector runs: delete it when you stop using the "
        "inspector.",
    ),
    cfg.IntOpt(
        "batch_size",
        default=200,
        min=1,
        help="Maximum number of messages that are handled together.",
    ),
    cfg.IntOpt(
        "max_message_size",
        default=8 * 1024 * 1024,
        min=16 * 1024,
        help="Maximum size of a message to the broker, in bytes. The events for the owners of a fault are "
        "published in one message, unless it would be larger.",
    ),
    cfg.MultiStrOpt(
        "switch_hosts",
        default=[],
        help="Hosts behind a switch, in the form SWITCH=HOST,HOST; may be repeated. A fault of the switch "
        "affects the servers and ports on these hosts. An event may name the hosts itself, in its trait "
        "hosts.",
    ),
    cfg.MultiStrOpt(
        "policies",
        default=[],
        help="Path of a YAML file of policies, which report a fault when several events of one host arrive "
        "within a time; may be repeated.",
    ),
    cfg.IntOpt(
        "forget_after",
        default=7 * 86400,
        min=3600,
        help="Seconds after which a deleted resource is removed from the resource map, and a fault without "
        "further reports or an ended maintenance is forgotten.",
    ),
    cfg.IntOpt(
        "maintenance_timeout",
        default=86400,
        min=60,
        help="Seconds after the last report of the maintenance of a host after which the maintenance counts "
        "as ended, though nobody reported its end: the alarms that it inhibited are notified then.",
    ),
    cfg.PortOpt(
        "metrics_port",
        min=1,
        help="Port of the Prometheus endpoint of eventalarm-inspector. If unset, there is no endpoint.",
    ),
    cfg.HostAddressOpt(
        "metrics_host",
        default="127.0.0.1",
        help="Address on which the Prometheus endpoint listens; it has no authentication.",
    ),
]

SNAPSHOT_OPTS: list[Any] = [
    cfg.IntOpt(
        "snapshot_interval",
        default=600,
        min=0,
        help="Seconds between two snapshots of Nova and Neutron, which fill the resource map and correct "
        "what events missed. One inspector takes them for all. 0 takes none: the map then contains only "
        "what events reported, and openstacksdk is not needed.",
    ),
    cfg.StrOpt(
        "cloud",
        default="",
        help="Name of the cloud in clouds.yaml whose Nova and Neutron are read. If empty, the credentials in "
        "[service_credentials] are used, as by Aodh. The user must be allowed to list the servers and ports "
        "of all projects.",
    ),
    cfg.IntOpt(
        "page_size",
        default=1000,
        min=1,
        help="Number of servers or ports that one request to Nova or Neutron returns.",
    ),
    cfg.FloatOpt(
        "request_timeout",
        default=30.0,
        min=1.0,
        help="Seconds after which a request to Nova or Neutron fails.",
    ),
    cfg.FloatOpt(
        "stale_after",
        default=1800.0,
        min=1.0,
        help="Seconds after the last complete snapshot from which `eventalarm-inspector status` reports the "
        "resource map as stale.",
    ),
]

REACTION_OPTS: list[Any] = [
    cfg.BoolOpt(
        "force_down",
        default=False,
        help="Whether the nova-compute service of a host that is down is forced down in Nova, until the host "
        "is back. Never done for a host in maintenance or whose service is disabled.",
    ),
    cfg.BoolOpt(
        "reset_state",
        default=False,
        help="Whether the servers on a host that is down are set to the state error in Nova. Never done for "
        "a host in maintenance or whose service is disabled. They are not set back automatically.",
    ),
    cfg.BoolOpt(
        "data_plane_status",
        default=False,
        help="Whether data_plane_status of the ports on a host that is down is set to DOWN in Neutron, and "
        "to ACTIVE when the host is back. Needs Neutron's extension data-plane-status. Never done for a host "
        "in maintenance.",
    ),
    cfg.IntOpt(
        "reaction_workers",
        default=8,
        min=1,
        max=64,
        help="Maximum number of these requests to Nova and Neutron at the same time.",
    ),
    cfg.IntOpt(
        "max_reactions",
        default=20000,
        min=1,
        help="Maximum number of these requests that wait. Further ones are dropped, logged and counted.",
    ),
]

INSPECTOR_OPTS: list[Any] = [*CONSUMER_OPTS, *SNAPSHOT_OPTS, *REACTION_OPTS]
