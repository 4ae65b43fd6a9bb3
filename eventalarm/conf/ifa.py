"""Options of the IFA API, its mapping and its subscriptions, group ``[eventalarm_ifa]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_config import types as cfg_types

from eventalarm.conf.http import server_opts
from eventalarm.model import DEFAULT_SEVERITIES

IFA_GROUP = "eventalarm_ifa"

MAPPING_OPTS: list[Any] = [
    cfg.DictOpt(
        "severities",
        default=DEFAULT_SEVERITIES,
        help="Perceived severity for each Aodh severity. low is also the default of an alarm in Aodh.",
    ),
    cfg.StrOpt(
        "undefined_severity",
        default="MINOR",
        choices=["CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE", "catalogue"],
        help="Perceived severity of an alarm whose Aodh severity is not in severities. catalogue selects "
        "the severity of the fault in the fault catalogue, or MINOR if the fault is not there.",
    ),
    cfg.DictOpt(
        "severity_overrides",
        default={},
        help="Perceived severity by a pattern that matches the name or the fault type of the alarm, such as "
        "compute.instance.*:CRITICAL. Takes precedence over the Aodh severity and over the trait severity "
        "of an event. The first matching pattern is used.",
    ),
    cfg.MultiStrOpt(
        "resources",
        default=[],
        help="Types of managed objects. Each value consists of a pattern of event types; COMPUTE, STORAGE, "
        "NETWORK or -; the Heat resource type or -; and the comma-separated traits that name the object, "
        "or -. Example: baremetal.* COMPUTE OS::Ironic::Node node_id. These take precedence over "
        "the fault catalogue.",
    ),
    cfg.MultiStrOpt(
        "causes",
        default=[],
        help="Event types and probable causes. Each value consists of a pattern of fault types, the SOL003 "
        "event type and the probable cause. Example: compute.instance.update EQUIPMENT_ALARM "
        "processorProblem. These take precedence over the fault catalogue. Changing the probable cause of "
        "alarms that are raised confuses consumers.",
    ),
    cfg.StrOpt(
        "insufficient_data",
        default="indeterminate",
        choices=[
            ("indeterminate", "it stays raised, with the perceived severity INDETERMINATE"),
            ("keep", "it stays raised, unchanged"),
            ("clear", "it is cleared"),
        ],
        help="How a raised alarm is presented when its state becomes insufficient data.",
    ),
    cfg.BoolOpt(
        "repeat_is_change",
        default=False,
        help="Whether another match of a raised alarm that has repeat_actions is presented as a change "
        "(state UPDATED, new alarmChangedTime). The fault details count it in any case.",
    ),
    cfg.FloatOpt(
        "hold_down",
        default=0.0,
        min=0.0,
        help="Seconds after clearing within which an alarm of another evaluator that is raised again "
        "continues its previous occurrence. 0 makes every raise a new occurrence.",
    ),
    cfg.StrOpt(
        "vim_connection_id",
        default="",
        help="Identifier that consumers use for their connection to this cloud. SOL003 representations "
        "carry it as vimConnectionId, which older clients require. Empty omits it.",
    ),
]

API_OPTS: list[Any] = [
    *server_opts("eventalarm-ifa-api", 8043),
    cfg.StrOpt(
        "public_url",
        default="",
        help="URL at which consumers reach this API, used as the base of links. If empty, links use the URL "
        "of each request.",
    ),
    cfg.IntOpt(
        "page_size",
        default=100,
        min=1,
        max=1000,
        help="Maximum number of alarms on one page.",
    ),
    cfg.FloatOpt(
        "cleared_retention",
        default=86400.0,
        min=0.0,
        help="Seconds for which /vnffm/v1/alarms still lists an alarm after it was cleared.",
    ),
    cfg.FloatOpt(
        "history_overlap",
        default=60.0,
        min=0.0,
        help="Seconds that a transaction of a listener may take to commit after it has read the time. A "
        "consumer that follows /ifa/v1/history misses no entry that is committed within them; it gets "
        "entries of this period again after a late commit. Must exceed lock_timeout plus "
        "idle_transaction_timeout.",
    ),
    cfg.IntOpt(
        "sign_ins_at_once",
        default=4,
        min=0,
        help="How many users may sign in on the NOC dashboard by password at the same time, each of whom "
        "makes this service wait for Keystone ([keystone_authtoken] www_authenticate_uri); more are refused "
        "with 503. 0 disables passwords, so that the dashboard asks for a token.",
    ),
    cfg.BoolOpt(
        "require_version",
        default=False,
        help="Whether requests to /vnffm/v1 without the header Version are refused, as SOL013 requires. "
        "Otherwise they are served with the default version.",
    ),
    cfg.BoolOpt(
        "test_callback",
        default=True,
        help="Whether the callback of a new subscription is tested with a GET before the subscription is "
        "created.",
    ),
    cfg.FloatOpt("callback_timeout", default=5.0, min=0.1, help="Timeout of that test, in seconds."),
    cfg.ListOpt(
        "callback_schemes",
        default=["https", "http"],
        help="URL schemes permitted for the callbacks and token endpoints of subscriptions.",
    ),
    cfg.ListOpt(
        "callback_deny_networks",
        default=["127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"],
        item_type=cfg_types.String(),
        help="Networks that the callbacks and token endpoints of subscriptions must not reach, in addition "
        "to [eventalarm_delivery] deny_networks. The address actually connected to is checked. The default "
        "protects this host, link-local addresses and metadata services. allow_networks does not apply.",
    ),
    cfg.IntOpt(
        "max_subscriptions", default=100, min=1, help="Maximum number of subscriptions of one project."
    ),
    cfg.FloatOpt(
        "subscription_lifetime",
        default=0.0,
        min=0.0,
        help="Seconds after which a subscription expires, unless its user has proved in the meantime that "
        "they may still subscribe, by creating the same subscription again (303). With "
        "0 subscriptions never expire. Set it, for example to a week, where "
        "subscribers can be required to send such a request regularly.",
    ),
    cfg.FloatOpt(
        "rights_interval",
        default=600.0,
        min=0.0,
        help="Seconds between two checks whether the users of subscriptions still have the roles on their "
        "projects that a subscription requires. The subscriptions of a user who has lost these roles, or "
        "was disabled or deleted, are ended. The check requires auth_mode = keystone and Aodh's "
        "[service_credentials], whose user must be allowed to read users, projects and role assignments. "
        "With 0 a subscription outlasts the roles of its user.",
    ),
    cfg.StrOpt(
        "credentials_key",
        default="",
        secret=True,
        help="Key that encrypts the credentials of subscriptions and the signing secrets of projects in the "
        "database: 32 bytes in URL-safe base64, the same on every host, for the IFA API, the ingest API and "
        "listeners. To rotate it, first append the new key on every host, separated by "
        "a comma, then move it to the front: the first key encrypts, all keys decrypt, and listeners "
        "re-encrypt what is stored when they start. Then remove the old key. Without a key, subscriptions "
        "that carry credentials are refused, and so are signing secrets. Generate a key with: "
        "python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'",
    ),
]

SUBSCRIPTION_OPTS: list[Any] = [
    cfg.BoolOpt(
        "aodh_notifications",
        default=True,
        help="Whether listeners consume Aodh's notifications (alarm.*) to learn at once of changes made by "
        "other evaluators and by users, as soon as a subscription exists. Aodh sends them if its services "
        "set [oslo_messaging_notifications] driver = messagingv2. They are consumed from the topics of "
        "that group through a separate queue, eventalarm-ifa. Without them subscribers are notified of "
        "such changes by the next reconciliation.",
    ),
    cfg.FloatOpt(
        "reconcile_interval",
        default=30.0,
        min=1.0,
        help="Seconds between two reconciliations, in which one listener compares what subscribers were "
        "notified of with the database and sends the missing notifications. Without subscriptions it only "
        "records that the occurrences of deleted alarms are cleared.",
    ),
    cfg.FloatOpt(
        "suspend_after",
        default=300.0,
        min=1.0,
        help="Seconds after which a subscription with an undeliverable notification is suspended. It is "
        "suspended at once when a notification is given up ([eventalarm_delivery] give_up_after). A "
        "suspended subscription is sent nothing until its consumer answers again; then it is sent "
        "AlarmListRebuiltNotification.",
    ),
    cfg.FloatOpt(
        "probe_interval",
        default=30.0,
        min=0.1,
        help="Seconds between two tests of the callback of a suspended subscription, with the GET that "
        "tests a new subscription.",
    ),
]

IFA_OPTS: list[Any] = [*MAPPING_OPTS, *API_OPTS, *SUBSCRIPTION_OPTS]
