"""Options of the listener, group ``[eventalarm]``: queue, evaluation of events, limits and metrics."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from eventalarm.model import RESOURCE_TRAITS

GROUP = "eventalarm"

CONSUMER_OPTS: list[Any] = [
    cfg.IntOpt(
        "workers",
        default=2,
        min=1,
        help="Number of listener processes that one eventalarm-listener starts. All processes are equal, so "
        "they may also be spread over several hosts. During an event storm a process uses about one core: "
        "start one for each core that may be busy then. Each process caches the alarm definitions that it "
        "evaluates, at about 1.2 KiB each.",
    ),
    cfg.StrOpt(
        "topic",
        default="event_eval",
        help="Topic to which the publisher sends events and from which the listener consumes them. Must be "
        "the same on both sides.",
    ),
    cfg.StrOpt(
        "exchange",
        default="eventalarm",
        help="Exchange of the topic. It is used by eventalarm only, so its durability cannot conflict with "
        "the way another service declared a shared exchange. Must be the same on both sides, except on "
        "RabbitMQ, where the queue is named after the topic alone.",
    ),
    cfg.IntOpt(
        "partitions",
        default=1,
        min=1,
        max=1024,
        help="Number of topics among which events are divided by project; more than one requires RabbitMQ. "
        "One process consumes a partition at a time, evaluates the events of a project in their order, and "
        "caches only the alarm definitions of its partitions. Must be the same for all services and in the "
        "URL of the publisher; doc/source/admin/partitions.rst says how to change it while events arrive. "
        "With 1, all processes consume the same topic.",
    ),
    cfg.FloatOpt(
        "partition_lease",
        default=4.0,
        min=1.0,
        help="Seconds after which the partitions of a process that does not renew its leases go to others, "
        "once the broker has closed its connection too. Must be the same on all hosts.",
    ),
    cfg.BoolOpt(
        "accept_event_loss",
        default=False,
        help="Whether a kafka:// transport URL is accepted, on which events are lost: oslo.messaging commits "
        "the offset of a message before it is handled, cannot return a message, and reports a message that "
        "Kafka did not accept as sent. Otherwise every service refuses such a URL. The publisher has an "
        "option of the same name in its URL.",
    ),
    cfg.IntOpt(
        "batch_size",
        default=500,
        min=1,
        help="Maximum number of messages in one batch. A single event never waits for a batch to fill; the "
        "limit only bounds how much of a backlog is handled in one database transaction.",
    ),
    cfg.IntOpt(
        "prefetch",
        default=1000,
        min=32,
        help="Maximum number of unacknowledged messages that the broker delivers to one process; bounds the "
        "memory of the process. A value above twice batch_size has no benefit.",
    ),
    cfg.IntOpt(
        "first_prefetch",
        default=8,
        min=1,
        help="The value of prefetch until a process has acknowledged its first message (RabbitMQ). A quorum "
        "queue counts every unacknowledged delivery and drops a message at its delivery limit: a process "
        "that crashes repeatedly right after its start uses up deliveries of only this many messages.",
    ),
    cfg.FloatOpt(
        "hold_batch",
        default=20.0,
        min=0.0,
        help="Seconds for which a batch is held while the database is unavailable. Then it is returned to "
        "the broker (RabbitMQ), and no messages are taken until the database is available again. RabbitMQ "
        "closes the channel of a consumer that holds messages longer than its consumer_timeout, and counts "
        "a delivery each time: the value must be well below that timeout.",
    ),
    cfg.IntOpt(
        "renew_after",
        default=2,
        min=1,
        help="Number of unacknowledged deliveries after which a message of a quorum queue is published "
        "again, which resets its delivery count, before it is evaluated. Must not exceed the delivery limit "
        "of the queue; then no message is lost even if listeners are killed more often than that while "
        "they hold it.",
    ),
    cfg.IntOpt(
        "max_deliveries",
        default=100,
        min=2,
        help="Number of unacknowledged deliveries after which a message is moved to the queue TOPIC.dead, "
        "because it may be what crashes the processes. eventalarm-status check reports messages there.",
    ),
    cfg.IntOpt(
        "max_interruptions",
        default=50,
        min=2,
        help="Number of evaluations of a redelivered message during which the process ended, after which "
        "the message is moved to the queue TOPIC.dead. From the second such evaluation on the message is "
        "evaluated alone.",
    ),
]

EVALUATION_OPTS: list[Any] = [
    cfg.ListOpt(
        "owner_traits",
        default=["project_id", "tenant_id", "caller_project_id"],
        help="Traits that name the project to which an event belongs; the first one that is present is "
        "used. Ceilometer sets both project_id and tenant_id from the caller if the event definition does "
        "not set them: if they differ and project_id precedes tenant_id in this list, the value that the "
        "definition takes from the payload is used. caller_project_id is the project of the caller; only "
        "the event definitions of eventalarm set it.",
    ),
    cfg.ListOpt(
        "resource_traits",
        default=list(RESOURCE_TRAITS),
        help="Traits that name the managed object of an event; the first one that is present is used. They "
        "also determine which conditions of a rule identify the resource, which clearing relies on.",
    ),
    cfg.MultiStrOpt(
        "fault_catalogue",
        default=[],
        help="File of faults that the deployer adds to the fault catalogue of eventalarm, in YAML; may be "
        "given more than once. A fault replaces the one of the same name. The catalogue names the alarms of "
        "the IFA API: fault type, probable cause, resource, proposed action. See eventalarm-catalogue "
        "--help for the form, and check a file with eventalarm-catalogue check.",
    ),
    cfg.ListOpt(
        "infrastructure_projects",
        default=[],
        help="Projects whose alarms receive events that belong to no project, such as host faults. If the "
        "list is empty, only alarms without a project receive them, as in Aodh.",
    ),
    cfg.StrOpt(
        "clear_event_alarms",
        default="with_ok_actions",
        choices=[
            ("with_ok_actions", "event alarms that have ok_actions return to ok automatically"),
            ("always", "all event alarms return to ok automatically"),
            ("never", "event alarms stay in the state alarm until a user resets them, as in Aodh"),
        ],
        help="Which event alarms return to ok automatically. An alarm returns to ok on a later event of the "
        "same type and managed object that matches the conditions that identify the resource but no longer "
        "matches all others.",
    ),
    cfg.BoolOpt(
        "beside_aodh_listener",
        default=False,
        help="Whether a stock aodh-listener receives the same events, for example during a migration. If "
        "set, an event that Aodh's alarm history already records for an alarm does not fire that alarm "
        "again. This adds one query per batch that fires, and requires record_history, which is on by "
        "default.",
    ),
    cfg.IntOpt(
        "max_candidates",
        default=10000,
        min=1,
        help="Maximum number of alarms that one transaction evaluates for one event. Further alarms are "
        "evaluated in further transactions before the event is acknowledged.",
    ),
    cfg.FloatOpt(
        "max_batch_time",
        default=1.0,
        min=0.0,
        help="Seconds after which a batch leaves the rest of the work of projects whose events concern "
        "hundreds of alarms to the next batch, so that a flood of one project does not delay the events of "
        "others. Each such project gets an equal part of every batch, however long that takes.",
    ),
    cfg.IntOpt(
        "max_occurrences_per_alarm",
        default=10000,
        min=1,
        help="Maximum number of managed objects on which one alarm can be raised at the same time, and of "
        "objects for whose absence one alarm can wait, or groups with objects in fault that one alarm with "
        "at_least can track. On further objects the alarm calls its actions as in "
        "Aodh, but keeps no occurrence that could clear; their absence is not detected. The reason of the "
        "alarm and the metric decisions (reason too_many_objects) report it. The limit bounds the cost of "
        "an alarm that is grouped by an unbounded trait, such as a request id.",
    ),
    cfg.IntOpt(
        "max_objects_per_group",
        default=1000,
        min=100,
        help="Maximum number of objects of one group whose state is tracked for a rule with at_least. Faults "
        "of further objects are not counted until some of these have ended, so the alarm can clear early. "
        "The limit bounds the row that each event about the group rewrites, about 70 bytes for each object.",
    ),
    cfg.IntOpt(
        "max_event_size",
        default=1024 * 1024,
        min=4096,
        help="Maximum size of an event in the database and in the bodies of webhooks, in bytes of JSON. A "
        "larger event is stored without its raw part, and if necessary without its traits; its member "
        "truncated names the missing parts. It is evaluated in full all the same. Must be less than a "
        "quarter of max_allowed_packet of the database.",
    ),
    cfg.IntOpt(
        "max_transaction_size",
        default=16 * 1024 * 1024,
        min=65536,
        help="Size of events and reasons, in bytes, after which the evaluator commits. The rest of the "
        "batch follows in further transactions before its messages are acknowledged.",
    ),
]

DEFINITIONS_OPTS: list[Any] = [
    cfg.FloatOpt(
        "definitions_overlap",
        default=10.0,
        min=0.0,
        help="Seconds by which each search for changed alarm definitions starts before the newest change "
        "already seen. Must exceed the clock difference between hosts of the Aodh API plus the duration of "
        "the longest transaction of the API.",
    ),
    cfg.FloatOpt(
        "full_reload_interval",
        default=600.0,
        min=1.0,
        help="Seconds between complete reloads of the alarm definitions, which correct whatever the "
        "incremental reloads missed.",
    ),
    cfg.BoolOpt(
        "preload",
        default=True,
        help="Whether projects with more than 1,000 alarms are loaded in the background right after the "
        "start, so that their first event does not wait. Otherwise a project is loaded, and takes memory, "
        "when its first event arrives; loading takes some seconds for 100,000 alarms.",
    ),
    cfg.IntOpt(
        "max_cached_alarms",
        default=2000000,
        min=1,
        help="Maximum number of alarm definitions that one process caches, at about 1 KiB each. The "
        "projects used least recently are evicted first and loaded again when needed.",
    ),
]

WATCHDOG_OPTS: list[Any] = [
    cfg.FloatOpt(
        "watchdog_warn",
        default=10.0,
        min=0.1,
        help="Seconds without progress after which the evaluator, or the event loop of the deliveries, is "
        "considered stalled: its stack is logged and the metric stalls is incremented. Waiting for an "
        "unavailable database does not count.",
    ),
    cfg.FloatOpt(
        "watchdog_exit",
        default=120.0,
        min=0.0,
        help="Seconds without progress after which the listener process exits and is restarted. Nothing is "
        "lost: other processes take over its messages and deliveries. 0 disables the exit.",
    ),
]

LISTENER_OPTS: list[Any] = [*CONSUMER_OPTS, *EVALUATION_OPTS, *DEFINITIONS_OPTS, *WATCHDOG_OPTS]


METRICS_OPTS: list[Any] = [
    cfg.PortOpt(
        "metrics_port",
        min=1,
        help="Port of the Prometheus endpoint of one eventalarm-listener, which aggregates the metrics of "
        "all its processes. If unset, there is no endpoint. Two listeners on one host need two ports.",
    ),
    cfg.HostAddressOpt(
        "metrics_host",
        default="127.0.0.1",
        help="Address on which the Prometheus endpoint listens. The metrics contain no tenant data, but the "
        "endpoint has no authentication: use an address of a trusted network.",
    ),
    cfg.FloatOpt(
        "metrics_outbox_interval",
        default=10.0,
        min=0.1,
        help="Seconds between two readings of the outbox for the Prometheus endpoint. Each listener with "
        "an endpoint reads the unfinished and the failed deliveries by an index.",
    ),
]
