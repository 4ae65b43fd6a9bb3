"""Options of ``[eventalarm_pulse]`` that say what the installed checks look at."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg, types

ENDPOINT_OPTS: list[Any] = [
    cfg.ListOpt(
        "endpoint_interfaces",
        default=["public"],
        item_type=types.String(choices=["public", "internal", "admin"]),
        help="Interfaces of the service catalogue that the check endpoint requests: public, internal, admin.",
    ),
    cfg.ListOpt(
        "endpoint_regions",
        default=[],
        help="Regions whose endpoints are requested. If empty, those of all regions in the catalogue.",
    ),
    cfg.ListOpt(
        "endpoint_exclude",
        default=[],
        help="Types or names of services whose endpoints are not requested, such as object-store.",
    ),
    cfg.FloatOpt(
        "slow",
        default=3.0,
        min=0.0,
        help="Seconds from which an answer to the checks endpoint, horizon and http is reported as a "
        "warning. 0 reports none.",
    ),
]

WEB_OPTS: list[Any] = [
    cfg.StrOpt(
        "cafile",
        default="",
        help="File of the certification authorities that the checks horizon, http, haproxy and rabbitmq "
        "trust. If empty, those of the system. Requests to services of the catalogue use cacert of "
        "clouds.yaml or cafile in [service_credentials].",
    ),
    cfg.StrOpt(
        "horizon_url",
        default="",
        help="URL of Horizon, such as https://dashboard.example.org/dashboard/. The check horizon requests "
        "its login page. If empty, it looks at nothing.",
    ),
    cfg.StrOpt(
        "horizon_username",
        default="",
        help="User who logs in to Horizon each time. If empty, only the login page is requested.",
    ),
    cfg.StrOpt("horizon_password", default="", secret=True, help="Password of horizon_username."),
    cfg.StrOpt(
        "horizon_domain", default="Default", help="Domain of horizon_username, if Horizon asks for it."
    ),
    cfg.MultiStrOpt(
        "http_urls",
        default=[],
        secret=True,
        help="URL that the check http requests, optionally followed by the status codes that are healthy, in "
        "the form https://host/path 200,302; may be repeated. By default all codes below 400 are healthy. "
        "User and password in the URL are used and not shown.",
    ),
    cfg.ListOpt(
        "ports",
        default=[],
        help="Addresses on which something must listen, in the form HOST:PORT or [IPV6]:PORT, for the check "
        "port. Each is connected to once per interval, which some servers log.",
    ),
]

INFRASTRUCTURE_OPTS: list[Any] = [
    cfg.MultiStrOpt(
        "rabbitmq_urls",
        default=[],
        secret=True,
        help="URL of RabbitMQ's management API with a user who has the tag monitoring, in the form "
        "http://USER:PASSWORD@HOST:15672; may be repeated, for several clusters or for each node of one.",
    ),
    cfg.MultiStrOpt(
        "galera_urls",
        default=[],
        secret=True,
        help="URL of a Galera node in the form of [database] connection, such as "
        "mysql+pymysql://USER:PASSWORD@HOST/; may be repeated, once for each node. The user needs no "
        "privileges.",
    ),
    cfg.IntOpt(
        "galera_size",
        default=0,
        min=0,
        help="Number of nodes that the Galera cluster must have. 0 expects as many as galera_urls names, and "
        "any number if that is one.",
    ),
    cfg.MultiStrOpt(
        "haproxy_stats",
        default=[],
        secret=True,
        help="Where HAProxy's statistics are: the URL of its page, such as "
        "http://USER:PASSWORD@HOST:1993/haproxy, or the path of its stats socket; may be repeated, once for "
        "each HAProxy.",
    ),
    cfg.ListOpt(
        "haproxy_exclude",
        default=[],
        help="Names of frontends and backends of HAProxy that the check haproxy leaves out.",
    ),
    cfg.StrOpt(
        "crm_mon",
        default="crm_mon",
        help="Program of pacemaker that the check pacemaker runs on this host. Whoever runs eventalarm-pulse "
        "must be in the group haclient, or root.",
    ),
    cfg.BoolOpt(
        "pacemaker_required",
        default=False,
        help="Whether the check pacemaker fails on a host without crm_mon. If False, it looks at "
        "nothing there.",
    ),
    cfg.MultiStrOpt(
        "commands",
        default=[],
        secret=True,
        help="Program that the check command runs, in the form NAME: COMMAND LINE, or with settings NAME "
        "timeout=SECONDS project=ID host=NAME: COMMAND LINE; may be repeated. Its exit code is that of a "
        "Nagios plugin: 0 ok, 1 warning, 2 critical, 3 unknown. No shell reads the line unless it names one; "
        "$$ stands for $, which oslo.config replaces. "
        "After timeout, by default that of all checks, the program and its children are killed.",
    ),
]

TARGET_OPTS: list[Any] = [*ENDPOINT_OPTS, *WEB_OPTS, *INFRASTRUCTURE_OPTS]
