"""The options of the IFA API, group ``[eventalarm_ifa]``; ``eventalarm/conf.py`` hands them out."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_config import types as cfg_types

from eventalarm.conf_api import server_opts

IFA_GROUP = "eventalarm_ifa"

MAPPING_OPTS: list[Any] = [
    cfg.DictOpt(
        "severities",
        default={"critical": "CRITICAL", "moderate": "MAJOR", "low": "WARNING"},
        help="Perceived severity for each severity of Aodh. low is also Aodh's untouched default.",
    ),
    cfg.StrOpt(
        "undefined_severity",
        default="MINOR",
        choices=["CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE"],
        help="Perceived severity of an alarm whose severity in Aodh is none of severities.",
    ),
    cfg.DictOpt(
        "severity_overrides",
        default={},
        help="Perceived severity by a pattern that the alarm's name or its fault type fits, such as "
        "compute.instance.*:CRITICAL. Stronger than Aodh's severity and than what an event says in its "
        "trait severity. The first that fits counts.",
    ),
    cfg.MultiStrOpt(
        "resources",
        default=[],
        help="Kinds of managed objects: a pattern of event types, COMPUTE, STORAGE, NETWORK or -, Heat's "
        "resource type or -, and the traits that name the object, with commas, or -. Example: "
        "baremetal.* COMPUTE OS::Ironic::Node node_id. Yours are tried before the built-in ones.",
    ),
    cfg.MultiStrOpt(
        "causes",
        default=[],
        help="Event types and probable causes: a pattern of fault types, SOL003's event type, the probable "
        "cause. Example: compute.instance.update EQUIPMENT_ALARM processorProblem. Yours are tried before "
        "the built-in ones. Changing the cause of alarms that are raised confuses consumers.",
    ),
    cfg.StrOpt(
        "insufficient_data",
        default="indeterminate",
        choices=[
            ("indeterminate", "it stands, with the perceived severity INDETERMINATE"),
            ("keep", "it stands as it was"),
            ("clear", "it counts as cleared"),
        ],
        help="What becomes of a raised alarm that enters the state insufficient data.",
    ),
    cfg.BoolOpt(
        "repeat_is_change",
        default=False,
        help="Whether a repeated hit of an alarm with repeat_actions changes it (state UPDATED, "
        "alarmChangedTime). It is counted in the fault details in any case.",
    ),
    cfg.FloatOpt(
        "hold_down",
        default=0.0,
        min=0.0,
        help="Seconds: an alarm of another evaluator that is raised again within them after it was cleared "
        "goes on with its earlier life. 0 makes every raise a life of its own.",
    ),
    cfg.StrOpt(
        "vim_connection_id",
        default="",
        help="What consumers call their connection to this cloud; shown as vimConnectionId in SOL003, which "
        "older clients require. Empty leaves it out.",
    ),
]

API_OPTS: list[Any] = [
    *server_opts("eventalarm-ifa-api", 8043),
    cfg.StrOpt(
        "public_url",
        default="",
        help="URL under which consumers reach this API; links begin with it. Empty: as each request has it.",
    ),
    cfg.IntOpt("page_size", default=100, min=1, max=1000, help="Most alarms on one page."),
    cfg.FloatOpt(
        "cleared_retention",
        default=86400.0,
        min=0.0,
        help="Seconds for which /vnffm/v1/alarms goes on listing an alarm after it was cleared.",
    ),
    cfg.BoolOpt(
        "require_version",
        default=False,
        help="Whether a request to /vnffm/v1 without the header Version is refused, as SOL013 has it; "
        "otherwise the default version is served.",
    ),
    cfg.BoolOpt(
        "test_callback",
        default=True,
        help="Whether the callback of a new subscription is tested by a GET before the subscription is made.",
    ),
    cfg.FloatOpt("callback_timeout", default=5.0, min=0.1, help="Seconds that this test may take."),
    cfg.ListOpt(
        "callback_schemes",
        default=["https", "http"],
        help="Schemes that callbacks and token endpoints of subscriptions may have.",
    ),
    cfg.ListOpt(
        "callback_deny_networks",
        default=["127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"],
        item_type=cfg_types.String(),
        help="Networks in which no callback or token endpoint of a subscription may be, checked on the "
        "address connected to, besides those that [eventalarm_delivery] deny_networks denies to webhooks: by "
        "default this host, link-local and metadata services. allow_networks does not apply to them.",
    ),
    cfg.IntOpt("max_subscriptions", default=100, min=1, help="Most subscriptions that one project may have."),
    cfg.FloatOpt(
        "subscription_lifetime",
        default=0.0,
        min=0.0,
        help="Seconds after which a subscription ends unless its user has shown in the meantime that it "
        "still may subscribe: by reading it, listing it, or subscribing to the same again. 0 is never: "
        "then a subscription outlives the rights of its user until somebody ends it "
        "(GET /vnffm/v1/subscriptions?user_id=...). Set it where subscribers can be made to ask regularly, a "
        "week for instance.",
    ),
    cfg.StrOpt(
        "credentials_key",
        default="",
        secret=True,
        help="Key that encrypts the credentials of subscriptions in the database: 32 bytes in URL-safe "
        "base64, the same on every host. To change it, put the new key behind the old one on every host "
        "(with a comma), then before it: the first key encrypts, all of them decrypt, and listeners "
        "encrypt anew what is stored when they start. Then leave the old one out. Without a key "
        "subscriptions that carry credentials are refused. Make one with: "
        "python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'",
    ),
]

NOTIFIER_OPTS: list[Any] = [
    cfg.BoolOpt(
        "aodh_notifications",
        default=True,
        help="Whether listeners hear of changes that stock evaluators and people make by Aodh's own "
        "notifications (alarm.*), as soon as there is a subscription. Aodh sends them when "
        "[oslo_messaging_notifications] driver = messagingv2 is set for its services; they are taken from "
        "the topics of that group, by a queue of our own (eventalarm-ifa). Without them such changes are "
        "told with the next round.",
    ),
    cfg.FloatOpt(
        "reconcile_interval",
        default=30.0,
        min=1.0,
        help="Seconds between two rounds in which one listener compares what subscribers were told with what "
        "is in the database, and tells the difference. No round is made without subscriptions.",
    ),
    cfg.FloatOpt(
        "suspend_after",
        default=300.0,
        min=1.0,
        help="Seconds after which a subscription with a notification that could not be sent is suspended; it "
        "is at once when a notification was given up ([eventalarm_delivery] max_attempts). A suspended one "
        "is sent nothing, until its consumer answers again: then AlarmListRebuiltNotification.",
    ),
    cfg.FloatOpt(
        "probe_interval",
        default=30.0,
        min=0.1,
        help="Seconds between two tests (the GET that a new subscription is tested with) of the callback of "
        "a suspended subscription.",
    ),
]

IFA_OPTS: list[Any] = [*MAPPING_OPTS, *API_OPTS, *NOTIFIER_OPTS]
