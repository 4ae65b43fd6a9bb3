"""Every option of eventalarm, by group; nothing else in the package invents an option."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_config import types as cfg_types

from eventalarm.conf_ifa import IFA_GROUP, IFA_OPTS
from eventalarm.conf_ingest import INGEST_GROUP, INGEST_OPTS

GROUP = "eventalarm"
DELIVERY_GROUP = "eventalarm_delivery"

LISTENER_OPTS: list[Any] = [
    cfg.IntOpt(
        "workers",
        default=2,
        min=1,
        help="Listener processes started by one eventalarm-listener. Every process is equal and there is no "
        "leader, so processes may also be spread over hosts. One process keeps about one core busy under a "
        "storm: one for each core that may be busy then is best. Each caches the alarms it meets, 1.2 KiB "
        "apiece.",
    ),
    cfg.StrOpt(
        "topic",
        default="event_eval",
        help="Topic on which the publisher puts events and the listener takes them. Both sides must agree.",
    ),
    cfg.StrOpt(
        "exchange",
        default="eventalarm",
        help="Exchange of the topic. It is our own, so that its durability cannot clash with how another "
        "service declared a shared exchange. Both sides must agree, except on RabbitMQ, where the queue is "
        "named after the topic alone.",
    ),
    cfg.IntOpt(
        "batch_size",
        default=500,
        min=1,
        help="Most messages taken into one batch. A single event is never made to wait for more; this only "
        "bounds how much of a backlog is handled in one database transaction.",
    ),
    cfg.IntOpt(
        "prefetch",
        default=1000,
        min=32,
        help="Messages that the broker may hand to one process before they are acknowledged; bounds its "
        "memory. More than twice batch_size gains nothing.",
    ),
    cfg.IntOpt(
        "first_prefetch",
        default=8,
        min=1,
        help="The same for a process that has acknowledged none yet (RabbitMQ). A quorum queue counts each "
        "delivery that was not acknowledged and drops a message at its delivery limit: a process that "
        "dies again and again right after its start spends the deliveries of this many messages only.",
    ),
    cfg.FloatOpt(
        "hold_batch",
        default=20.0,
        min=0.0,
        help="Seconds that a batch is held while the database is away. Then it goes back to the broker "
        "(RabbitMQ), and no more is taken until the database is back: RabbitMQ cuts off a consumer that "
        "keeps messages longer than its consumer_timeout, and counts each time. Must be well below that.",
    ),
    cfg.IntOpt(
        "renew_after",
        default=2,
        min=1,
        help="Deliveries without acknowledgement after which a message of a quorum queue is put on the queue "
        "anew, where its count begins again, before it is evaluated. Must not exceed the delivery limit of "
        "the queue: a listener that is killed more often than that in mid-batch then loses nothing.",
    ),
    cfg.IntOpt(
        "max_deliveries",
        default=100,
        min=2,
        help="Deliveries without acknowledgement after which a message is set aside on the queue TOPIC.dead, "
        "since it may be what ends the processes. eventalarm-status check watches that queue.",
    ),
    cfg.IntOpt(
        "max_interruptions",
        default=50,
        min=2,
        help="Evaluations of a redelivered message that did not end, because their process did, after which "
        "the message is set aside on the queue TOPIC.dead. From the second on it is evaluated alone.",
    ),
    cfg.ListOpt(
        "owner_traits",
        default=["project_id", "tenant_id", "caller_project_id"],
        help="Traits that name the project an event belongs to; the first present one counts. Ceilometer "
        "fills both project_id and tenant_id from the caller where an event definition does not set them: "
        "where they differ, the one that the definition takes from the payload counts, wherever project_id "
        "stands before tenant_id in this list. caller_project_id is the caller's, in our own definitions.",
    ),
    cfg.ListOpt(
        "resource_traits",
        default=[
            "resource_id",
            "instance_id",
            "server_id",
            "volume_id",
            "port_id",
            "share_id",
            "hostname",
            "host",
        ],
        help="Traits that name the managed object an event is about; the first present one counts. They "
        "also tell which conditions of a rule identify the resource, which clearing depends on.",
    ),
    cfg.ListOpt(
        "infrastructure_projects",
        default=[],
        help="Projects whose alarms see events that belong to no project (host faults and the like). Empty: "
        "nobody but alarms without a project see them, as in Aodh.",
    ),
    cfg.StrOpt(
        "clear_event_alarms",
        default="with_ok_actions",
        choices=[
            ("with_ok_actions", "event alarms that have ok_actions return to ok by themselves"),
            ("always", "every event alarm returns to ok by itself"),
            ("never", "event alarms stay in alarm until a person resets them, as in Aodh"),
        ],
        help="When an event alarm returns to ok: on a later event of the same type and managed object that "
        "fulfils the conditions that identify the resource but no longer all the others.",
    ),
    cfg.FloatOpt(
        "definitions_overlap",
        default=10.0,
        min=0.0,
        help="Seconds by which each look for changed alarm definitions reaches back behind the newest one "
        "seen. Must exceed the clock difference between Aodh API hosts plus the longest API transaction.",
    ),
    cfg.FloatOpt(
        "full_reload_interval",
        default=600.0,
        min=1.0,
        help="Seconds between complete reloads of the alarm definitions, the net under the incremental ones.",
    ),
    cfg.BoolOpt(
        "preload",
        default=True,
        help="Load the projects with more than 1,000 alarms right after the start, beside the work, so that "
        "their first event waits for nothing. Without it each is loaded when its first event comes, which "
        "takes some seconds for 100,000 alarms, and takes memory only then.",
    ),
    cfg.BoolOpt(
        "beside_aodh_listener",
        default=False,
        help="Set this while events of the same time also go to a stock aodh-listener, that is while you "
        "move from it: an event that Aodh's alarm history names as fired is then not fired again. Costs one "
        "more read per batch that fires. Needs record_history, which is on by default.",
    ),
    cfg.IntOpt(
        "max_cached_alarms",
        default=2000000,
        min=1,
        help="Most alarm definitions kept in one process (about 1 KiB each); the projects used longest ago "
        "are dropped first and loaded again when they are needed.",
    ),
    cfg.IntOpt(
        "max_candidates",
        default=10000,
        min=1,
        help="Most alarms that one event may lead to in one transaction; more are worked off in further "
        "transactions, all before the event is acknowledged.",
    ),
    cfg.IntOpt(
        "max_occurrences_per_alarm",
        default=10000,
        min=1,
        help="Managed objects on which one alarm can be raised at once. On further ones nothing is recorded "
        "that could clear; actions are called as Aodh would. The alarm's reason says so, and so does the "
        "metric decisions with the reason too_many_objects. It bounds what an alarm grouped by the id of a "
        "request costs. It also bounds of how many objects one alarm awaits the absence at once; the absence "
        "of further ones is not noticed.",
    ),
    cfg.IntOpt(
        "max_event_size",
        default=1024 * 1024,
        min=4096,
        help="Bytes of JSON that an event may take in the database and in the bodies of webhooks. A larger "
        "one loses its raw part, then its traits; truncated names what is missing. It is still evaluated as "
        "a whole. Must be less than a quarter of the database's max_allowed_packet.",
    ),
    cfg.IntOpt(
        "max_transaction_size",
        default=16 * 1024 * 1024,
        min=65536,
        help="Bytes of events and reasons after which the evaluator commits; what is left of the batch "
        "follows in further transactions, all before its messages are acknowledged.",
    ),
    cfg.FloatOpt(
        "watchdog_warn",
        default=10.0,
        min=0.1,
        help="Seconds after which the evaluator, or the event loop of the deliveries, counts as standing "
        "still: the log shows its stack, and the metric stalls counts it. Waiting for the database to come "
        "back does not count.",
    ),
    cfg.FloatOpt(
        "watchdog_exit",
        default=120.0,
        min=0.0,
        help="Seconds of standing still after which the listener process ends and is started anew. Nothing "
        "is lost: the broker and the database give its work to others. 0: never.",
    ),
    cfg.FloatOpt(
        "retry_initial",
        default=0.1,
        min=0.001,
        help="Seconds to wait before work is tried again after the database failed; doubles, with jitter, up "
        "to retry_max. Events are held meanwhile, never dropped.",
    ),
    cfg.FloatOpt(
        "retry_max",
        default=2.0,
        min=0.01,
        help="Longest wait between two tries, in seconds: about as long after the return of the database "
        "alarms fire again.",
    ),
    cfg.FloatOpt(
        "lock_timeout",
        default=5.0,
        min=0.1,
        help="Seconds that we wait for a row or table that another session of the database keeps locked. The "
        "events of an alarm that stays locked are put off and tried again every second; all others go on. "
        "MySQL and MariaDB count in whole seconds.",
    ),
    cfg.FloatOpt(
        "idle_transaction_timeout",
        default=10.0,
        min=1.0,
        help="Seconds after which the database server ends a transaction of ours in which nothing happens, "
        "or drops a connection that takes no answer: for so long a process that is paused, or whose host "
        "vanished, keeps the rows that it had locked. Set in each session: "
        "idle_in_transaction_session_timeout and tcp_user_timeout on PostgreSQL; idle_transaction_timeout, "
        "net_read_timeout and net_write_timeout on MariaDB. MySQL has no such limit on transactions; "
        "wait_timeout is set there instead, so idle connections are reopened.",
    ),
    cfg.IntOpt(
        "history_time_to_live",
        default=30 * 86400,
        min=-1,
        help="Seconds that eventalarm-expirer keeps finished transitions, cleared occurrences and finished "
        "deliveries. -1 keeps them for ever.",
    ),
    cfg.PortOpt(
        "metrics_port",
        min=1,
        help="Port of the Prometheus endpoint of one eventalarm-listener, which adds up all its processes. "
        "Unset: no endpoint. Two listeners on one host need two ports.",
    ),
    cfg.HostAddressOpt(
        "metrics_host",
        default="127.0.0.1",
        help="Address of the Prometheus endpoint. It tells nothing about tenants, but has no authentication: "
        "let it listen on a network of yours only.",
    ),
    cfg.FloatOpt(
        "metrics_outbox_interval",
        default=10.0,
        min=0.1,
        help="Seconds between looks at the outbox for the Prometheus endpoint, one per listener with an "
        "endpoint. Each reads the unfinished and the failed deliveries by their index.",
    ),
    cfg.IntOpt(
        "expire_batch_size",
        default=1000,
        min=1,
        help="Rows that eventalarm-expirer removes in one transaction, so that locks are short.",
    ),
]

RULE_OPTS: list[Any] = [
    cfg.BoolOpt(
        "require_resource_id",
        default=False,
        help="Refuse notification alarms that do not name the resource they watch (resource_id).",
    ),
    cfg.IntOpt(
        "max_rule_size",
        default=32768,
        min=256,
        max=60000,
        help="Bytes that a notification rule may take as JSON. It must fit into Aodh's alarm table.",
    ),
    cfg.IntOpt(
        "max_rule_depth",
        default=8,
        min=2,
        max=64,
        help="Levels to which and, or, not and lists may be nested in a query of a notification rule.",
    ),
    cfg.IntOpt("max_rule_conditions", default=100, min=1, help="Conditions in one query, at every level."),
    cfg.IntOpt("max_rule_list", default=100, min=1, help="Values in one list, and event types in one rule."),
    cfg.IntOpt("max_rule_value_length", default=1024, min=1, help="Characters of one value of a condition."),
    cfg.IntOpt(
        "max_rule_pattern_length",
        default=255,
        min=1,
        help="Characters of a field, an event type, a wildcard or a regular expression in a rule.",
    ),
    cfg.IntOpt(
        "max_scan_groups",
        default=1000,
        min=0,
        help="Different rules with no equality on a trait that one project may have before it is reported: "
        "each event of the project is tested against all of them that watch its type. They stay "
        "evaluated; the report (a warning and a metric, once) says how to make them cheap.",
    ),
    cfg.IntOpt(
        "max_event_traits",
        default=10000,
        min=1,
        help="Traits that an event may have. An event with more is left out, counted as too_many_traits.",
    ),
    cfg.IntOpt(
        "max_event_key_length",
        default=1024,
        min=64,
        help="Characters that the message_id and the event_type of an event may have. An event with a longer "
        "one is left out, counted as message_id_too_long or event_type_too_long.",
    ),
    cfg.IntOpt(
        "max_trait_length",
        default=16384,
        min=1,
        help="Characters that the text of a trait may have to be compared. A longer one counts as absent, "
        "and is counted as a bad trait.",
    ),
]

DELIVERY_OPTS: list[Any] = [
    cfg.StrOpt(
        "mode",
        default="direct",
        choices=[
            ("direct", "the listener calls the actions itself, with its own retries and isolation"),
            ("aodh", "the listener hands the actions to the running aodh-notifier on its topic"),
        ],
        help="Who calls the alarm actions.",
    ),
    cfg.FloatOpt("connect_timeout", default=3.0, min=0.01, help="Seconds to connect to a destination."),
    cfg.FloatOpt(
        "total_timeout", default=10.0, min=0.01, help="Seconds for one whole attempt, answer included."
    ),
    cfg.IntOpt(
        "max_attempts",
        default=10,
        min=1,
        help="Attempts before a delivery is given up and kept as failed.",
    ),
    cfg.FloatOpt(
        "retry_initial",
        default=0.5,
        min=0.001,
        help="Seconds before the second attempt; doubles, with jitter, up to retry_max.",
    ),
    cfg.FloatOpt("retry_max", default=60.0, min=0.01, help="Longest wait between two attempts, in seconds."),
    cfg.FloatOpt(
        "retry_after_max",
        default=300.0,
        min=0.0,
        help="Longest wait, in seconds, that a consumer may ask for with Retry-After.",
    ),
    cfg.IntOpt(
        "concurrency",
        default=400,
        min=1,
        help="Calls under way at once in one process. A project may have as many as are still free, so that "
        "it leaves half of them to others, two projects leave a third, and so on; a quarter is kept for "
        "destinations whose last call was prompt.",
    ),
    cfg.IntOpt(
        "concurrency_per_destination",
        default=16,
        min=1,
        help="Calls of one project under way at once to one destination (scheme, host and port) from one "
        "process, so that a slow one leaves room for the others. All projects together have up to four times "
        "as many.",
    ),
    cfg.IntOpt(
        "max_in_memory",
        default=10000,
        min=1,
        help="Deliveries that one process holds in memory; what is beyond waits in the database. A project "
        "may hold as many as are still free.",
    ),
    cfg.IntOpt(
        "max_in_memory_bytes",
        default=128 * 1024 * 1024,
        min=1024 * 1024,
        help="Bytes that the events and notifications of these deliveries may take in memory, roughly, and "
        "again those that are being sent; an event counts once, however many deliveries tell of it. A "
        "project may hold as many as are still free.",
    ),
    cfg.IntOpt(
        "max_losses",
        default=3,
        min=2,
        help="Processes that may end, or lose their lease, while they send a delivery, before it is given "
        "up. From the first loss on it is marked in the database before it is sent, and from the second "
        "on it is sent with no other such beside it, so that what ends processes is found.",
    ),
    cfg.FloatOpt(
        "lease",
        default=6.0,
        min=0.5,
        help="Seconds after the death of a process within which others have taken over its deliveries. It "
        "counts as dead a little earlier, so that they find out in time: when others have seen it renew "
        "nothing for this less 2.4 times poll_interval and a twentieth, but not before half of it. A process "
        "that stood still for so long sends no more of what it held.",
    ),
    cfg.FloatOpt(
        "poll_interval",
        default=1.0,
        min=0.01,
        help="Seconds between looks for deliveries that are due in the database. New deliveries do not wait "
        "for it: it is the net for retries and for what a dead process left.",
    ),
    cfg.FloatOpt(
        "pack_window",
        default=0.0,
        min=0.0,
        help="Seconds for which notifications to one http or https action are gathered after one left, to "
        'travel together in one POST: {"packed": [...]}, see the documentation. 0: each travels alone, as '
        "Aodh's do. A consumer that refuses packs for good gets the same notifications one by one.",
    ),
    cfg.IntOpt(
        "pack_limit",
        default=100,
        min=2,
        help="Most notifications in one POST; a pack that is full leaves before pack_window is over.",
    ),
    cfg.IntOpt(
        "plugin_threads",
        default=16,
        min=1,
        help="Threads for each action scheme that an aodh.notifier plugin serves. One project uses half of "
        "them at most.",
    ),
    cfg.IntOpt(
        "lookup_threads",
        default=64,
        min=4,
        help="Threads that look up host names. A name server that does not answer holds one for each name. A "
        "project may use as many as are still free, and a quarter is kept for names that resolved before.",
    ),
    cfg.FloatOpt(
        "lookup_timeout",
        default=3.0,
        min=0.01,
        help="Seconds to wait for a host name, beside the other timeouts. Then the last good answer is used, "
        "if there is one.",
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
        help="Seconds for which the last good answer is used while name servers do not answer.",
    ),
    cfg.IntOpt(
        "max_response_size",
        default=65536,
        min=0,
        help="Bytes of an answer that are read at most; the rest is not.",
    ),
    cfg.ListOpt(
        "deny_networks",
        default=["127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"],
        item_type=cfg_types.String(),
        help="Networks that no webhook may reach, checked on the address connected to, in every form that "
        "IPv6 has for an IPv4 address. The default keeps tenants away from the host of the listener, from "
        "link-local addresses and from metadata services; add your management networks. It does not bind "
        "aodh.notifier plugins, which make their own connections: see action_schemes.",
    ),
    cfg.ListOpt(
        "allow_networks",
        default=[],
        item_type=cfg_types.String(),
        help="Networks that webhooks may reach although deny_networks covers them: 127.0.0.0/8,::1/128 lets "
        "them reach consumers on the host of the listener. Applies to webhooks; the networks of "
        "[eventalarm_ifa] callback_deny_networks stay denied to subscriptions.",
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
            "log",
            "zaqar",
            "trust+zaqar",
            "trust+heat",
        ],
        help="Schemes of the actions that are carried out; a delivery to any other scheme fails with the "
        "reason scheme_disabled. Add the scheme of a further aodh.notifier plugin here. zaqar, trust+zaqar "
        "and trust+heat connect to the services of Keystone's catalogue by themselves, and a subscriber of "
        "zaqar can be any address that Zaqar reaches: deny_networks does not apply to them, so remove those "
        "that are not wanted. Aodh's test scheme keeps every notification in memory and is left out for "
        "that reason.",
    ),
]


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options by group, for oslo-config-generator."""
    return [
        (GROUP, LISTENER_OPTS + RULE_OPTS),
        (DELIVERY_GROUP, DELIVERY_OPTS),
        (IFA_GROUP, IFA_OPTS),
        (INGEST_GROUP, INGEST_OPTS),
    ]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register every option on *conf*; safe to call again."""
    for group, opts in list_opts():
        conf.register_opts(opts, group=group)
